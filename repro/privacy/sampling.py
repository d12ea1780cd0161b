"""Poisson sampling: what the accountants assume of a batch."""

import torch

from repro.train.streams import Streams


class PoissonOrder:
    """The examples of batch `index`: each of `total` is in it with probability `rate`, on its own.

    A pure function of the index (stream "sample"), so batches differ in size and may be empty.
    """

    def __init__(self, total: int, rate: float, streams: Streams) -> None:
        self.total, self.rate, self.streams = total, rate, streams

    def __call__(self, index: int) -> torch.Tensor:
        """Return the chosen rows, int64, ascending."""
        generator = self.streams.generator("sample", index)
        draws_N = torch.rand(self.total, generator=generator, dtype=torch.float64)
        return (draws_N < self.rate).nonzero()[:, 0]
