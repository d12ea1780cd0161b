"""ReLoRA: low-rank updates that are merged into the weight and begun anew (Lialin et al. 2024)."""

import torch
from torch import nn

from repro.errors import UserError
from repro.nn.low_rank import FrozenPlusLowRank
from repro.train import schedules


def restart(
    model: nn.Module, optimizer: torch.optim.Optimizer, step: int, /, *, every: int
) -> None:
    """Merge and restart all frozen-plus-low-rank layers after each `every` updates.

    Their factors lose the optimiser's state; it begins anew with the next update. An `after_step`
    of `pretrain`. Raises UserError for a model without such layers.
    """
    if every < 1:
        raise UserError(f"restart.every = {every}: expected at least 1")
    if step % every:
        return
    layers = [module for module in model.modules() if isinstance(module, FrozenPlusLowRank)]
    if not layers:
        raise UserError("restart: the model has no layer with a frozen and a low-rank part")
    for layer in layers:
        layer.restart(step)
        for factor in (layer.down, layer.up):
            optimizer.state.pop(factor, None)


def jagged_cosine(
    step: int,
    total: int,
    /,
    *,
    every: int,
    restart_warmup_steps: int,
    warmup_fraction: float = 0.1,
    warmup_steps: int | None = None,
    floor: float = 0.0,
) -> float:
    """Return `schedules.cosine`, risen to linearly over the updates that follow a restart.

    Source: Lialin et al. 2024, section 3, jagged cosine schedule.
    """
    factor = schedules.cosine(
        step, total, warmup_fraction=warmup_fraction, warmup_steps=warmup_steps, floor=floor
    )
    since = step % every
    if step >= every and since < restart_warmup_steps:
        return factor * (since + 1) / restart_warmup_steps
    return factor
