"""The entry of a training stage: from a data artefact to a model that AutoModel loads.

<out>/model/         config.json, model.safetensors, tokenizer files
<out>/history.jsonl  one object per logged update
<out>/summary.json   steps, tokens, FLOPs, parameters
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.context import RunContext
from repro.errors import UserError
from repro.train import determinism
from repro.train import sharding as fsdp2
from repro.train.distributed import ALONE, World
from repro.train.ema import ExponentialMovingAverage
from repro.train.loop import Plan, fit
from repro.train.objective import Batch, Batches, Objective
from repro.train.streams import Streams


def pretrain(
    ctx: RunContext,
    *,
    batches: Batches,
    objective: Objective,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    accumulation: int = 1,
    clip_norm: float | None = 1.0,
    clip_groups: tuple[str, ...] = (),
    ema_decay: float | None = None,
    start: Callable[..., None] | None = None,
    after_step: Callable[..., None] | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    sharding: Literal["none", "fsdp2"] = "none",
    world_size: int | None = None,
    log_every: int = 100,
    checkpoint_every: int = 1000,
) -> None:
    """Train a model on the batches of the data artefact and export it.

    steps: updates; 0 exports the initialisation. optimizer(model), schedule(step, steps): see
    repro.train. start(exported model, folder of the model of the stage before): sets first weights.
    after_step(model, optimizer, updates done): remembers nothing outside these two. ema_decay:
    exports the running average. sharding: "fsdp2" splits the model over world_size tasks.
    Raises UserError for settings out of range, missing data or a loss that is not finite.
    """
    if steps < 0:
        raise UserError(f"steps = {steps}: expected at least 0")
    sharded = _is_sharded(sharding, world_size, ctx.world or ALONE)
    streams = Streams(ctx.seed, ctx.member)
    vocab, batch = batches.open(ctx.input("data"), streams)
    model = objective.build(vocab, streams)
    if start is not None:
        start(objective.exported(model), _earlier_model(ctx))
    model.to(determinism.device(device))
    tokens = accumulation * batches.tokens
    history: list[dict[str, float]] = []
    if steps:
        plan = Plan(
            steps=steps, accumulation=accumulation,
            clip_norm=clip_norm, clip_groups=tuple(clip_groups), precision=precision,
            log_every=log_every,
            checkpoint_every=checkpoint_every,
            tokens_per_step=tokens,
            phase=ctx.stage,
        )
        history = _train(
            ctx, model, objective, batch, optimizer, schedule, plan, ema_decay, after_step, sharded
        )
        if sharded:
            model = fsdp2.gather(model, objective.build(vocab, streams))
    flops = accumulation * objective.training_flops(model, **batches.shape)
    ctx.count(tokens=steps * tokens, flops=steps * flops)
    totals = {"steps": steps, "tokens": steps * tokens, "flops_per_step": flops}
    sizes = _sizes(objective, model)
    export(ctx, objective.exported(model), batches.files, history, totals | sizes)


def _earlier_model(ctx: RunContext) -> Path:
    """Return the model folder of the one stage this run builds on, the data apart."""
    stages = [stage for stage in ctx.inputs if stage != "data"]
    if len(stages) != 1:
        raise UserError(f"start: {ctx.stage} builds on {stages or 'no stage'}: expected one")
    return ctx.input(stages[0]) / "model"


def _train(
    ctx: RunContext,
    model: nn.Module,
    objective: Objective,
    batch: Callable[[int], Batch],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    plan: Plan,
    ema_decay: float | None,
    after_step: Callable[..., None] | None,
    sharded: bool,
) -> list[dict[str, float]]:
    """Train in place, leave the average on the model where one is asked for, return history."""
    streams, world = Streams(ctx.seed, ctx.member), ctx.world or ALONE

    def loss(data: Batch, index: int) -> dict[str, torch.Tensor]:
        return objective.loss(model, *data, streams, index)

    if sharded:
        loss = fsdp2.shard(model, loss, world)
    updates = optimizer(model)
    average = None if ema_decay is None else ExponentialMovingAverage(model, ema_decay)
    history = fit(
        model,
        batch,
        loss,
        updates,
        plan,
        streams=streams,
        world=world,
        schedule=schedule,
        ema=average,
        after_step=after_step and partial(after_step, model, updates),
        checkpoints=ctx.checkpoints,
        report=ctx.report,
        stop_requested=ctx.stop_requested,
    )
    if average is not None:
        average.copy_to_model()
    return history


def _is_sharded(sharding: str, world_size: int | None, world: World) -> bool:
    if (sharding == "fsdp2") != (world_size is not None):
        raise UserError(
            f"sharding = {sharding!r}, world_size = {world_size}: expected a world_size with "
            "fsdp2, whose sums depend on it, and none otherwise"
        )
    if world_size not in (None, world.size):
        raise UserError(
            f"world_size = {world_size}: this run has {world.size} tasks: give it `tasks: "
            f"{world_size}` under resources in paper.yaml"
        )
    return sharding == "fsdp2" and world.size > 1


def export(
    ctx: RunContext,
    model: PreTrainedModel,
    files: tuple[str, ...],
    history: list[dict[str, float]],
    summary: dict[str, Any],
) -> None:
    """Write the artefact, in one task: the same run writes the same bytes. files: of the data
    artefact, copied beside the model."""
    if ctx.world is not None and ctx.world.rank > 0:
        return
    folder = ctx.out / "model"
    folder.mkdir(parents=True, exist_ok=True)
    model.to("cpu").save_pretrained(folder)
    for name in files:
        shutil.copyfile(ctx.input("data") / name, folder / name)
    lines = "".join(json.dumps(entry) + "\n" for entry in history)
    (ctx.out / "history.jsonl").write_text(lines, encoding="utf-8")
    text = json.dumps(summary, indent=2) + "\n"
    (ctx.out / "summary.json").write_text(text, encoding="utf-8")


def _sizes(objective: Objective, model: nn.Module) -> dict[str, int]:
    modules = {"parameters": objective.exported(model), "parameters_trained": model}
    return {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
