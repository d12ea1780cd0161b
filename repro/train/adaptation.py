"""The entry of a fine-tuning stage that makes one model a target, all from one pre-trained model.

<out>/<target>/   as `repro.train.pretraining` leaves a model
<out>/start/      a copy of the pre-trained model, where it is to be measured later
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from repro.context import RunContext
from repro.errors import UserError
from repro.train import determinism
from repro.train.loop import Plan, fit
from repro.train.objective import Batches, Objective
from repro.train.pretraining import export
from repro.train.streams import Streams

START = "start"


def adapt(
    ctx: RunContext,
    *,
    targets: dict[str, Batches],
    objective: Objective,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    start: Callable[[nn.Module, Path, Any], None] | None = None,
    keep_start: bool = False,
    clip_norm: float | None = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    log_every: int = 100,
    checkpoint_every: int = 1000,
) -> None:
    """Train a model on each target's batches and export it.

    targets: name -> batches. start(model, folder of the pre-trained model, what the batches' labels
    are): sets first weights; None = from scratch. keep_start: copies the pre-trained model.
    Every target begins anew from it, with streams of its own name. Raises UserError for settings
    out of range, a missing pre-trained model or data, or a loss that is not finite.
    """
    if not targets:
        raise UserError("adapt.targets: empty; name at least one")
    if steps < 1:
        raise UserError(f"steps = {steps}: expected at least 1")
    if (start is not None) != ("pretrain" in ctx.inputs):
        raise UserError("adapt.start: to be given where there is a pretrain stage before, only")
    for name, batches in sorted(targets.items()):
        streams = Streams(ctx.seed, ctx.member).fork(name)
        vocab, batch = batches.open(ctx.input("data"), streams)
        model = objective.build(vocab, streams)
        if start is not None:
            start(model, ctx.input("pretrain") / "model", vocab)
        model.to(determinism.device(device))
        plan = Plan(
            steps=steps, clip_norm=clip_norm, precision=precision, log_every=log_every,
            checkpoint_every=checkpoint_every, tokens_per_step=batches.tokens,
            phase=f"{ctx.stage} {name}",
        )
        history = _fit(ctx, name, model, objective, batch, optimizer(model), schedule, plan,
                       streams)
        flops = objective.training_flops(model, **batches.shape)
        tokens = steps * batches.tokens
        ctx.count(tokens=tokens, flops=steps * flops)
        summary = {"steps": steps, "tokens": tokens, "flops_per_step": flops}
        export(replace(ctx, out=ctx.out / name), objective.exported(model), batches.files, history,
               summary)
    if keep_start:
        shutil.copytree(ctx.input("pretrain") / "model", ctx.out / START, dirs_exist_ok=True)


def _fit(
    ctx: RunContext, name: str, model: nn.Module, objective: Objective, batch: Callable,
    optimizer: torch.optim.Optimizer, schedule: Callable[..., float], plan: Plan, streams: Streams,
) -> list[dict[str, float]]:
    """Train in place and return the history; checkpoints are the target's own."""
    return fit(
        model, batch, lambda data, index: objective.loss(model, *data, streams, index), optimizer,
        plan, streams=streams, schedule=schedule, checkpoints=ctx.checkpoints / name,
        report=ctx.report, stop_requested=ctx.stop_requested,
    )
