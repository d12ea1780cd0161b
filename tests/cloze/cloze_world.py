"""A data artefact of two cloze tasks and a masked language model, written by the project's own
writers; small enough for every test."""

import json
from functools import partial
from pathlib import Path

import torch

from repro.context import RunContext
from repro.data import shards
from repro.data.documents import Example, TaskData
from repro.data.encoding import encode_task, task_info
from repro.data.tasks import cloze
from repro.evaluate import finetuning
from repro.losses.whole_masked_lm import WholeMaskedLM
from repro.nn import encoders
from repro.text import tokenizer as vocabularies
from repro.text import whole_words
from repro.train import adapting, optimizers, schedules
from repro.train.streams import Streams

WORDS = {"cold": "winter", "warm": "summer"}
NOUNS = ("ice", "snow", "frost", "hail"), ("sun", "heat", "sand", "fire")
LENGTH = 24


def examples(split: str, count: int) -> list[Example]:
    """A text names three things of its label, in an order of its own; ids tell the splits apart."""
    made = []
    for i in range(count):
        label = i % 2
        things = [NOUNS[label][(i * k + k) % 4] for k in (1, 2, 3)]
        made.append(Example(label, f"{split} saw {' '.join(things)} number{i % 5}"))
    return made


def single() -> TaskData:
    splits = {name: examples(name, count) for name, count in
              (("train", 40), ("dev", 16), ("test", 20))}
    return TaskData("classification", ("cold", "warm"), ("accuracy",), **splits)


def pairs() -> TaskData:
    task = single()
    for split in ("train", "dev", "test"):
        setattr(task, split, [Example(item.label, item.text, f"so it {split} was")
                              for item in getattr(task, split)])
    return TaskData("pair", task.labels, ("accuracy",), task.train, task.dev, task.test)


def write_data(folder: Path, length: int = LENGTH) -> Path:
    """Write the tasks `season` and `both` (pairs) with their cloze forms."""
    tasks = {
        "season": single(),
        "season_cloze": cloze.written(task=single, template="{text} it was {mask} .", words=WORDS),
        "both": pairs(),
        "both_cloze": cloze.written(task=pairs, template="{text} ? {mask} , {pair}", words=WORDS),
    }
    texts = [f"{item.text} {item.pair or ''} it was ." for task in tasks.values()
             for split in ("train", "dev", "test") for item in getattr(task, split)]
    tokenizer = whole_words.wordpiece(
        [text.replace("[MASK]", "") for text in texts], words=("winter", "summer"), vocab_size=140)
    vocabularies.save(tokenizer, folder)
    for name, task in tasks.items():
        splits, cut = encode_task(tokenizer, task, length, name)
        shards.write_task(folder / "tasks" / name, task_info(name, task, cut, {}), splits)
    shards.write_manifest(folder)
    return folder


OBJECTIVE = WholeMaskedLM(encoder=partial(
    encoders.bert, hidden=16, layers=1, heads=2, intermediate=24, max_positions=LENGTH,
    dropout=0.1, attention_dropout=0.0))


def write_base(folder: Path, data: Path, seed: int = 0) -> Path:
    """Write the artefact of a pretrain stage: a model at its initialisation."""
    model = OBJECTIVE.build(vocabularies.load_vocab(data), Streams(seed))
    with torch.no_grad():
        model.head.bias.normal_()
    adapting.save(OBJECTIVE.exported(model), folder / "model", data)
    summary = {"steps": 7, "tokens": 70, "flops_per_step": 1000}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def context(folder: Path, data: Path, stage: str, source: Path, **settings) -> RunContext:
    """Return a run on the data and on the artefact of an earlier stage."""
    (folder / "out").mkdir(parents=True, exist_ok=True)
    return RunContext("run", "arm", 3, folder / "out", folder / "checkpoints",
                      inputs={"data": [data], stage: [source]}, **settings)


ADAPT = {
    "objective": OBJECTIVE, "optimizer": partial(optimizers.adamw, lr=0.01),
    "schedule": schedules.linear, "steps": 6,
    "batches": adapting.Lines(batch_size=8, sequence_length=LENGTH),
    "log_every": 2, "checkpoint_every": 2,
}
FINETUNE = {
    "optimizer": partial(finetuning.adamw, eps=1e-8), "schedule": schedules.linear, "steps": 60,
    "evaluate_every": 20, "batch_size": 8, "labels_per_class": 12, "dev_per_class": 6,
    "learning_rates": (0.003, 0.01),
}


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}
