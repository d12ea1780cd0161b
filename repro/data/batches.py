"""Batches for pre-training: a pure function of (corpus, order stream, step), so resume is a number.

Shapes: B rows, T positions; W units (windows or documents) of one epoch.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from repro.data.shards import Corpus, open_corpus
from repro.errors import UserError
from repro.text.tokenizer import FILES, VocabInfo


class OrderStreams(Protocol):
    """What batches need of `repro.train.streams.Streams`."""

    def numpy(self, name: str, step: int = 0) -> np.random.Generator: ...


class TokenRows:
    """Rows of one corpus of the data artefact: a `repro.train.objective.Batches`.

    batch_size: rows B. sequence_length: positions T, special tokens included. packed: rows are
    windows of the joined documents; otherwise one document each, cut or padded.
    """

    files = FILES

    def __init__(
        self, *, corpus: str, batch_size: int, sequence_length: int, packed: bool = True
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size = {batch_size}: must be at least 1")
        self.corpus = corpus
        self.packed = packed
        self.shape = {"batch_size": batch_size, "sequence_length": sequence_length}

    @property
    def tokens(self) -> int:
        """Positions in a batch, padding included."""
        return self.shape["batch_size"] * self.shape["sequence_length"]

    def open(
        self, folder: Path, streams: OrderStreams
    ) -> tuple[VocabInfo, Callable[[int], tuple[Tensor, Tensor]]]:
        """Return the vocabulary and batch(index) -> (tokens_BT, keep_BT), see `pretraining_batch`.

        Raises UserError for a missing or damaged corpus.
        """
        corpus = open_corpus(folder, self.corpus)
        return corpus.vocab, partial(
            pretraining_batch, corpus, streams, packed=self.packed, **self.shape
        )

    def example(self, vocab: VocabInfo) -> tuple[Tensor, Tensor]:
        """Return a batch of full rows of random words, for measuring without data."""
        shape = tuple(self.shape.values())
        tokens_BT = torch.randint(len(vocab.special), vocab.size, shape)
        return tokens_BT, torch.ones(shape, dtype=torch.bool)


def units_per_epoch(corpus: Corpus, *, sequence_length: int, packed: bool = True) -> int:
    """Return how many rows one pass over the corpus has: windows (packed) or documents (padded).

    Raises UserError if a row cannot hold a token, or the corpus does not fill one window.
    """
    if sequence_length < 3:
        raise UserError(f"sequence_length = {sequence_length}: must be at least 3 ([CLS] x [SEP])")
    if not packed:
        return len(corpus)
    units = len(corpus.tokens) // (sequence_length - 2)
    if units == 0:
        raise UserError(
            f"sequence_length = {sequence_length}: corpus '{corpus.name}' has only "
            f"{len(corpus.tokens)} tokens, not enough for one window"
        )
    return units


def pretraining_batch(
    corpus: Corpus,
    streams: OrderStreams,
    step: int,
    *,
    batch_size: int,
    sequence_length: int,
    packed: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return (tokens_BT int64, keep_BT bool, False = padding) of one step.

    packed: a row is [CLS], T - 2 tokens of the joined documents, [SEP]; no padding. Otherwise a row
    is [CLS] and one document with its [SEP], cut or padded to T. Every epoch visits each unit once,
    in a permutation drawn from the stream "order" of that epoch; a batch may span two epochs.
    """
    units = units_per_epoch(corpus, sequence_length=sequence_length, packed=packed)
    rows_B = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int64)
    chosen_B = np.empty(batch_size, dtype=np.int64)
    for epoch in range(rows_B[0] // units, rows_B[-1] // units + 1):
        inside = rows_B // units == epoch
        order_W = _order(_Draw(streams.numpy("order", int(epoch))), units)
        chosen_B[inside] = order_W[rows_B[inside] % units]
    fill = _packed_rows if packed else _padded_rows
    tokens_BT, keep_BT = fill(corpus, chosen_B, sequence_length)
    return torch.from_numpy(tokens_BT), torch.from_numpy(keep_BT)


class _Draw:
    """A fresh generator that compares equal to another one in the same state: a cache key."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.key = repr(rng.bit_generator.state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Draw) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=4)
def _order(draw: _Draw, units: int) -> np.ndarray:
    return draw.rng.permutation(units)


def _packed_rows(
    corpus: Corpus, windows_B: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    width = length - 2
    tokens_BT = np.empty((len(windows_B), length), dtype=np.int64)
    tokens_BT[:, 0] = corpus.vocab.cls
    tokens_BT[:, -1] = corpus.vocab.sep
    tokens_BT[:, 1:-1] = corpus.tokens[windows_B[:, None] * width + np.arange(width)]
    return tokens_BT, np.ones(tokens_BT.shape, dtype=bool)


def _padded_rows(
    corpus: Corpus, documents_B: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    starts_B, ends_B = corpus.offsets[documents_B], corpus.offsets[documents_B + 1]
    sizes_B = np.minimum(ends_B - starts_B, length - 1)
    places = np.arange(length - 1)
    index = np.minimum(starts_B[:, None] + places, len(corpus.tokens) - 1)
    inside = places < sizes_B[:, None]
    tokens_BT = np.full((len(documents_B), length), corpus.vocab.pad, dtype=np.int64)
    tokens_BT[:, 0] = corpus.vocab.cls
    tokens_BT[:, 1:] = np.where(inside, corpus.tokens[index], corpus.vocab.pad)
    tokens_BT[np.arange(len(documents_B)), sizes_B] = corpus.vocab.sep  # a cut document ends too
    keep_BT = np.concatenate([np.ones((len(documents_B), 1), dtype=bool), inside], axis=1)
    return tokens_BT, keep_BT
