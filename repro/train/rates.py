"""AdamW with a peak rate of its own for some layers: a factory `optimizer(model, *, settings)`."""

import re
from collections import defaultdict

import torch
from torch import nn

from repro.errors import UserError
from repro.nn.swap import PROJECTIONS


def adamw(
    model: nn.Module,
    /,
    *,
    lr: float,
    scale: float,
    scaled: str = PROJECTIONS,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return AdamW over the model's trainable parameters, at the rate scale * lr for some layers.

    scaled: pattern of the whole names of those layers; it holds for all their parameters. Vectors
    are not decayed. Raises UserError for settings out of range or a pattern that fits no layer.
    """
    for name, value in {"lr": lr, "scale": scale}.items():
        if not value > 0:
            raise UserError(f"rates.adamw.{name} = {value}: expected a positive number")
    inside = re.compile(rf"(?:{scaled})\..+")
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = lr * (scale if inside.fullmatch(name) else 1.0)
            groups[rate, weight_decay if parameter.ndim > 1 else 0.0].append(parameter)
    if not any(inside.fullmatch(name) for name, _ in model.named_parameters()):
        raise UserError(f"rates.adamw.scaled = {scaled!r}: fits no layer of the model")
    settings = [
        {"params": group, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for (rate, decay), group in groups.items()
    ]
    return torch.optim.AdamW(settings, betas=tuple(betas), eps=eps, fused=True)
