"""Spans of whole words, as mBART's noise chooses them, and text infilling.

T tokens of one sentence, without special tokens.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from repro.errors import UserError
from repro.text.languages import word_starts
from repro.text.tokenizer import load_vocab

# A sentence's tokens, its language, randomness -> the tokens that are read in its place.
Corrupt = Callable[[np.ndarray, str, np.random.Generator], np.ndarray]


class Noise(Protocol):
    """A corruption of sentences; it holds settings only, until it is opened."""

    def open(self, folder: Path) -> Corrupt:
        """Return the corruption with what it needs of a data artefact."""
        ...


class Spans(NamedTuple):
    """starts, ends (n,) int64: tokens starts[i] to ends[i] - 1 form span i; spans may overlap.
    inserts: how many spans have no word at all, and so stand between two tokens."""

    starts: np.ndarray
    ends: np.ndarray
    inserts: int


def choose_spans(
    begins_T: np.ndarray, rng: np.random.Generator, *, rate: float, mean_length: float
) -> Spans:
    """Return spans that begin at distinct random words and have ceil(rate * words) words in all.

    begins_T bool: where a word begins (the first token always does). Lengths are Poisson, the last
    one cut so that the sum is met; a span ends with its sentence. Source: Lewis et al. 2020,
    section 2.2, and Liu et al. 2020, section 2.2, with the details of their released code.
    """
    words = np.flatnonzero(begins_T | (np.arange(len(begins_T)) == 0))
    budget = math.ceil(rate * len(words))
    if budget == 0:
        return Spans(np.empty(0, np.int64), np.empty(0, np.int64), 0)
    lengths = rng.poisson(mean_length, budget)
    while lengths.sum() < budget:
        lengths = np.concatenate([lengths, rng.poisson(mean_length, budget)])
    last = int(np.searchsorted(np.cumsum(lengths), budget))
    lengths = lengths[: last + 1]
    lengths[last] -= lengths.sum() - budget
    inserts = int((lengths == 0).sum())
    lengths = lengths[lengths > 0]
    first = rng.permutation(len(words))[: len(lengths)]
    bounds = np.append(words, len(begins_T))
    return Spans(words[first], bounds[np.minimum(first + lengths, len(words))], inserts)


def covered(spans: Spans, size: int) -> np.ndarray:
    """Return (T,) bool: the tokens inside a span."""
    inside_T = np.zeros(size, dtype=bool)
    for start, end in zip(spans.starts, spans.ends, strict=True):
        inside_T[start:end] = True
    return inside_T


def insert(tokens_T: np.ndarray, token: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the tokens with so many copies of one put at random places."""
    if count == 0:
        return tokens_T
    size = len(tokens_T) + count
    fresh = np.zeros(size, dtype=bool)
    fresh[rng.permutation(size)[:count]] = True
    result = np.full(size, token, dtype=tokens_T.dtype)
    result[~fresh] = tokens_T
    return result


def check(rate: float, mean_length: float) -> None:
    """Raise UserError for a share of words outside [0, 1] or a mean length below 0.1: nearly all
    spans would be empty."""
    if not 0 <= rate <= 1:
        raise UserError(f"rate = {rate}: expected 0 to 1")
    if not mean_length >= 0.1:
        raise UserError(f"mean_length = {mean_length}: expected at least 0.1")


class Infilling:
    """Text infilling: each span gives place to one [MASK], an empty one to a [MASK] more.

    rate: share of the words. mean_length: of a span, in words. Source: Liu et al. 2020 (mBART).
    """

    def __init__(self, *, rate: float = 0.35, mean_length: float = 3.5) -> None:
        check(rate, mean_length)
        self.rate, self.mean_length = rate, mean_length

    def open(self, folder: Path) -> Corrupt:
        """Return the corruption with the folder's vocabulary."""
        starts_V, mask = word_starts(folder), load_vocab(folder).mask

        def corrupt(tokens_T: np.ndarray, _: str, rng: np.random.Generator) -> np.ndarray:
            spans = choose_spans(
                starts_V[tokens_T], rng, rate=self.rate, mean_length=self.mean_length
            )
            dropped_T = covered(spans, len(tokens_T))
            dropped_T[spans.starts] = False
            masked_T = tokens_T.copy()
            masked_T[spans.starts] = mask
            return insert(masked_T[~dropped_T], mask, spans.inserts, rng)

        return corrupt
