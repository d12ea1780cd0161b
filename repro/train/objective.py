"""What a pre-training objective offers to the `pretrain` entry."""

from typing import Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams


class Objective(Protocol):
    """A pre-training objective. It holds settings only; the state is in the module it builds."""

    def build(self, vocab: VocabInfo, streams: Streams) -> nn.Module:
        """Return the freshly initialised module that is trained (encoder, heads, generators)."""
        ...

    def loss(
        self,
        model: nn.Module,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": scalar to minimise, ...: detached scalars to log}.

        tokens_BT int64 and keep_BT bool (False = padding) on the CPU. Masking happens inside, from
        streams.generator("mask", step), so that all arms share the positions.
        """
        ...

    def encoder(self, model: nn.Module) -> PreTrainedModel:
        """Return what is exported and fine-tuned."""
        ...

    def training_flops(self, model: nn.Module, batch_size: int, sequence_length: int) -> int:
        """Return the floating-point operations of one update, multiply-add = 2."""
        ...
