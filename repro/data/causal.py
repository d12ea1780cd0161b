"""Rows for causal language modelling: a pure function of (corpus, order stream, step).

Shapes: B rows, T positions; W units (windows or documents) of one epoch.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repro.data.batches import OrderStreams, TokenRows
from repro.data.shards import Corpus, open_corpus
from repro.errors import UserError
from repro.text.tokenizer import VocabInfo

Rows = tuple[Tensor, Tensor]


class CausalRows(TokenRows):
    """Rows of one corpus without [CLS]: a `repro.train.objective.Batches`.

    batch_size: rows B. sequence_length: positions T, of which T - 1 are predicted. packed: rows are
    windows of the joined documents, which their closing [SEP] keeps apart; otherwise one document
    each, cut or padded.
    """

    def __init__(
        self, *, corpus: str, batch_size: int, sequence_length: int, packed: bool = True
    ) -> None:
        super().__init__(
            corpus=corpus, batch_size=batch_size, sequence_length=sequence_length, packed=packed
        )
        if sequence_length < 2:
            raise UserError(f"sequence_length = {sequence_length}: must be at least 2")

    def open(
        self, folder: Path, streams: OrderStreams
    ) -> tuple[VocabInfo, Callable[[int], Rows]]:
        """Return the vocabulary and batch(index) -> (tokens_BT int64, keep_BT bool).

        Every epoch visits each unit once, in a permutation drawn from the stream "order" of that
        epoch; a batch may span two. Raises UserError for a missing or damaged corpus.
        """
        corpus = open_corpus(folder, self.corpus)
        units, size = self._units(corpus), self.shape["batch_size"]
        orders: dict[int, np.ndarray] = {}

        def order(epoch: int) -> np.ndarray:
            if epoch not in orders:
                while len(orders) > 1:  # a batch needs two at most
                    del orders[next(iter(orders))]
                orders[epoch] = streams.numpy("order", epoch).permutation(units)
            return orders[epoch]

        def batch(index: int) -> Rows:
            places = range(index * size, (index + 1) * size)
            chosen_B = np.array([order(place // units)[place % units] for place in places])
            return self._fill(corpus, chosen_B)

        return corpus.vocab, batch

    def in_order(self, folder: Path) -> Iterator[Rows]:
        """Yield every row of the corpus once, in the corpus' order; the last batch may be short."""
        corpus = open_corpus(folder, self.corpus)
        for start in range(0, units := self._units(corpus), size := self.shape["batch_size"]):
            yield self._fill(corpus, np.arange(start, min(start + size, units)))

    def _units(self, corpus: Corpus) -> int:
        if not self.packed:
            return len(corpus)
        units = len(corpus.tokens) // self.shape["sequence_length"]
        if units == 0:
            raise UserError(
                f"sequence_length = {self.shape['sequence_length']}: corpus '{corpus.name}' has "
                f"only {len(corpus.tokens)} tokens, not enough for one window"
            )
        return units

    def _fill(self, corpus: Corpus, chosen_B: np.ndarray) -> Rows:
        width = self.shape["sequence_length"]
        places_T = np.arange(width)
        if self.packed:
            index_BT = chosen_B[:, None] * width + places_T
            inside_BT = np.ones(index_BT.shape, dtype=bool)
        else:
            starts_B, ends_B = corpus.offsets[chosen_B], corpus.offsets[chosen_B + 1]
            index_BT = starts_B[:, None] + places_T
            inside_BT = index_BT < ends_B[:, None]
            index_BT = np.minimum(index_BT, len(corpus.tokens) - 1)
        tokens_BT = np.where(inside_BT, corpus.tokens[index_BT], corpus.vocab.pad)
        return torch.from_numpy(tokens_BT.astype(np.int64)), torch.from_numpy(inside_BT)
