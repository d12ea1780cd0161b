"""Exponential moving average of a model's trainable parameters."""

import torch
from torch import nn

from repro.errors import UserError
from repro.train.distributed import like


class ExponentialMovingAverage:
    """average <- decay * average + (1 - decay) * parameter, once an update; starts at a copy."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Raises UserError unless 0 <= decay < 1."""
        if not 0.0 <= decay < 1.0:
            raise UserError(f"ema_decay = {decay}: expected 0 <= ema_decay < 1")
        self.decay = decay
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.averages = {n: p.detach().clone() for n, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are now."""
        torch._foreach_lerp_(
            list(self.averages.values()), list(self._parameters.values()), 1.0 - self.decay
        )

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """Overwrite the parameters by their averages."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self.averages[name])

    @torch.no_grad()
    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back the averages of a checkpoint."""
        for name, average in self.averages.items():
            average.copy_(like(tensors[name], average))
