"""What papers/pcp adds: filled templates with guessed labels; arms that differ in nothing else."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from papers.pcp.method import filled_templates
from repro.config import resolved
from repro.data import clozes
from repro.data.masking import mask_tokens
from repro.errors import UserError
from repro.evaluate import cloze, few_shot
from repro.text import tokenizer as vocabularies
from repro.train import adapting
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "cloze"))

from cloze_world import ADAPT, FINETUNE, context, files, write_base, write_data  # noqa: E402

ADAPTED = ("tapt_prompt", "pcp_prompt", "pcp_soft", "pcp_few", "pcp_randlabel", "full_pcp")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    data = write_data(tmp_path_factory.mktemp("data"))
    return data, write_base(tmp_path_factory.mktemp("base"), data)


@pytest.fixture(scope="module")
def labelled(world, tmp_path_factory):
    """The artefact of the label stage."""
    data, base = world
    ctx = context(tmp_path_factory.mktemp("label"), data, "pretrain", base)
    few_shot.finetune(ctx, tasks=("season", "both"), model=cloze.hard, label_pool=True, **FINETUNE)
    return ctx.out


def shown(data, lines):
    tokenizer = vocabularies.load(data)
    return [tokenizer.decode(line.tolist(), skip_special_tokens=False) for line in lines]


def test_a_filled_template_by_hand(world, tmp_path):
    data, _ = world
    (tmp_path / "pool").mkdir()
    task = clozes.open_task_pair(data, "both")
    guesses = np.zeros(40, dtype=np.int64)
    guesses[1] = 1
    np.save(tmp_path / "pool/both.npy", guesses)
    made = filled_templates(task, np.array([1, 2]), tmp_path, Streams(0), labels="guessed")
    warm, cold = shown(data, made)
    assert "? summer, so it train was [SEP]" in warm, "row 1: the guess, true or not"
    assert "? winter, so it train was [SEP]" in cold
    assert "[MASK]" not in warm + cold


def test_gold_and_random_words(world):
    data, _ = world
    task = clozes.open_task_pair(data, "season")
    rows = np.arange(40)
    gold = shown(data, filled_templates(task, rows, None, Streams(0), labels="gold"))
    assert all(("summer" if i % 2 else "winter") in line for i, line in enumerate(gold))
    drawn = [shown(data, filled_templates(task, rows, None, Streams(seed), labels="random"))
             for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 5 < sum("summer" in line for line in drawn[0]) < 35


def test_guesses_must_be_there(world, tmp_path):
    task = clozes.open_task_pair(world[0], "season")
    with pytest.raises(UserError, match="no guessed labels"):
        filled_templates(task, np.arange(2), tmp_path, Streams(0), labels="guessed")


def test_with_words_and_templates_removed_it_is_task_adaptive_pretraining(
    world, labelled, tmp_path
):
    data, base = world
    texts = {"tapt": adapting.plain, "off": partial(filled_templates, labels="removed"),
             "on": partial(filled_templates, labels="guessed")}
    made = {}
    for name, text in texts.items():
        ctx = context(tmp_path / name, data, "label" if name != "tapt" else "pretrain",
                      labelled if name != "tapt" else base)
        adapting.adapt(ctx, tasks=("season",), texts=text, **ADAPT)
        made[name] = files(ctx.out / "models")
    assert made["off"] == made["tapt"], "also: it starts from the base, not from the labeller"
    assert made["on"] != made["tapt"]


def test_the_label_word_is_masked_by_chance_only(world):
    """15 % of the tokens of a line are chosen; the label's word is one of them, no more."""
    data, _ = world
    task = clozes.open_task_pair(data, "season")
    lines = filled_templates(task, np.arange(40), None, Streams(0), labels="gold")
    width = max(map(len, lines))
    tokens = torch.tensor([[*line, *[task.vocab.pad] * (width - len(line))] for line in lines])
    keep = tokens != task.vocab.pad
    is_label = torch.isin(tokens, torch.from_numpy(task.words_C)).flatten()
    hits, rounds = 0, 50
    for step in range(rounds):
        masked = mask_tokens(tokens, keep, task.vocab, Streams(0).generator("mask", step))
        hits += int(is_label[masked.positions].sum())
    share = hits / (rounds * int(is_label.sum()))
    chosen = masked.positions.numel() / int((keep & (tokens != task.vocab.sep)).sum())
    assert share == pytest.approx(chosen, abs=0.03)


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_continued_pretraining_differs_in_its_texts_only(profile):
    arms = resolved.load(ROOT / f"papers/pcp/resolved/{profile}")["arms"]
    base = arms["tapt_prompt"]["adapt"]["config"]
    assert base["texts"]["_ref"] == "repro.train.adapting.plain"
    assert base["objective"]["_fn"] == "repro.losses.whole_masked_lm.WholeMaskedLM"
    for arm in ADAPTED:
        config = arms[arm]["adapt"]["config"]
        differing = {name for name in config if config[name] != base[name]}
        allowed = {"texts", "pool_examples"} if arm == "pcp_few" else {"texts"}
        assert differing <= allowed, arm
    labels = {arm: arms[arm]["adapt"]["config"]["texts"].get("labels") for arm in ADAPTED}
    assert labels == {"tapt_prompt": None, "pcp_prompt": "guessed", "pcp_soft": "guessed",
                      "pcp_few": "guessed", "pcp_randlabel": "random", "full_pcp": "gold"}


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_arms_of_a_claim_are_fine_tuned_alike(profile):
    arms = resolved.load(ROOT / f"papers/pcp/resolved/{profile}")["arms"]

    def differences(one, two):
        first, second = (arms[arm]["finetune"]["config"] for arm in (one, two))
        return {name for name in first if first[name] != second[name]}

    for one, two in (("prompt_ft", "tapt_prompt"), ("prompt_ft", "pcp_prompt"),
                     ("prompt_ft", "pcp_few"), ("prompt_ft", "pcp_randlabel"),
                     ("prompt_ft", "scratch"), ("prompt_soft", "pcp_soft"),
                     ("prompt_soft", "tapt_soft"), ("cls_ft", "tapt_cls"),
                     ("full_prompt", "full_pcp"), ("full_prompt", "full_tapt")):
        assert differences(one, two) == set(), (one, two)
    assert differences("prompt_ft", "full_prompt") == {"labels_per_class"}
    assert differences("prompt_ft", "prompt_soft") == {"model"}
    assert differences("prompt_ft", "self_train") == {"consistency", "steps", "evaluate_every"}
    for hard, arm in (("prompt_ft", "pcp_prompt"), ("prompt_soft", "pcp_soft")):
        label = arms[arm]["label"]["config"]
        tuned = arms[hard]["finetune"]["config"]
        assert {name for name in label if label[name] != tuned[name]} == {"label_pool"}
