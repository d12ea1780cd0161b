"""The entry of a training stage that stands beside the one before it and does not build on it.

A stage reads the data and the last stage before it, so two models that are trained apart and joined
later stand one after the other, and the later stage hands on what the earlier one made:

    <out>/model/      as `repro.train.pretraining` leaves a model
    <out>/<carried>/  a copy of that folder of the stage before
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from repro.context import RunContext
from repro.errors import UserError
from repro.train import pretraining
from repro.train.objective import Batches, Objective


def train(
    ctx: RunContext,
    *,
    batches: Batches,
    objective: Objective,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    carried: str,
    accumulation: int = 1,
    clip_norm: float | None = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    log_every: int = 100,
    checkpoint_every: int = 1000,
) -> None:
    """Train a model from scratch on the data artefact, export it, and carry a folder along.

    carried: of the artefact of the stage before. The other settings are those of `pretrain`.
    Raises UserError as it does, and where there is no such folder.
    """
    earlier = {stage: paths for stage, paths in ctx.inputs.items() if stage != "data"}
    folders = [path / carried for paths in earlier.values() for path in paths]
    if len(folders) != 1 or not folders[0].is_dir():
        raise UserError(f"carried = {carried!r}: no such folder in the stage before {ctx.stage}")
    alone = replace(ctx, inputs={"data": ctx.inputs["data"]})
    pretraining.pretrain(
        alone, batches=batches, objective=objective, optimizer=optimizer, schedule=schedule,
        steps=steps, accumulation=accumulation, clip_norm=clip_norm, precision=precision,
        device=device, log_every=log_every, checkpoint_every=checkpoint_every,
    )
    if ctx.world is None or ctx.world.rank == 0:
        shutil.copytree(folders[0], ctx.out / carried, dirs_exist_ok=True)
