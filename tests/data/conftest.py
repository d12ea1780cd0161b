"""A tiny vocabulary, a tiny artefact, and the real assets (fetched once, else skipped)."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from repro.context import RunContext
from repro.data import assets, shards
from repro.data.documents import Document, Example, TaskData
from repro.data.preparation import prepare
from repro.data.subsets import everything
from repro.text import tokenizer as vocabularies

SENTENCES = [
    "the cat sat on the mat .",
    "a dog barked at the cat .",
    "birds sing in the old trees .",
    "the old man fed the birds .",
    "a child played with the dog .",
    "rain fell on the quiet town .",
]


@pytest.fixture
def sentences() -> list[str]:
    return SENTENCES


@pytest.fixture
def context(tmp_path: Path) -> Callable[[str], RunContext]:
    def make(name: str) -> RunContext:
        out = tmp_path / name
        out.mkdir()
        return RunContext(stage="data", arm="any", seed=0, out=out, checkpoints=tmp_path / "ck")

    return make


@pytest.fixture
def source() -> Callable:
    """60 documents of two sentences each; the first word is the document's own."""

    def read():
        for index in range(60):
            pair = (SENTENCES[index % 6], f"w{index} {SENTENCES[(index + 1) % 6]}")
            yield Document(f"toy/{index}", pair, "even" if index % 2 == 0 else "odd", str(index))

    return read


@pytest.fixture
def task() -> Callable:
    """A task whose test texts are the second sentences of documents 0 to 4."""

    def build() -> TaskData:
        texts = [f"w{index} {SENTENCES[(index + 1) % 6]}" for index in range(15)]
        examples = [
            Example(label=index % 2, text=text, sources=(text.upper().replace(" .", "!"),))
            for index, text in enumerate(texts)
        ]
        return TaskData(
            kind="classification",
            labels=("odd", "even"),
            metrics=("accuracy",),
            test=examples[:5],
            dev=examples[5:7],
            train=examples[7:],
        )

    return build


@pytest.fixture
def small_prepare(source, task) -> Callable:
    """`prepare` on the toy source; keywords override."""

    def run(ctx: RunContext, **settings) -> Path:
        defaults = {
            "sources": (source,),
            "corpora": {"all": everything},
            "tasks": {"parity": task},
            "tokenizer": partial(vocabularies.wordpiece, vocab_size=120, min_frequency=1),
            "task_length": 16,
        }
        prepare(ctx, **{**defaults, **settings})
        return ctx.out

    return run


@pytest.fixture
def artefact(context, small_prepare) -> Path:
    return small_prepare(context("artefact"))


@pytest.fixture
def corpus(tmp_path: Path) -> Callable:
    """A corpus of documents of given lengths; token ids count up from 5 over the documents."""

    def make(lengths: list[int]) -> shards.Corpus:
        root = tmp_path / "corpus"
        vocab = vocabularies.VocabInfo(30000, 0, 1, 2, 3, 4, (0, 1, 2, 3, 4))
        start, documents = 5, []
        for length in lengths:
            documents.append(np.append(np.arange(start, start + length), vocab.sep))
            start += length
        meta = shards.write_corpus(root, documents, vocab.dtype, {})
        arrays = (np.load(root / f"{name}.npy", mmap_mode="r") for name in ("tokens", "offsets"))
        return shards.Corpus("toy", *arrays, vocab, meta)

    return make


@pytest.fixture
def fetched() -> Callable[..., None]:
    """Skip a test on real data where the asset is absent; in CI its absence is a failure."""

    def need(*names: str) -> None:
        for name in names:
            if assets.manifest(assets.find(name)) is None:
                if os.environ.get("CI"):
                    pytest.fail(f"asset {name} is not fetched (repro data fetch {name})")
                pytest.skip(f"asset {name} is not fetched")

    return need
