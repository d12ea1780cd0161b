"""Rows of instructions and responses, of which only the response is learnt. B rows, T positions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repro.data.batches import OrderStreams
from repro.data.causal import CausalRows, Rows
from repro.errors import UserError
from repro.text import tokenizer as vocabularies
from repro.text.tokenizer import VocabInfo


class ResponseRows(CausalRows):
    """Rows of one document each, `instruction marker response`: a
    `repro.train.objective.Batches` whose keep_BT is true on the response and its closing [SEP].

    marker: the text that ends the instruction; where it stands several times, the first counts. A
    document is cut at T tokens.
    """

    def __init__(
        self, *, corpus: str, batch_size: int, sequence_length: int, marker: str
    ) -> None:
        super().__init__(corpus=corpus, batch_size=batch_size, sequence_length=sequence_length,
                         packed=False)
        self.marker = marker

    def open(
        self, folder: Path, streams: OrderStreams
    ) -> tuple[VocabInfo, Callable[[int], Rows]]:
        """Return the vocabulary and batch(index) -> (tokens_BT int64, keep_BT bool).

        A batch raises UserError for a document without marker or response within T tokens.
        """
        vocab, whole = super().open(folder, streams)
        (marker,) = vocabularies.encode(vocabularies.load(folder), [self.marker])

        def batch(index: int) -> Rows:
            tokens_BT, inside_BT = whole(index)
            keep_BT = responses(tokens_BT.numpy(), np.array(marker)) & inside_BT.numpy()
            if not keep_BT.any(axis=1).all():
                raise UserError(f"corpus {self.corpus}: a document has no {self.marker!r} with a "
                                f"response within {tokens_BT.shape[1]} tokens")
            return tokens_BT, torch.from_numpy(keep_BT)

        return vocab, batch


def responses(tokens_BT: np.ndarray | Tensor, marker_M: np.ndarray) -> np.ndarray:
    """Return which tokens come after the first place where the marker's ids stand in a row."""
    tokens_BT, size = np.asarray(tokens_BT), len(marker_M)
    found_BT = np.zeros(tokens_BT.shape, dtype=bool)
    for end in range(size, tokens_BT.shape[1]):
        found_BT[:, end] = (tokens_BT[:, end - size : end] == marker_M).all(axis=1)
    return np.logical_or.accumulate(found_BT, axis=1)
