"""Drawings that need no download, and a data artefact made of them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from repro.context import RunContext
from repro.text.tokenizer import wordpiece
from repro.vision import emoji_sets
from repro.vision.emoji import Drawing
from repro.vision.preparation import prepare

SIZE = 32


def square(red: int, green: int, blue: int) -> np.ndarray:
    pixels = np.zeros((16, 16, 4), dtype=np.uint8)
    pixels[:] = red, green, blue, 255
    return pixels


def drawings() -> list[Drawing]:
    """Six squares of one colour each; the last two of one kind."""
    colours = {"red": (225, 50, 50), "green": (85, 165, 75), "blue": (70, 145, 220),
               "yellow": (250, 215, 70), "black": (20, 20, 20), "white": (250, 250, 250)}
    kinds = ("berry", "leaf", "sea", "sun", "shade", "shade")
    return [Drawing(f"{name} square", kind, (f"{kind}ish",), name, square(*colour))
            for (name, colour), kind in zip(colours.items(), kinds, strict=True)]


@pytest.fixture
def squares() -> list[Drawing]:
    return drawings()


@pytest.fixture
def make_artefact(tmp_path: Path) -> Callable[..., Path]:
    """`prepare` on the squares; keywords override."""

    def run(name: str = "data", **settings) -> Path:
        source = {"drawings": drawings, "size": SIZE}
        sets = {
            "train": partial(emoji_sets.captioned, name="train", count=20, **source),
            "scenes": partial(emoji_sets.captioned, name="test", count=6, wording="test", **source),
            "things": partial(emoji_sets.singles, name="things", classes=4, each=2, **source),
            "maps": partial(emoji_sets.mapped, name="maps", count=5, **source),
        }
        out = tmp_path / name
        out.mkdir()
        ctx = RunContext(stage="data", arm="any", seed=0, out=out, checkpoints=tmp_path / "ck")
        defaults = {"sets": sets, "tokenizer": partial(wordpiece, vocab_size=300),
                    "tokenizer_set": "train", "image_size": SIZE}
        prepare(ctx, **{**defaults, **settings})
        return out

    return run


@pytest.fixture
def artefact(make_artefact) -> Path:
    return make_artefact()
