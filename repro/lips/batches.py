"""Batches of clips: a pure function of (clips, order stream, step), so resume is a number.

B clips, T frames, C channels, S pixels a side, U units.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from repro.audio.batches import OrderStreams, padded
from repro.audio.store import Spelling, spelling_file
from repro.errors import UserError
from repro.lips.clips import LANGUAGE, Clip, Clips

Batch = tuple[Tensor, Tensor, Tensor]
Units = Literal["phones", "letters"]


class ClipRows:
    """Training clips with their labels: a `repro.train.objective.Batches`.

    units: what labels are made of. frames: T of every clip; a shorter one stays on its last frame.
    share: of the training clips, the first of an order that all arms and seeds have in common.
    size, channels: of the frames, for counting and dry runs.
    """

    def __init__(
        self, *, units: Units, batch_size: int, frames: int, share: float = 1.0, size: int = 32,
        channels: int = 1, order_seed: int = 0,
    ) -> None:
        if batch_size < 1 or frames < 1:
            raise UserError(f"batch_size = {batch_size}, frames = {frames}: must be at least 1")
        if not 0 < share <= 1:
            raise UserError(f"share = {share}: expected above 0 and at most 1")
        self.units, self.share, self.order_seed = units, share, order_seed
        self.picture = (channels, size, size)
        self.shape = {"batch_size": batch_size, "sequence_length": frames}
        self.files = (spelling_file(LANGUAGE, units),)

    @property
    def tokens(self) -> int:
        """Frames in a batch."""
        return self.shape["batch_size"] * self.shape["sequence_length"]

    def open(
        self, folder: Path, streams: OrderStreams
    ) -> tuple[Spelling, Callable[[int], Batch]]:
        """Return the spelling and batch(index) -> (video_BTCSS uint8, labels_BU, units_B int64).

        Every epoch visits each clip once, in a permutation drawn from the stream "order" of that
        epoch; a batch may span two. Raises UserError for a missing or damaged artefact.
        """
        clips = Clips(folder)
        spelling, chosen = clips.spelling(self.units), self.chosen(clips)
        size, frames = self.shape.values()
        orders: dict[int, np.ndarray] = {}

        def at(place: int) -> Clip:
            epoch, inside = divmod(place, len(chosen))
            if epoch not in orders:
                while len(orders) > 1:  # a batch needs two at most
                    del orders[next(iter(orders))]
                orders[epoch] = streams.numpy("order", epoch).permutation(len(chosen))
            return chosen[orders[epoch][inside]]

        def batch(index: int) -> Batch:
            some = [at(place) for place in range(index * size, (index + 1) * size)]
            spelled = [spelling.spell(LANGUAGE, clip.words) for clip in some]
            return (videos(clips, some, frames), *padded(spelled))

        return spelling, batch

    def chosen(self, clips: Clips) -> list[Clip]:
        """Return the training clips that are read."""
        found = clips.of("train")
        order = np.random.default_rng(self.order_seed).permutation(len(found))
        return [found[place] for place in sorted(order[: max(1, round(self.share * len(found)))])]

    def example(self, vocab: Spelling) -> Batch:
        """Return a batch of noise with labels on a fourth of the frames, without any data."""
        rows, frames = self.shape.values()
        count = max(1, frames // 4)
        return (
            torch.randint(256, (rows, frames, *self.picture), dtype=torch.uint8),
            torch.ones(rows, count, dtype=torch.int64).index_fill_(1, torch.arange(0, count, 2), 2),
            torch.full((rows,), count),
        )


def videos(clips: Clips, some: list[Clip], frames: int) -> Tensor:
    """Return video_BTCSS uint8, each clip held on its last frame to the end.

    Raises UserError for a clip of more frames.
    """
    rows = []
    for clip in some:
        if clip.frames > frames:
            raise UserError(f"clip {clip.id}: has {clip.frames} frames, more than frames = "
                            f"{frames}; leave such clips out of the data, or sample them")
        video = np.asarray(clips.video(clip))
        rows.append(np.concatenate([video, np.repeat(video[-1:], frames - len(video), axis=0)]))
    return torch.from_numpy(np.stack(rows))
