"""Continued pre-training on the texts of tasks."""

import json

import numpy as np
import pytest
from cloze_world import ADAPT, OBJECTIVE, context, files

from repro.data import clozes
from repro.errors import Interrupted, UserError
from repro.nn import masked_lms
from repro.text import tokenizer as vocabularies
from repro.train import adapting
from repro.train.streams import Streams

TASKS = ("season", "both")


def run(folder, data, base, **settings):
    ctx = context(folder, data, "pretrain", base)
    adapting.adapt(ctx, **({"tasks": TASKS, "texts": adapting.plain} | ADAPT | settings))
    return ctx


def lines(data, name):
    task = clozes.open_task_pair(data, name)
    tokenizer = vocabularies.load(data)
    made = adapting.plain(task, np.arange(40), None, Streams(0))
    return [tokenizer.decode(line.tolist(), skip_special_tokens=False) for line in made]


def test_a_line_is_a_training_text_and_nothing_else(data):
    assert lines(data, "season")[0] == "train saw snow frost hail number0 [SEP]"
    assert lines(data, "both")[0].endswith("so it train was [SEP]")
    for name in TASKS:
        read = " ".join(lines(data, name))
        assert "test" not in read and "dev" not in read
        assert "[MASK]" not in read and "winter" not in read


def test_a_killed_run_ends_in_the_same_bytes(data, base, tmp_path):
    whole = run(tmp_path / "whole", data, base)
    stops = iter([False] * 9 + [True] * 100)  # inside the second task
    ctx = context(tmp_path / "killed", data, "pretrain", base,
                  stop_requested=lambda: next(stops))
    with pytest.raises(Interrupted):
        adapting.adapt(ctx, tasks=TASKS, texts=adapting.plain, **ADAPT)
    again = run(tmp_path / "killed", data, base)
    assert files(again.out) == files(whole.out)


def test_each_task_starts_from_the_base(data, base, tmp_path):
    together = run(tmp_path / "two", data, base)
    alone = run(tmp_path / "one", data, base, tasks=("both",))
    assert files(together.out / "models/both") == files(alone.out / "models/both")
    assert masked_lms.folder_of(together.out, "both") == together.out / "models/both"
    assert masked_lms.folder_of(base, "both") == base / "model"


def test_the_loss_falls_and_the_cost_adds_up(data, base, tmp_path):
    ctx = run(tmp_path, data, base, steps=60, log_every=10, tasks=("season",))
    history = [json.loads(line) for line in (ctx.out / "history.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"] - 0.3
    summary = json.loads((ctx.out / "summary.json").read_text())
    assert summary["steps"] == 67
    vocab = vocabularies.load_vocab(data)
    task = clozes.open_task_pair(data, "season")
    mean = np.mean([1 + len(line) for line in adapting.plain(task, np.arange(40), None, None)])
    per = OBJECTIVE.training_flops(OBJECTIVE.build(vocab, Streams(0)), batch_size=8,
                                   sequence_length=round(mean))
    assert summary["flops"] == 7000 + 60 * per and ctx.totals["flops"] == 60 * per


def test_epochs_count_lines(data, base, tmp_path):
    ctx = run(tmp_path, data, base, steps=0, epochs=2, tasks=("season",), pool_examples=20)
    assert json.loads((ctx.out / "summary.json").read_text())["steps"] == 7 + 2 * 3


def test_settings_out_of_range_are_refused(data, base, tmp_path):
    for settings in ({"steps": 0}, {"epochs": 3}, {"steps": -1}):
        with pytest.raises(UserError, match="expected one of them"):
            run(tmp_path, data, base, **settings)
