import dataclasses
import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from repro.data import shards
from repro.errors import Interrupted, UserError
from repro.evaluate import classifier, examples, finetuning, sweep
from repro.evaluate.finetuning import finetune


@pytest.fixture(scope="module")
def pretrain(tmp_path_factory, make_pretrain):
    return make_pretrain(tmp_path_factory.mktemp("pretrain"))


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_data, toy):
    tasks = [toy.easy(), toy.random(), toy.graded(), toy.parity(), toy.halves()]
    return make_data(tmp_path_factory.mktemp("data"), tasks)


def files_of(folder) -> dict[str, bytes]:
    paths = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def table_of(ctx) -> dict:
    return json.loads((ctx.out / "tasks.json").read_text())


def predicted(ctx, task: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.load(ctx.out / f / f"{task}.npy") for f in ("predictions", "labels"))


def accuracy(ctx, task: str) -> float:
    logits, labels = predicted(ctx, task)
    return float((logits.argmax(1) == labels).mean())


def test_a_separable_task_is_learnt(data, pretrain, make_context, plain):
    ctx = make_context(data, pretrain)
    finetune(ctx, **plain, tasks=("easy",))
    assert accuracy(ctx, "easy") > 0.95
    assert table_of(ctx)["easy"]["dev"] > 0.95


def test_random_labels_stay_at_chance_on_test_however_well_they_are_fitted(
    data, pretrain, make_context, plain
):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 20}), tasks=("random",))
    (trial,) = [json.loads(line) for line in (ctx.out / "history.jsonl").open()]
    assert trial["loss"] < 0.5  # below ln 2: it did fit the training labels
    assert abs(accuracy(ctx, "random") - 0.5) < 4 * 0.5 / np.sqrt(60)


def test_regression_predicts_the_target(data, pretrain, make_context, plain):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 15}), tasks=("graded",), pooling="mean")
    values, targets = predicted(ctx, "graded")
    assert values.shape == targets.shape == (60,)
    assert (values.dtype, targets.dtype) == (np.float32, np.float32)
    assert np.corrcoef(values, targets)[0, 1] > 0.9


def test_tagging_predicts_every_labelled_piece_and_no_other(data, pretrain, make_context, plain):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 12}), tasks=("parity",))
    logits, labels = predicted(ctx, "parity")
    given = np.load(data / "tasks" / "parity" / "test" / "labels.npy")
    assert labels.tolist() == given[given != -100].tolist()
    assert logits.shape == (len(labels), 2)
    lengths = np.load(ctx.out / "labels" / "parity.lengths.npy")
    assert lengths.tolist() == (given != -100).sum(1).tolist()
    assert accuracy(ctx, "parity") > 0.95


def test_pairs_are_told_apart_by_segments(data, pretrain, make_context, plain):
    ctx = make_context(data, pretrain)
    finetune(ctx, **plain, tasks=("halves",))
    assert accuracy(ctx, "halves") == 1.0


@pytest.mark.parametrize("restarts", [1, 2])
def test_a_tie_on_dev_goes_to_the_smaller_rate(data, pretrain, make_context, plain, restarts):
    ctx = make_context(data, pretrain)
    settings = plain | {"learning_rates": (6e-3, 3e-3), "restarts": restarts}
    finetune(ctx, **settings, tasks=("halves",))
    trials = [json.loads(line) for line in (ctx.out / "history.jsonl").open()]
    assert [t["learning_rate"] for t in trials] == sorted([6e-3, 3e-3] * restarts)
    assert {t["dev"] for t in trials} == {1.0}
    chosen = table_of(ctx)["halves"]
    assert (chosen["learning_rate"], chosen["restart"]) == (3e-3, 0)


def test_the_rate_that_is_best_on_dev_is_chosen(data, pretrain, make_context, plain):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"learning_rates": (1e-8, 3e-3)}), tasks=("easy",))
    assert table_of(ctx)["easy"]["learning_rate"] == 3e-3
    assert accuracy(ctx, "easy") > 0.95  # the predictions are those of the chosen rate


def test_arms_and_members_of_a_seed_see_the_same_examples(
    data, pretrain, make_context, plain, monkeypatch
):
    seen = []
    tune = sweep.tune
    monkeypatch.setattr(
        sweep, "tune", lambda encoder, task, *a, **k: seen.append(task) or tune(
            encoder, task, *a, **k
        )
    )
    settings = plain | {"epochs": 1}
    for arm, seed, member in (("bert", 1, 0), ("electra", 1, 3), ("bert", 2, 0)):
        ctx = make_context(data, pretrain, f"{arm}{seed}", arm=arm, seed=seed, member=member)
        finetune(ctx, **settings, tasks=("easy",), labels_per_class=5, test_examples=30)
    ids = [task.train.input_ids_NT.tolist() for task in seen]
    tests = [task.test.input_ids_NT.tolist() for task in seen]
    assert torch.bincount(seen[0].train.targets_U).tolist() == [5, 5]
    assert ids[0] == ids[1] != ids[2]
    assert tests[0] == tests[1] != tests[2]
    assert len(tests[0]) == 30


def test_members_of_a_seed_start_from_other_heads(data, pretrain, make_context, plain):
    outputs = []
    for member in (0, 1):
        ctx = make_context(data, pretrain, f"m{member}", member=member)
        finetune(ctx, **(plain | {"epochs": 1}), tasks=("easy",))
        outputs.append(predicted(ctx, "easy")[0])
    assert not np.allclose(outputs[0], outputs[1])


SWEEP = {"learning_rates": (1e-3, 3e-3), "epochs": None, "steps": 6}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data, pretrain, plain):
    from repro.context import RunContext

    folder = tmp_path_factory.mktemp("undisturbed")
    inputs = {"data": [data], "pretrain": [pretrain]}
    ctx = RunContext("finetune", "bert", 1, folder / "out", folder / "kept", inputs=inputs)
    finetune(ctx, **(plain | SWEEP), tasks=("easy", "parity"))
    return files_of(ctx.out)


@pytest.mark.parametrize(("after", "checkpoint_every"), [(2, 4), (6, None), (8, 1), (15, None)])
def test_a_stopped_run_continues_to_the_same_bytes(
    data, pretrain, make_context, plain, undisturbed, after, checkpoint_every
):
    settings = plain | SWEEP | {"tasks": ("easy", "parity"), "checkpoint_every": checkpoint_every}
    steps = []
    ctx = make_context(data, pretrain, stop_requested=lambda: len(steps) >= after)
    ctx.on_report = lambda step, **_: steps.append(step)
    with pytest.raises(Interrupted):
        finetune(ctx, **settings)
    assert not files_of(ctx.out)
    again = make_context(data, pretrain)
    repeated = []
    again.on_report = lambda step, **_: repeated.append(step)
    finetune(again, **settings)
    assert files_of(again.out) == undisturbed
    # 6 updates a trial: whole trials are never repeated; checkpoints spare the rest too.
    first = after if checkpoint_every else after // 6 * 6
    assert repeated[0] == first + 1
    assert repeated[-1] == 24


def test_a_kill_between_tasks_repeats_nothing_that_is_finished(
    data, pretrain, make_context, plain, undisturbed
):
    class Killed(BaseException):
        pass

    def kill(phase, **_):
        if phase == "parity":
            raise Killed

    settings = plain | SWEEP | {"tasks": ("easy", "parity")}
    ctx = make_context(data, pretrain, on_report=kill)
    with pytest.raises(Killed):
        finetune(ctx, **settings)
    phases = set()
    again = make_context(data, pretrain, on_report=lambda phase, **_: phases.add(phase))
    finetune(again, **settings)
    assert phases == {"parity"}
    assert files_of(again.out) == undisturbed


def test_unreadable_progress_starts_the_task_again(
    data, pretrain, make_context, plain, undisturbed, caplog
):
    settings = plain | SWEEP | {"tasks": ("easy", "parity")}
    ctx = make_context(data, pretrain)
    finetune(ctx, **settings)
    path = ctx.checkpoints / "finetune" / "easy.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING):
        finetune(ctx, **settings)
    assert "easy.safetensors: unreadable" in caplog.text
    assert files_of(ctx.out) == undisturbed


class Kept:
    """load_encoder that keeps what it loaded."""

    def __call__(self, folder):
        self.encoder = classifier.load_encoder(folder)
        self.start = {n: t.clone() for n, t in self.encoder.state_dict().items()}
        return self.encoder

    def unchanged(self) -> bool:
        state = self.encoder.state_dict()
        return all(torch.equal(state[n], tensor) for n, tensor in self.start.items())


def test_frozen_trains_the_head_on_features_and_leaves_the_encoder(
    data, pretrain, make_context, plain
):
    kept = Kept()
    ctx = make_context(data, pretrain)
    settings = plain | {"learning_rates": (3e-2,), "epochs": 40}
    finetune(ctx, **settings, tasks=("easy", "parity"), frozen=True, load_encoder=kept)
    assert kept.unchanged()
    assert not any(p.requires_grad for p in kept.encoder.parameters())
    assert accuracy(ctx, "parity") > 0.7


def test_each_task_starts_from_the_pretrained_weights(data, pretrain, make_context, plain):
    settings = plain | {"epochs": 2}
    kept = Kept()
    both, alone = make_context(data, pretrain, "both"), make_context(data, pretrain, "alone")
    finetune(both, **settings, tasks=("easy", "halves"), load_encoder=kept)
    finetune(alone, **settings, tasks=("halves",))
    assert kept.unchanged()
    assert np.array_equal(predicted(both, "halves")[0], predicted(alone, "halves")[0])


def test_lower_layers_learn_slower_under_layer_decay(pretrain):
    encoder = classifier.load_encoder(pretrain / "model")
    head = classifier.build_head("linear", 32, 2, 0.0)
    model = classifier.Classifier(encoder, head, "cls")
    optimizer = finetuning.adamw(model, 0.5, layer_decay=0.5)
    rates = {
        id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]
    }
    layers = encoder.encoder.layer
    found = [
        rates[id(p)]
        for p in (encoder.embeddings.word_embeddings.weight, layers[0].output.dense.weight,
                  layers[1].output.dense.weight, head[-1].weight)
    ]
    assert found[-1] == 0.5
    assert found == sorted(set(found))


def test_the_artefact_says_what_was_done(data, pretrain, make_context, plain):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 1}), tasks=None, train_examples=50)
    table = table_of(ctx)
    assert sorted(table) == ["easy", "graded", "halves", "parity", "random"]
    assert {info["train_examples"] for info in table.values()} == {50}
    encoder = classifier.load_encoder(pretrain / "model")
    size = sum(p.numel() for p in encoder.parameters())
    assert table["easy"]["parameters"] == size + 32 * 2 + 2
    assert table["graded"]["parameters"] == size + 32 + 1
    summary = json.loads((ctx.out / "summary.json").read_text())
    assert summary["pretraining_flops"] == 3000
    config = (pretrain / "model" / "config.json").read_bytes()
    assert (ctx.out / "model" / "config.json").read_bytes() == config
    assert ctx.totals["tokens"] > 0


def test_kept_weights_give_the_predictions_again_also_after_a_kill(
    data, pretrain, make_context, plain
):
    settings = plain | {"epochs": 1, "learning_rates": (1e-3, 3e-3), "keep_weights": True}
    ctx = make_context(data, pretrain, "whole")
    finetune(ctx, **settings, tasks=("easy", "halves"))
    for name in ("easy", "halves"):
        folder = ctx.out / "tuned" / name
        task = examples.load(data, name, ctx.seed)
        head = classifier.build_head("linear", 32, task.outputs, 0.0)
        head.load_state_dict(load_file(folder / "head.safetensors"))
        model = classifier.Classifier(classifier.load_encoder(folder), head, "cls")
        outputs = classifier.predict(model, task.test).numpy()
        assert np.array_equal(outputs, predicted(ctx, name)[0])
    answers = iter([False] * 12 + [True] * 1000)
    killed = make_context(data, pretrain, "cut", stop_requested=lambda: next(answers))
    with pytest.raises(Interrupted):
        finetune(killed, **settings, tasks=("easy", "halves"))
    finetune(again := make_context(data, pretrain, "cut"), **settings, tasks=("easy", "halves"))
    assert files_of(again.out) == files_of(ctx.out)


def test_operations_grow_with_the_updates_and_a_frozen_encoder_spends_none(
    data, pretrain, make_context, plain
):
    spent = {}
    for epochs, frozen in ((1, False), (3, False), (1, True)):
        ctx = make_context(data, pretrain, f"{epochs}{frozen}")
        finetune(ctx, **(plain | {"epochs": epochs, "frozen": frozen}), tasks=("easy",))
        spent[epochs, frozen] = ctx.totals.get("flops", 0)
    assert spent[1, True] == 0 < spent[1, False]
    assert spent[3, False] == pytest.approx(3 * spent[1, False], rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ("eazy",)}, "task 'eazy': .*did you mean 'easy'"),
        ({"tasks": ("easy", "easy")}, "named twice"),
        ({"tasks": ()}, "none asked for"),
        ({"learning_rates": ()}, "learning_rates = "),
        ({"learning_rates": (1e-3, 1e-3)}, "expected different"),
        ({"steps": 3}, "epochs = 6, steps = 3: expected exactly one"),
        ({"epochs": 0}, "epochs = 0, steps = None: expected at least 1"),
        ({"restarts": 0}, "restarts = 0"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"head": "deep"}, "head = 'deep'"),
        ({"pooling": "max"}, "pooling = 'max'"),
        ({"labels_per_class": 49}, "label 0 has 48 training examples, labels_per_class = 49"),
        ({"test_examples": 0}, "number of examples = 0"),
    ],
)
def test_a_setting_out_of_range_is_one_readable_line(
    data, pretrain, make_context, plain, settings, message
):
    with pytest.raises(UserError, match=message) as caught:
        finetune(make_context(data, pretrain), **(plain | {"tasks": ("easy",)} | settings))
    assert "\n" not in str(caught.value)


def test_a_sequence_longer_than_the_encoder_is_refused(
    tmp_path, data, make_pretrain, make_context, plain
):
    short = make_pretrain(tmp_path / "short", max_position_embeddings=6)
    with pytest.raises(UserError, match="longest sequence .*max_position_embeddings = 6"):
        finetune(make_context(data, short), **plain, tasks=("easy",))


def test_ids_beyond_the_encoders_vocabulary_are_refused(
    tmp_path, data, make_pretrain, make_context, plain
):
    small = make_pretrain(tmp_path / "small", vocab_size=20)
    with pytest.raises(UserError, match="vocab_size = 20"):
        finetune(make_context(data, small), **plain, tasks=("easy",))


def test_a_loss_that_is_not_finite_names_task_rate_and_step(data, pretrain, make_context, plain):
    def poisoned(folder):
        encoder = classifier.load_encoder(folder)
        encoder.embeddings.word_embeddings.weight.data.fill_(float("nan"))
        return encoder

    message = "task 'easy', learning rate 0.003: step 1: the loss is not finite"
    with pytest.raises(UserError, match=message):
        finetune(make_context(data, pretrain), **plain, tasks=("easy",), load_encoder=poisoned)


def test_an_empty_or_malformed_task_is_refused(
    tmp_path, make_data, pretrain, make_context, plain, toy
):
    info, splits = toy.easy()
    train = splits["train"]
    none = dataclasses.replace(
        train, **{f.name: getattr(train, f.name)[:0] for f in dataclasses.fields(train)}
    )
    wrong = dataclasses.replace(train, labels=train.labels + 1)
    cases = {
        "empty": (info, splits | {"train": none}, "train: no example"),
        "labels": (info, splits | {"train": wrong}, "label ids 1..2 outside 0..1"),
        "kind": (info | {"kind": "paire"}, splits, "did you mean 'pair'"),
        "metric": (info | {"metrics": ["acuracy"], "primary": "acuracy"}, splits, "'accuracy'"),
        "primary": (info | {"primary": "mcc"}, splits, "'mcc' is not in its metrics"),
    }
    for name, (one, parts, message) in cases.items():
        folder = make_data(tmp_path / name, [(one, parts)])
        with pytest.raises(UserError, match=message):
            finetune(make_context(folder, pretrain, f"run-{name}"), **plain)


def test_a_corrupted_task_or_missing_encoder_is_named(
    tmp_path, make_data, pretrain, make_context, plain, toy
):
    folder = make_data(tmp_path / "data", [toy.easy()])
    with pytest.raises(UserError, match="no encoder that can be loaded"):
        finetune(make_context(folder, tmp_path / "nowhere"), **plain)
    path = folder / "tasks" / "easy" / "train" / "labels.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(UserError, match="labels.npy: corrupted"):
        finetune(make_context(folder, pretrain), **plain)
    assert shards.sha256(path)
