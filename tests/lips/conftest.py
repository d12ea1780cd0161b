"""A clips artefact of drawn mouths whose phones are letters, made without any asset."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from repro.audio.espeak import Phone
from repro.lips import preparation
from repro.lips.articulation import frames_of, tracks
from repro.lips.mouths import Spoken
from repro.lips.rendering import look, render
from repro.text.tokenizer import byte_bpe

SENTENCES = ["the cat sat", "a dog sat", "the dog and the cat", "a cat and a dog", "sat the dog",
             "pat the cat", "a mat", "the bat and a mat"]
SPLITS = ("train", "train", "train", "train", "dev", "test", "test", "train")


class Voice:
    """Stands for espeak: one phone a letter."""

    def pronounce(self, text: str, language: str) -> list[str]:
        return list(text)


def spoken(pool: list[str], /, *, sentences: int = 8, size: int = 16) -> Iterator[Spoken]:
    """The first sentences of the pool, a tenth of a second a letter."""
    for index, text in enumerate(pool[:sentences]):
        letters = text.replace(" ", "")
        phones = [Phone(one, place / 10, (place + 1) / 10) for place, one in enumerate(letters)]
        rng = np.random.default_rng(index)
        video = render(tracks(phones, frames_of(phones)), look(rng), rng, size)[:, None]
        yield Spoken(f"clip-{index}", f"person-{index}", SPLITS[index], text, video, tuple(phones))


@pytest.fixture
def prepare(context, monkeypatch) -> Callable[..., Path]:
    """`prepare` on the sentences above; keywords override."""
    monkeypatch.setattr(preparation.speech, "espeak", lambda *_: Voice())

    def run(**settings) -> Path:
        ctx = context("data")
        defaults = {"text": lambda: list(SENTENCES), "clips": spoken, "size": 16,
                    "tokenizer": partial(byte_bpe, vocab_size=300, min_frequency=1)}
        preparation.prepare(ctx, **{**defaults, **settings})
        return ctx.out

    return run
