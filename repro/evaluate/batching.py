"""Length-bucketed batches, padded to their longest row only.

B examples of a batch, T positions, U units of the batch (see `examples`).
"""

from dataclasses import dataclass

import torch

from repro.errors import UserError
from repro.evaluate.examples import Examples
from repro.train.streams import Streams

POOL = 8  # batches that are sorted by length together: less padding, still a random order


@dataclass(frozen=True)
class Batch:
    """input_ids_BT, segments_BT int64; keep_BT bool, False = padding, None = nothing is padded;
    units_U int64: the units predicted; places_U int64: row * T + column of each unit, None where a
    unit is a whole example; targets_U as in `Examples`."""

    input_ids_BT: torch.Tensor
    segments_BT: torch.Tensor
    keep_BT: torch.Tensor | None
    units_U: torch.Tensor
    places_U: torch.Tensor | None
    targets_U: torch.Tensor


def gather(data: Examples, rows_B: torch.Tensor) -> Batch:
    """Return the batch of these examples, trimmed to the longest of them."""
    lengths_B = data.lengths_N[rows_B]
    width = int(lengths_B.max())
    ids_BT = data.input_ids_NT[rows_B, :width].long()
    segments_BT = data.segments_NT[rows_B, :width].long()
    keep_BT = None
    if int(lengths_B.min()) < width:
        keep_BT = torch.arange(width) < lengths_B[:, None]
    units_U = data.units_of(rows_B)
    places_U = None
    if data.positions_U is not None:
        counts_B = data.offsets[rows_B + 1] - data.offsets[rows_B]
        row_U = torch.arange(len(rows_B)).repeat_interleave(counts_B)
        places_U = row_U * width + data.positions_U[units_U]
    return Batch(ids_BT, segments_BT, keep_BT, units_U, places_U, data.targets_U[units_U])


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Return the batches of one epoch; the last may be smaller. Raises UserError."""
    if batch_size < 1:
        raise UserError(f"batch_size = {batch_size}: expected at least 1")
    return -(-examples // batch_size)


def epoch_rows(
    lengths_N: torch.Tensor, batch_size: int, streams: Streams, epoch: int
) -> list[torch.Tensor]:
    """Return the examples of every batch of one epoch, each example once, int64.

    A random permutation is cut into pools of POOL batches; inside a pool examples are sorted by
    length, then the batches of the epoch are shuffled. Only the stream "order" is used.
    """
    total = len(lengths_N)
    steps = steps_per_epoch(total, batch_size)
    generator = streams.generator("order", epoch)
    order_N = torch.randperm(total, generator=generator)
    pools = order_N.split(batch_size * POOL)
    order_N = torch.cat([pool[lengths_N[pool].argsort(stable=True)] for pool in pools])
    batches = order_N.split(batch_size)
    return [batches[i] for i in torch.randperm(steps, generator=generator).tolist()]


class TrainingOrder:
    """The examples of batch `index`, counted through all epochs: a pure function of the index."""

    def __init__(self, lengths_N: torch.Tensor, batch_size: int, streams: Streams) -> None:
        self.lengths_N, self.batch_size, self.streams = lengths_N, batch_size, streams
        self.steps = steps_per_epoch(len(lengths_N), batch_size)
        self._epoch: tuple[int, list[torch.Tensor]] = (-1, [])

    def __call__(self, index: int) -> torch.Tensor:
        epoch, step = divmod(index, self.steps)
        if self._epoch[0] != epoch:
            rows = epoch_rows(self.lengths_N, self.batch_size, self.streams, epoch)
            self._epoch = (epoch, rows)
        return self._epoch[1][step]


def evaluation_rows(lengths_N: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Return batches that cover every example once, sorted by length."""
    return list(lengths_N.argsort(stable=True).split(batch_size))
