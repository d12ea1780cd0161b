"""Batches for encoder-decoders: sentences of several languages to restore, pairs to translate.

B rows, S positions read, T positions written. A row that is read is x [SEP] [language]; its label
row is y [SEP] [language], from which the decoder's input follows by one rotation (mBART, cc25).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repro.data.batches import OrderStreams
from repro.data.shards import Corpus, open_corpus
from repro.data.spans import Noise
from repro.errors import UserError
from repro.text.languages import tag_ids
from repro.text.tokenizer import FILES, VocabInfo

Rows = tuple[Tensor, Tensor]
END = 2  # [SEP] and the language's tag


class _Sides:
    """What both kinds of batches share: sizes, and the example for dry runs."""

    files = FILES

    def __init__(self, batch_size: int, source_length: int, target_length: int) -> None:
        sizes = {"batch_size": batch_size, "source_length": source_length,
                 "target_length": target_length}
        for name, value in sizes.items():
            if value < (1 if name == "batch_size" else END + 1):
                raise UserError(f"{name} = {value}: too small")
        self.shape = sizes

    @property
    def tokens(self) -> int:
        """Positions of both sides of a batch whose rows are all as long as they may be."""
        return self.shape["batch_size"] * (
            self.shape["source_length"] + self.shape["target_length"])

    def example(self, vocab: VocabInfo) -> Rows:
        """Return a batch of full rows of random words, for measuring without data."""
        rows = self.shape["batch_size"]
        source, target = (
            torch.randint(len(vocab.special), vocab.size, (rows, self.shape[name]))
            for name in ("source_length", "target_length"))
        return source, target


class Translation(_Sides):
    """Pairs of one direction: a `repro.train.objective.Batches`.

    source, target: languages. corpus: name of the parallel set; its sides are the corpora
    `<corpus>.<language>`. pairs: only the first so many, None = all; a smaller set is part of a
    larger one. source_length, target_length: positions at which a row is cut, the end included.
    """

    def __init__(
        self, *, corpus: str, source: str, target: str, batch_size: int, source_length: int,
        target_length: int, pairs: int | None = None,
    ) -> None:
        super().__init__(batch_size, source_length, target_length)
        self.corpus, self.languages, self.pairs = corpus, (source, target), pairs

    def open(self, folder: Path, streams: OrderStreams) -> tuple[VocabInfo, Callable[[int], Rows]]:
        """Return the vocabulary and batch(index) -> (inputs_BS, labels_BT) int64, padded.

        Every epoch visits each pair once, in a permutation drawn from the stream "order" of that
        epoch. Raises UserError for a missing corpus, sides of unequal size, or too few pairs.
        """
        source, target = (open_side(folder, self.corpus, one) for one in self.languages)
        count = paired(source, target, self.pairs)
        order = _Order(streams, "order", count)
        ids = tag_ids(folder, self.languages)
        size = self.shape["batch_size"]

        def batch(index: int) -> Rows:
            chosen = [order[place] for place in range(index * size, (index + 1) * size)]
            sides = zip((source, target), self.languages,
                        (self.shape["source_length"], self.shape["target_length"]), strict=True)
            inputs, labels = (
                padded([closed(sentence(side, one), ids[language], source.vocab, length)
                        for one in chosen], source.vocab)
                for side, language, length in sides)
            return inputs, labels

        return source.vocab, batch


class Denoising(_Sides):
    """Sentences that are read corrupted and written as they were: a
    `repro.train.objective.Batches`.

    corpora: parallel or not, one language each: names like `mono.en`, the language after the last
    dot. Row g of the training takes corpus g modulo their number, each in an order of its own, so
    that no alignment between them is used. sentences: only the first so many of each. noise: see
    `repro.data.spans.Noise`.
    """

    def __init__(
        self, *, corpora: tuple[str, ...], noise: Noise, batch_size: int, source_length: int,
        target_length: int, sentences: int | None = None,
    ) -> None:
        super().__init__(batch_size, source_length, target_length)
        if not corpora:
            raise UserError("corpora: name at least one")
        self.corpora, self.noise, self.sentences = tuple(corpora), noise, sentences

    def open(self, folder: Path, streams: OrderStreams) -> tuple[VocabInfo, Callable[[int], Rows]]:
        """Return the vocabulary and batch(index) -> (inputs_BS, labels_BT) int64, padded.

        Orders come from the streams "order.<corpus>", noise from "noise" at the batch's index.
        Raises UserError for a missing corpus, or one that is too small.
        """
        languages = tuple(name.rpartition(".")[2] for name in self.corpora)
        sides = [open_corpus(folder, name) for name in self.corpora]
        counts = [limited(side, self.sentences) for side in sides]
        orders = [_Order(streams, f"order.{name}", count)
                  for name, count in zip(self.corpora, counts, strict=True)]
        ids, corrupt = tag_ids(folder, languages), self.noise.open(folder)
        vocab, size = sides[0].vocab, self.shape["batch_size"]

        def batch(index: int) -> Rows:
            rng = streams.numpy("noise", index)
            inputs, labels = [], []
            for place in range(index * size, (index + 1) * size):
                turn, which = divmod(place, len(sides))
                tokens_T = sentence(sides[which], orders[which][turn])
                # Cut first: what is written must be all that noise has seen.
                tokens_T = tokens_T[: self.shape["target_length"] - END]
                end = ids[languages[which]]
                read_S = corrupt(tokens_T, languages[which], rng)
                inputs.append(closed(read_S, end, vocab, self.shape["source_length"]))
                labels.append(closed(tokens_T, end, vocab, self.shape["target_length"]))
            return padded(inputs, vocab), padded(labels, vocab)

        return vocab, batch


class _Order:
    """The visit of place n: epoch n // count, drawn from its own step of a stream."""

    def __init__(self, streams: OrderStreams, name: str, count: int) -> None:
        self.streams, self.name, self.count = streams, name, count
        self._epochs: dict[int, np.ndarray] = {}

    def __getitem__(self, place: int) -> int:
        epoch, inside = divmod(place, self.count)
        if epoch not in self._epochs:
            while len(self._epochs) > 1:  # a batch needs two at most
                del self._epochs[min(self._epochs)]
            self._epochs[epoch] = self.streams.numpy(self.name, epoch).permutation(self.count)
        return int(self._epochs[epoch][inside])


def open_side(folder: Path, corpus: str, language: str) -> Corpus:
    """Return one side of a parallel set of a data artefact. Raises UserError."""
    return open_corpus(folder, f"{corpus}.{language}")


def paired(source: Corpus, target: Corpus, first: int | None = None) -> int:
    """Return how many pairs two sides have, at most `first`. Raises UserError if they differ in
    size, or are smaller than asked for."""
    if len(source) != len(target):
        raise UserError(f"{source.name}: {len(source)} sentences, {target.name}: {len(target)}")
    return limited(source, first)


def limited(corpus: Corpus, first: int | None) -> int:
    """Return the size of a corpus, or `first`. Raises UserError where it has fewer."""
    if first is not None and not 0 < first <= len(corpus):
        raise UserError(f"{corpus.name}: {first} sentences asked, it has {len(corpus)}")
    return len(corpus) if first is None else first


def sentence(corpus: Corpus, index: int) -> np.ndarray:
    """Return the ids of a sentence without its closing [SEP], (T,) int64."""
    return corpus.document(index)[:-1].astype(np.int64)


def closed(tokens_T: np.ndarray, tag: int, vocab: VocabInfo, length: int) -> np.ndarray:
    """Return the tokens, cut, with [SEP] and the tag: at most `length` in all."""
    return np.concatenate([tokens_T[: length - END], [vocab.sep, tag]])


def padded(rows: Sequence[np.ndarray], vocab: VocabInfo) -> Tensor:
    """Return rows as (B, longest) int64, [PAD] behind each."""
    result = np.full((len(rows), max(map(len, rows))), vocab.pad, dtype=np.int64)
    for row, tokens in zip(result, rows, strict=True):
        row[: len(tokens)] = tokens
    return torch.from_numpy(result)
