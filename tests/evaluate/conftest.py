"""Small artefacts of the data and pretrain stages, written through the project's own writers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertModel

from repro.context import RunContext
from repro.data import shards
from repro.data.shards import Split
from repro.text import tokenizer as text
from repro.train import schedules

VOCAB, WIDTH = 60, 12
PAD, CLS, SEP = 0, 2, 3
FIRST_WORD = len(text.SPECIAL_TOKENS)


def rows_of(contents: list[list[int]], segments: list[list[int]] | None = None) -> tuple:
    """Return (input_ids, segments) padded to WIDTH."""
    ids = np.full((len(contents), WIDTH), PAD, dtype=np.uint16)
    kinds = np.zeros((len(contents), WIDTH), dtype=np.uint8)
    for row, content in enumerate(contents):
        ids[row, : len(content)] = content
        if segments:
            kinds[row, : len(content)] = segments[row]
    return ids, kinds


def words(rng: np.random.Generator, low: int = FIRST_WORD + 2) -> list[int]:
    return rng.integers(low, VOCAB, size=rng.integers(3, WIDTH - 3)).tolist()


def separable(rng: np.random.Generator, total: int, classes: int = 2) -> Split:
    """The label is told by one word (FIRST_WORD + label) right after [CLS]."""
    labels = np.arange(total) % classes
    contents = [
        [CLS, FIRST_WORD + int(label), *words(rng, FIRST_WORD + classes)[:-1], SEP]
        for label in labels
    ]
    return Split(*rows_of(contents), labels.astype(np.int64))


def task_info(name: str, kind: str, labels: list[str], metrics: list[str]) -> dict:
    return {
        "name": name, "kind": kind, "labels": labels, "metrics": metrics, "primary": metrics[0],
    }


@pytest.fixture(scope="session")
def make_data():
    """Return write(folder, [(info, {split: Split}), ...]) -> folder, a verified data artefact."""

    def write(folder: Path, tasks: list[tuple[dict, dict[str, Split]]]) -> Path:
        names = [*text.SPECIAL_TOKENS, *(f"w{i}" for i in range(VOCAB - FIRST_WORD))]
        vocab = {name: index for index, name in enumerate(names)}
        text.save(Tokenizer(models.WordPiece(vocab, unk_token="[UNK]")), folder)
        for info, splits in tasks:
            shards.write_task(folder / "tasks" / info["name"], info, splits)
        shards.write_manifest(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def make_pretrain():
    """Return write(folder, seed) -> folder, a pretrain artefact of a two-layer BERT."""

    def write(folder: Path, seed: int = 0, **settings) -> Path:
        torch.manual_seed(seed)
        shape = {
            "vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": WIDTH,
        }
        encoder = BertModel(BertConfig(**(shape | settings)), add_pooling_layer=False)
        encoder.save_pretrained(folder / "encoder")
        summary = {"steps": 3, "tokens": 300, "flops_per_step": 1000}
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def make_context(tmp_path):
    """Return build(data=, pretrain=, name=, ...) -> RunContext under tmp_path / name."""

    def build(data: Path, pretrain: Path, name: str = "run", **values) -> RunContext:
        folder = tmp_path / name
        for part in ("out", "checkpoints"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        return RunContext(
            **{
                "stage": "finetune", "arm": "bert", "seed": 1, "out": folder / "out",
                "checkpoints": folder / "checkpoints",
                "inputs": {"data": [data], "pretrain": [pretrain]},
                **values,
            }
        )

    return build


@pytest.fixture(scope="session")
def plain() -> dict:
    """Settings of `finetune` that the tests share."""
    from repro.evaluate import finetuning

    return {
        "learning_rates": (3e-3,), "optimizer": finetuning.adamw, "schedule": schedules.linear,
        "batch_size": 16, "epochs": 6,
    }


@pytest.fixture(scope="session")
def easy():
    """Return build(name, train=...) -> (info, splits) of a separable two-class task."""

    def build(name: str = "easy", train: int = 96, classes: int = 2) -> tuple[dict, dict]:
        rng = np.random.default_rng(3)
        splits = {
            "train": separable(rng, train, classes),
            "dev": separable(rng, 40, classes),
            "test": separable(rng, 60, classes),
        }
        labels = [f"c{i}" for i in range(classes)]
        return task_info(name, "classification", labels, ["accuracy", "macro_f1"]), splits

    return build
