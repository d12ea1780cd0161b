"""The few-shot entry: what is drawn, what is chosen, what survives a kill, and what it leaves."""

import json

import numpy as np
import pytest
import torch
from cloze_world import FINETUNE, context, files

from repro.context import RunContext
from repro.data import clozes
from repro.errors import Interrupted, UserError
from repro.evaluate import cloze, few_shot, guesses
from repro.losses.fixmatch import FixMatch, fixmatch_loss
from repro.text import tokenizer as vocabularies

TASKS = ("season", "both")


def run(folder, data, base, **settings):
    ctx = context(folder, data, "pretrain", base)
    few_shot.finetune(ctx, **({"tasks": TASKS, "model": cloze.hard} | FINETUNE | settings))
    return ctx


@pytest.mark.parametrize("model", [cloze.hard, cloze.soft, cloze.classed])
def test_it_learns_what_a_few_labels_tell(model, data, base, tmp_path):
    ctx = run(tmp_path, data, base, model=model)
    table = json.loads((ctx.out / "tasks.json").read_text())
    assert set(table) == set(TASKS)
    logits = np.load(ctx.out / "predictions/season.npy")
    labels = np.load(ctx.out / "labels/season.npy")
    assert (logits.argmax(1) == labels).mean() > 0.9
    assert table["season"]["train_examples"] == 24 and table["season"]["dev_examples"] == 12
    assert table["season"]["step"] in (20, 40, 60)


def test_both_forms_draw_the_same_examples(data):
    task = clozes.open_task_pair(data, "season")
    drawn = {form: few_shot.draw(task, form, 5, labels_per_class=3)[0] for form in
             ("plain", "cloze")}
    short = [clozes.words_of(_split(drawn["plain"]), row, task.vocab) for row in range(6)]
    long = [clozes.words_of(_split(drawn["cloze"]), row, task.vocab) for row in range(6)]
    assert all((two[: len(one)] == one).all() for one, two in zip(short, long, strict=True))
    other = few_shot.draw(task, "cloze", 6, labels_per_class=3)[0]
    assert not torch.equal(other.train.input_ids_NT, drawn["cloze"].train.input_ids_NT)


def _split(task):
    from repro.data.shards import Split

    train = task.train
    return Split(train.input_ids_NT.numpy(), train.segments_NT.numpy(), train.targets_U.numpy())


def test_a_killed_run_ends_in_the_same_bytes(data, base, tmp_path):
    whole = run(tmp_path / "whole", data, base)
    stops = iter([False] * 190 + [True] * 1000)  # inside the second trial of the second task
    ctx = context(tmp_path / "killed", data, "pretrain", base,
                  stop_requested=lambda: next(stops))
    with pytest.raises(Interrupted):
        few_shot.finetune(ctx, tasks=TASKS, model=cloze.hard, **FINETUNE)
    again = run(tmp_path / "killed", data, base)
    assert files(again.out) == files(whole.out)


def test_a_task_does_not_depend_on_the_others(data, base, tmp_path):
    together = run(tmp_path / "two", data, base)
    alone = run(tmp_path / "one", data, base, tasks=("both",))
    for name in ("predictions/both.npy", "labels/both.npy"):
        assert (together.out / name).read_bytes() == (alone.out / name).read_bytes()


def test_the_model_that_labels_the_pool_passes_the_base_on_untouched(data, base, tmp_path):
    ctx = run(tmp_path, data, base, label_pool=True)
    assert files(ctx.out / "model") == files(base / "model")
    table = json.loads((ctx.out / "tasks.json").read_text())
    task = clozes.open_task_pair(data, "season")
    found = np.load(ctx.out / "pool/season.npy")
    assert found.shape == (40,) and found.dtype == np.int64
    right = (found == np.asarray(task.cloze.train.labels)).mean()
    assert right == pytest.approx(table["season"]["pool_accuracy"])
    summary = json.loads((ctx.out / "summary.json").read_text())
    assert (summary["steps"], summary["flops"]) == (7, 7000)


def test_guesses_do_not_reach_what_is_trained_or_chosen(data, base, tmp_path):
    one = run(tmp_path / "one", data, base, label_pool=True)
    two = run(tmp_path / "two", data, base, label_pool=False)
    for name in ("predictions/season.npy", "tasks.json", "history.jsonl"):
        assert (one.out / name).read_bytes() == (two.out / name).read_bytes()


def test_rows_of_the_eval_stage(data, base, tmp_path):
    made = run(tmp_path / "tuned", data, base)
    ctx = RunContext("eval", "arm", 3, tmp_path / "rows", tmp_path / "c",
                     inputs={"data": [data], "finetune": [made.out]})
    guesses.score(ctx)
    rows = [json.loads(line) for line in (ctx.out / "rows.jsonl").read_text().splitlines()]
    found = {(row["task"], row["metric"]): row["value"] for row in rows}
    assert found["both", "training_flops"] == 7000
    assert 0.5 < found["season", "pool_accuracy"] <= 1
    assert found["season", "accuracy"] > 0.9


def test_settings_out_of_range_are_refused(data, base, tmp_path):
    for settings, words in (({"steps": 0}, "evaluate_every = 20"),
                            ({"learning_rates": ()}, "learning_rates"),
                            ({"labels_per_class": 90}, "90")):
        with pytest.raises(UserError, match=words):
            run(tmp_path, data, base, **settings)


def test_the_loss_of_fixmatch_by_hand():
    # Softmax of (log 9, 0) is (0.9, 0.1): confident at 0.8; of (0, 0) it is not.
    weak = torch.tensor([[np.log(9.0), 0.0], [0.0, 0.0]], dtype=torch.float64)
    strong = torch.tensor([[0.0, np.log(3.0)], [5.0, -5.0]], dtype=torch.float64)
    strong.requires_grad_()
    loss, sure = fixmatch_loss(weak, strong, 0.8)
    assert loss.item() == pytest.approx(np.log(4.0) / 2) and sure.item() == 0.5
    loss.backward()
    assert strong.grad[1].abs().sum() == 0
    assert fixmatch_loss(weak, strong, 0.95)[0].item() == 0


def test_a_corrupted_copy_keeps_the_question(data):
    vocab = vocabularies.load_vocab(data)
    ids = torch.randint(5, vocab.size, (200, 12), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, 6], ids[:, 11] = vocab.cls, vocab.mask, vocab.sep
    keep = torch.ones_like(ids, dtype=torch.bool)
    made = FixMatch(replaced=0.3).corrupt(ids, keep, vocab, torch.Generator().manual_seed(1))
    assert (made[:, [0, 6, 11]] == ids[:, [0, 6, 11]]).all()
    ordinary = [i for i in range(12) if i not in (0, 6, 11)]
    assert 0.25 < (made != ids)[:, ordinary].float().mean() < 0.33


def test_a_threshold_that_is_never_met_is_fine_tuning(data, base, tmp_path):
    """No guess is ever certain of a tenth of an epsilon: the consistency term adds nothing."""
    plain = run(tmp_path / "plain", data, base, dropout=0.0, tasks=("season",))
    never = run(tmp_path / "never", data, base, dropout=0.0, tasks=("season",),
                consistency=FixMatch(threshold=1.0), learning_rates=FINETUNE["learning_rates"])
    one, two = (np.load(made.out / "predictions/season.npy") for made in (plain, never))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
    used = run(tmp_path / "used", data, base, dropout=0.0, tasks=("season",),
               consistency=FixMatch(threshold=0.5))
    assert not np.allclose(np.load(used.out / "predictions/season.npy"), one)
