"""Batches of images with texts: a pure function of (set, streams, step), so resume is a number.

B images, K texts an image, T positions, S pixels a side.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repro.data.batches import OrderStreams
from repro.errors import UserError
from repro.text.tokenizer import FILES, VocabInfo
from repro.vision import crops
from repro.vision.pictures import PictureSet, open_set
from repro.vision.preparation import PROCESSOR
from repro.vision.texts import Choice

Batch = tuple[Tensor, Tensor]


class ImageTexts:
    """Images of one set, each with K of its texts: a `repro.train.objective.Batches`.

    batch_size: images B. image_size: pixels S a side, cut by random crops of these shares of the
    area (None = the whole image). texts: which are read. sequence_length: most positions T of a
    text, [CLS] and [SEP] included; a batch is as long as its longest text.
    """

    files = (*FILES, PROCESSOR)

    def __init__(
        self,
        *,
        pictures: str,
        batch_size: int,
        image_size: int,
        texts: Choice,
        sequence_length: int = 77,
        crop: tuple[float, float] | None = (0.9, 1.0),
    ) -> None:
        if batch_size < 2:
            raise UserError(f"batch_size = {batch_size}: at least 2 images tell each other apart")
        if sequence_length < 3:
            raise UserError(f"sequence_length = {sequence_length}: at least 3 ([CLS] x [SEP])")
        self.pictures, self.image_size, self.crop = pictures, image_size, crop
        self.choice = texts
        self.shape = {"batch_size": batch_size, "texts": texts.number,
                      "sequence_length": sequence_length}

    @property
    def tokens(self) -> int:
        """Positions of the texts in a batch, padding included."""
        return int(np.prod(list(self.shape.values())))

    def open(
        self, folder: Path, streams: OrderStreams
    ) -> tuple[VocabInfo, Callable[[int], Batch]]:
        """Return the vocabulary and batch(index) -> (images_BCSS uint8, tokens_BKT int64).

        Every epoch visits each image once, in a permutation drawn from the stream "order" of that
        epoch; a batch may span two. Crops and texts come from streams of their own, so arms that
        choose other texts see the same images. Raises UserError for a missing or damaged set.
        """
        found = open_set(folder, self.pictures)
        order = Epochs(streams, len(found))
        size, length = self.shape["batch_size"], self.shape["sequence_length"]

        def batch(index: int) -> Batch:
            chosen_B = [order.at(place) for place in range(index * size, (index + 1) * size)]
            crop, text = streams.numpy("crop", index), streams.numpy("texts", index)
            pixels = [self._pixels(found, image, crop) for image in chosen_B]
            rows = [texts[place] for texts in map(found.texts, chosen_B)
                    for place in self.choice(len(texts), text)]
            tokens_RT = framed(rows, length, found.vocab)
            return as_images(pixels), tokens_RT.view(size, self.choice.number, -1)

        return found.vocab, batch

    def _pixels(self, found: PictureSet, index: int, rng: np.random.Generator) -> np.ndarray:
        image = found.image(index)
        if self.crop is None:
            return crops.whole(image, size=self.image_size)
        return crops.random(image, rng, size=self.image_size, scale=self.crop)

    def example(self, vocab: VocabInfo) -> Batch:
        """Return a batch of noise and random words at full length, for measuring without data."""
        size, texts, length = self.shape.values()
        images = torch.randint(256, (size, 3, self.image_size, self.image_size), dtype=torch.uint8)
        tokens = torch.randint(len(vocab.special), vocab.size, (size, texts, length))
        tokens[..., 0], tokens[..., -1] = vocab.cls, vocab.sep
        return images, tokens


class Epochs:
    """The order of N units over epochs, two of which are kept."""

    def __init__(self, streams: OrderStreams, units: int) -> None:
        self.streams, self.units = streams, units
        self._orders: dict[int, np.ndarray] = {}

    def at(self, place: int) -> int:
        """Return the unit at a place counted from the first epoch's first."""
        epoch, inside = divmod(place, self.units)
        if epoch not in self._orders:
            while len(self._orders) > 1:
                del self._orders[next(iter(self._orders))]
            self._orders[epoch] = self.streams.numpy("order", epoch).permutation(self.units)
        return int(self._orders[epoch][inside])


def as_images(pixels: list[np.ndarray]) -> Tensor:
    """Return (S, S, 3) uint8 arrays as one tensor (B, 3, S, S)."""
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


def framed(texts: list[np.ndarray], length: int, vocab: VocabInfo) -> Tensor:
    """Return tokens_NT int64: [CLS], a text with its closing [SEP], padding.

    T is that of the longest text, at most `length`; a text that is cut ends in [SEP], too.
    """
    sizes = [min(len(ids), length - 1) for ids in texts]
    rows_NT = np.full((len(texts), max(sizes) + 1), vocab.pad, dtype=np.int64)
    rows_NT[:, 0] = vocab.cls
    for row, (ids, size) in enumerate(zip(texts, sizes, strict=True)):
        rows_NT[row, 1 : size + 1] = ids[:size]
        rows_NT[row, size] = vocab.sep
    return torch.from_numpy(rows_NT)
