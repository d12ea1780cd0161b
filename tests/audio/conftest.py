"""A speech artefact of tones, and the real assets (fetched once, else skipped)."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from repro.audio import preparation, subwords
from repro.audio.utterances import Utterance
from repro.data import assets

SENTENCES = ["a cat", "the dog sat", "a dog", "the cat sat on a mat", "on the mat", "a mat sat"]
SAID = {"a": "a", "cat": "kat", "the": "de", "dog": "dok", "sat": "sat", "on": "on", "mat": "mat"}
LANGUAGES = ("xx", "yy", "zz")


def said() -> Iterator[Utterance]:
    """Six sentences in three languages, each in train, two of them in dev and test, too (there the
    words are in another order)."""
    rng = np.random.default_rng(0)
    for language in LANGUAGES:
        for number, text in enumerate(SENTENCES):
            wave = rng.normal(scale=0.1, size=4000 * (1 + len(text.split()))).astype(np.float32)
            yield Utterance(f"{language}/{number}", language, f"{language}-1", text.upper() + ".",
                            wave, "train")
            if number < 2:
                other = " ".join(reversed(text.split()))
                for split in ("dev", "test"):
                    words = f"{other} {'on' if split == 'dev' else 'cat'}"
                    yield Utterance(f"{language}/{split}{number}", language, f"{language}-2",
                                    words, wave, split)


class Voice:
    """Stands for espeak: one phone a letter."""

    def pronounce(self, text: str, language: str) -> list[str]:
        return list(SAID[text])


@pytest.fixture
def prepare(context, monkeypatch) -> Callable[..., Path]:
    """`prepare` on the sentences above; keywords override."""
    monkeypatch.setattr(preparation.speech, "espeak", lambda *_: Voice())

    def run(**settings) -> Path:
        ctx = context("data")
        tokenizer = partial(subwords.letter_bpe, vocab_size=20)
        defaults = {
            "sources": (said,), "groups": {"seen": ("xx", "yy"), "zz": ("zz",)},
            "tokenizer": tokenizer, "target_tokenizer": tokenizer, "mels": 8,
        }
        preparation.prepare(ctx, **{**defaults, **settings})
        return ctx.out

    return run


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
