"""Which of a picture's texts a training step reads. K texts a picture.

Pictures to learn from have their texts in this order: the caption they came with, the long caption
whole, then each sentence of it.
"""

from typing import Protocol

import numpy as np

RAW, LONG, SENTENCES = 0, 1, 2  # the places of the texts; sentences are all from the third on


class Choice(Protocol):
    """number: texts that are chosen for each picture."""

    number: int

    def __call__(self, available: int, rng: np.random.Generator, /) -> list[int]:
        """Return which of a picture's `available` texts are read, as places."""
        ...


class One:
    """The same text of every picture: place 0 is its own caption, 1 the long one."""

    number = 1

    def __init__(self, *, place: int) -> None:
        self.place = place

    def __call__(self, available: int, rng: np.random.Generator, /) -> list[int]:
        """Return [place]."""
        return [self.place]
