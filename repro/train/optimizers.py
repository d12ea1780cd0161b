"""Optimisers as factories `optimizer(model, *, settings)`, and their state as named tensors."""

import re
from collections import defaultdict

import torch
from torch import nn

from repro.errors import UserError
from repro.train.distributed import like

_LAYER = re.compile(r"(.*?)encoder\.layer\.(\d+)\.")
_EMBEDDINGS = re.compile(r"(.*?)embeddings(?:_project)?\.")
_POOLER = re.compile(r"(.*?)pooler\.")


def adamw(
    model: nn.Module,
    /,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.01,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Return AdamW over the model's trainable parameters; lr is the peak rate of the head.

    Vectors (biases, LayerNorm) are not decayed. layer_decay < 1 lowers the rate towards the input
    (`layer_scales`). Each group keeps its peak rate in `initial_lr`.
    Raises UserError for settings out of range. Source: Loshchilov and Hutter 2019.
    """
    if not lr > 0:
        raise UserError(f"adamw.lr = {lr}: expected a positive number")
    if not 0 < layer_decay <= 1:
        raise UserError(f"adamw.layer_decay = {layer_decay}: expected above 0 and at most 1")
    scales = layer_scales([name for name, _ in model.named_parameters()], layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim > 1 else 0.0
            groups[scales[name], decay].append(parameter)
    settings = [
        {"params": group, "lr": lr * scale, "initial_lr": lr * scale, "weight_decay": decay}
        for (scale, decay), group in groups.items()
    ]
    # Fused: one pass over parameter, gradient and moments.
    return torch.optim.AdamW(settings, betas=tuple(betas), eps=eps, fused=True)


def layer_scales(names: list[str], decay: float) -> dict[str, float]:
    """Return each parameter's learning-rate factor under layer-wise decay.

    For an encoder of n layers: embeddings (and their projection) decay^(n + 2), layer i from 0
    decay^(n + 1 - i), pooler decay, everything else (heads) 1. Several encoders in one model
    count their own layers. Source: Clark et al. 2020 (ELECTRA), released fine-tuning code.
    """
    layers: dict[str, int] = defaultdict(int)
    for name in names:
        if match := _LAYER.match(name):
            layers[match[1]] = max(layers[match[1]], int(match[2]) + 1)

    def exponent(name: str) -> int:
        if match := _LAYER.match(name):
            return layers[match[1]] + 1 - int(match[2])
        if (match := _EMBEDDINGS.match(name)) and match[1] in layers:
            return layers[match[1]] + 2
        return 1 if (match := _POOLER.match(name)) and match[1] in layers else 0

    return {name: decay ** exponent(name) for name in names}


def set_factor(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to factor times its peak rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def named_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the optimiser's state as tensors called `<entry>/<parameter name>`."""
    return {
        f"{entry}/{name}": value
        for name, parameter in model.named_parameters()
        for entry, value in optimizer.state.get(parameter, {}).items()
    }


def load_named_state(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, torch.Tensor]
) -> None:
    """Put back what `named_state` returned. Raises UserError for a name the model lacks."""
    parameters = dict(model.named_parameters())
    for key, tensor in tensors.items():
        entry, _, name = key.partition("/")
        if name not in parameters:
            raise UserError(f"checkpoint: optimiser state of an unknown parameter {name!r}")
        parameter = parameters[name]
        optimizer.state[parameter][entry] = like(tensor, parameter)
