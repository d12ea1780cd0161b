"""Batches for encoder-decoders: sentences of several languages to restore, pairs to translate.

B rows, S positions read, T positions written. A row that is read is x [SEP] [language]; its label
row is y [SEP] [language], from which the decoder's input follows by one rotation (mBART, cc25).
"""

from collections.abc import Callable, Sequence
from itertools import product
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
POOL = 32  # batches whose sentences are sorted by length before they are dealt out


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

        Every epoch visits each pair once (but for what is less than a batch), see `_Order`, by the
        stream "order". Raises UserError for a missing corpus, sides of unequal size, or too few
        pairs.
        """
        source, target = (open_side(folder, self.corpus, one) for one in self.languages)
        count = paired(source, target, self.pairs)
        both = lengths(source, count) + lengths(target, count)
        order = _Order(streams, "order", both, self.shape["batch_size"])
        ids = tag_ids(folder, self.languages)

        def batch(index: int) -> Rows:
            chosen = order[index]
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
    dot. Rows take turns between them, each corpus in an order of its own, so that no alignment
    between them is used; their number must divide batch_size. sentences: only the first so many
    of each. noise: see `repro.data.spans.Noise`.
    """

    def __init__(
        self, *, corpora: tuple[str, ...], noise: Noise, batch_size: int, source_length: int,
        target_length: int, sentences: int | None = None,
    ) -> None:
        super().__init__(batch_size, source_length, target_length)
        if not corpora or batch_size % len(corpora):
            raise UserError(f"corpora: {len(corpora)} of them, which must divide batch_size = "
                            f"{batch_size}")
        self.corpora, self.noise, self.sentences = tuple(corpora), noise, sentences

    def open(self, folder: Path, streams: OrderStreams) -> tuple[VocabInfo, Callable[[int], Rows]]:
        """Return the vocabulary and batch(index) -> (inputs_BS, labels_BT) int64, padded.

        Orders come from the streams "order.<corpus>", noise from "noise" at the batch's index.
        Raises UserError for a missing corpus, or one that is too small.
        """
        languages = tuple(name.rpartition(".")[2] for name in self.corpora)
        sides = [open_corpus(folder, name) for name in self.corpora]
        counts = [limited(side, self.sentences) for side in sides]
        share = self.shape["batch_size"] // len(sides)
        orders = [_Order(streams, f"order.{name}", lengths(side, count), share)
                  for name, side, count in zip(self.corpora, sides, counts, strict=True)]
        ids, corrupt, vocab = tag_ids(folder, languages), self.noise.open(folder), sides[0].vocab

        def batch(index: int) -> Rows:
            rng = streams.numpy("noise", index)
            chosen = [order[index] for order in orders]
            inputs, labels = [], []
            for turn, which in product(range(share), range(len(sides))):
                tokens_T = sentence(sides[which], chosen[which][turn])
                # Cut first: what is written must be all that noise has seen.
                tokens_T = tokens_T[: self.shape["target_length"] - END]
                end = ids[languages[which]]
                read_S = corrupt(tokens_T, languages[which], rng)
                inputs.append(closed(read_S, end, vocab, self.shape["source_length"]))
                labels.append(closed(tokens_T, end, vocab, self.shape["target_length"]))
            return padded(inputs, vocab), padded(labels, vocab)

        return vocab, batch


class _Order:
    """order[index]: the sentences of a batch, most of one length, which saves padding.

    Each epoch is a permutation drawn from its own step of a stream, without its last sentences if
    they do not fill a batch. POOL batches at a time are sorted by length, cut into batches, and
    these mixed by the stream "order.batches": corpora of equal size meet batches of equal rank.
    """

    def __init__(
        self, streams: OrderStreams, name: str, lengths_N: np.ndarray, size: int
    ) -> None:
        self.streams, self.name, self.lengths_N, self.size = streams, name, lengths_N, size
        self.batches = len(lengths_N) // size
        if not self.batches:
            raise UserError(f"batch_size: a batch takes {size} sentences, there are "
                            f"{len(lengths_N)}")
        self._epochs: dict[int, np.ndarray] = {}

    def __getitem__(self, index: int) -> np.ndarray:
        epoch, inside = divmod(index, self.batches)
        if epoch not in self._epochs:
            self._epochs = {epoch: self._draw(epoch)}
        return self._epochs[epoch][inside]

    def _draw(self, epoch: int) -> np.ndarray:
        count = len(self.lengths_N)
        order_N = self.streams.numpy(self.name, epoch).permutation(count)
        mix, drawn = self.streams.numpy("order.batches", epoch), []
        for start in range(0, self.batches * self.size, POOL * self.size):
            stop = min(start + POOL * self.size, self.batches * self.size)
            pool = order_N[start:stop]
            pool = pool[np.argsort(self.lengths_N[pool], kind="stable")].reshape(-1, self.size)
            drawn.append(pool[mix.permutation(len(pool))])
        return np.concatenate(drawn)


def lengths(corpus: Corpus, count: int) -> np.ndarray:
    """Return (count,) int64: the tokens of the first sentences, their closing [SEP] included."""
    return np.diff(corpus.offsets[: count + 1])


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
