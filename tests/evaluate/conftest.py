"""Small artefacts of the data and pretrain stages, written through the project's own writers."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertModel

from repro.context import RunContext
from repro.data import shards
from repro.data.shards import Split
from repro.evaluate import finetuning
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
        encoder.save_pretrained(folder / "model")
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
    return {
        "learning_rates": (3e-3,), "optimizer": finetuning.adamw, "schedule": schedules.linear,
        "batch_size": 16, "epochs": 6,
    }


def splits_of(build: Callable[[np.random.Generator, int], Split]) -> dict[str, Split]:
    """Return train, dev and test of 96, 40 and 60 examples from build(rng, total)."""
    rng = np.random.default_rng(3)
    return {name: build(rng, total) for name, total in (("train", 96), ("dev", 40), ("test", 60))}


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """Builders of small tasks: each returns (info, splits)."""

    def easy(name: str = "easy", classes: int = 2) -> tuple[dict, dict]:
        labels = [f"c{i}" for i in range(classes)]
        info = task_info(name, "classification", labels, ["accuracy", "macro_f1"])
        return info, splits_of(lambda rng, total: separable(rng, total, classes))

    def random(name: str = "random") -> tuple[dict, dict]:
        def build(rng: np.random.Generator, total: int) -> Split:
            labels = rng.integers(2, size=total)
            return Split(*rows_of([[CLS, *words(rng), SEP] for _ in labels]), labels)

        info = task_info(name, "classification", ["no", "yes"], ["accuracy", "f1"])
        return info, splits_of(build)

    def graded(name: str = "graded") -> tuple[dict, dict]:
        """The target is how many of five places hold the first word."""

        def build(rng: np.random.Generator, total: int) -> Split:
            labels = rng.integers(6, size=total)
            contents = [
                [CLS, *[FIRST_WORD] * k, *rng.integers(FIRST_WORD + 1, VOCAB, 5 - k).tolist(), SEP]
                for k in labels
            ]
            return Split(*rows_of(contents), labels.astype(np.float32))

        return task_info(name, "regression", [], ["pearson", "spearman", "mse"]), splits_of(build)

    def parity(name: str = "parity") -> tuple[dict, dict]:
        """The tag of a word is whether its id is odd; every third piece has no label."""

        def build(rng: np.random.Generator, total: int) -> Split:
            ids, segments = rows_of([[CLS, *words(rng), SEP] for _ in range(total)])
            labels = np.where(ids > SEP + 1, ids.astype(np.int64) % 2, -100)
            labels[:, 3::3] = -100
            return Split(ids, segments, labels)

        return task_info(name, "tagging", ["O", "B-ODD"], ["accuracy", "span_f1"]), splits_of(build)

    def halves(name: str = "halves") -> tuple[dict, dict]:
        """Same words throughout: only the segments tell the classes apart."""

        def build(rng: np.random.Generator, total: int) -> Split:
            labels = np.arange(total) % 2
            content = [CLS, 9, SEP, 9, SEP]
            segments = [[0, 0, 0, 1, 1] if label else [0] * 5 for label in labels]
            return Split(*rows_of([content] * total, segments), labels)

        return task_info(name, "pair", ["one", "two"], ["accuracy"]), splits_of(build)

    return SimpleNamespace(
        easy=easy, random=random, graded=graded, parity=parity, halves=halves, width=WIDTH
    )
