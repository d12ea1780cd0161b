"""What `pretrain` is given: batches to read and an objective to minimise over them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.train.streams import Streams

Batch = tuple[torch.Tensor, ...]


class Batches(Protocol):
    """What a run trains on. It holds settings only, until it is opened on a data artefact.

    shape: the sizes of one batch, by the names that `Objective.training_flops` takes. tokens: what
    a batch counts for in tokens (or frames, patches), padding included. files: of the data
    artefact, those without which the exported model cannot be used (tokenizer, ...).
    """

    shape: dict[str, int]
    files: tuple[str, ...]

    @property
    def tokens(self) -> int: ...

    def open(self, folder: Path, streams: Streams) -> tuple[Any, Callable[[int], Batch]]:
        """Return what models are built for (a vocabulary, feature sizes) and batch(index), a pure
        function of the index that gives tensors on the CPU."""
        ...

    def example(self, vocab: Any) -> Batch:
        """Return a batch of the largest shape without any data, for dry runs."""
        ...


class Objective(Protocol):
    """What a run minimises. It holds settings only; the state is in the module it builds."""

    def build(self, vocab: Any, streams: Streams) -> nn.Module:
        """Return the freshly initialised module that is trained (encoder, heads, generators).

        vocab: the first thing that `Batches.open` returned.
        """
        ...

    def loss(
        self, model: nn.Module, *batch_streams_step: Any
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": scalar to minimise, ...: detached scalars to log}.

        Called as loss(model, *batch, streams, step) with the tensors of one batch on the CPU, for
        token rows tokens_BT int64 and keep_BT bool (False = padding). Random choices (masks, ...)
        are made inside, from streams.generator(name, step), so that all arms share them.
        """
        ...

    def exported(self, model: nn.Module) -> PreTrainedModel:
        """Return what is kept of the module, and fine-tuned."""
        ...

    def training_flops(self, model: nn.Module, **shape: int) -> int:
        """Return the floating-point operations of one batch, multiply-add = 2."""
        ...
