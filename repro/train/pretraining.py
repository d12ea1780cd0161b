"""The entry of the pretrain stage: from a data artefact to an encoder that AutoModel loads.

<out>/encoder/       config.json, model.safetensors, tokenizer files
<out>/history.jsonl  one object per logged update
<out>/summary.json   steps, tokens, FLOPs, parameters
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from repro.context import RunContext
from repro.data.batches import pretraining_batch
from repro.data.shards import open_corpus
from repro.errors import UserError
from repro.train import determinism
from repro.train import sharding as fsdp2
from repro.train.distributed import ALONE, World
from repro.train.ema import ExponentialMovingAverage
from repro.train.loop import Plan, fit
from repro.train.objective import Objective
from repro.train.streams import Streams

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def pretrain(
    ctx: RunContext,
    *,
    corpus: str,
    objective: Objective,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    batch_size: int,
    sequence_length: int,
    packed: bool = True,
    accumulation: int = 1,
    clip_norm: float | None = 1.0,
    clip_groups: tuple[str, ...] = (),
    ema_decay: float | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    sharding: Literal["none", "fsdp2"] = "none",
    world_size: int | None = None,
    log_every: int = 100,
    checkpoint_every: int = 1000,
) -> None:
    """Pre-train an encoder on one corpus of the data artefact and export it.

    steps: updates of accumulation x batch_size rows of sequence_length tokens; 0 exports the
    initialisation. optimizer(model), schedule(step, steps): see repro.train. ema_decay: export the
    running average of the weights. sharding: "fsdp2" splits the model over world_size tasks.
    Raises UserError for settings out of range, a missing corpus or a loss that is not finite.
    """
    if steps < 0 or batch_size < 1:
        raise UserError(f"steps = {steps}, batch_size = {batch_size}: expected >= 0 and >= 1")
    sharded = _is_sharded(sharding, world_size, ctx.world or ALONE)
    data = open_corpus(ctx.input("data"), corpus)
    streams = Streams(ctx.seed, ctx.member)
    model = objective.build(data.vocab, streams).to(determinism.device(device))
    rows = {"batch_size": batch_size, "sequence_length": sequence_length}
    tokens = accumulation * batch_size * sequence_length
    history: list[dict[str, float]] = []
    if steps:
        plan = Plan(
            steps=steps,
            accumulation=accumulation,
            clip_norm=clip_norm,
            clip_groups=tuple(clip_groups),
            precision=precision,
            log_every=log_every,
            checkpoint_every=checkpoint_every,
            tokens_per_step=tokens,
            phase="pretrain",
        )
        batch = partial(pretraining_batch, data, streams, packed=packed, **rows)
        history = _train(
            ctx, model, objective, batch, optimizer, schedule, plan, ema_decay, sharded
        )
        if sharded:
            model = fsdp2.gather(model, objective.build(data.vocab, streams))
    flops = accumulation * objective.training_flops(model, **rows)
    ctx.count(tokens=steps * tokens, flops=steps * flops)
    totals = {"steps": steps, "tokens": steps * tokens, "flops_per_step": flops}
    export(ctx, objective.encoder(model), history, totals | _sizes(objective, model))


def _train(
    ctx: RunContext,
    model: nn.Module,
    objective: Objective,
    batch: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    plan: Plan,
    ema_decay: float | None,
    sharded: bool,
) -> list[dict[str, float]]:
    """Train in place, leave the average on the model where one is asked for, return history."""
    streams, world = Streams(ctx.seed, ctx.member), ctx.world or ALONE

    def loss(tokens_and_keep: Any, index: int) -> dict[str, torch.Tensor]:
        return objective.loss(model, *tokens_and_keep, streams, index)

    if sharded:
        loss = fsdp2.shard(model, loss, world)
    average = None if ema_decay is None else ExponentialMovingAverage(model, ema_decay)
    history = fit(
        model,
        batch,
        loss,
        optimizer(model),
        plan,
        streams=streams,
        world=world,
        schedule=schedule,
        ema=average,
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
    ctx: RunContext, encoder: Any, history: list[dict[str, float]], summary: dict[str, Any]
) -> None:
    """Write the pretrain artefact, in one task: the same run writes the same bytes."""
    if ctx.world is not None and ctx.world.rank > 0:
        return
    folder = ctx.out / "encoder"
    folder.mkdir(parents=True, exist_ok=True)
    encoder.to("cpu").save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(ctx.input("data") / name, folder / name)
    lines = "".join(json.dumps(entry) + "\n" for entry in history)
    (ctx.out / "history.jsonl").write_text(lines, encoding="utf-8")
    text = json.dumps(summary, indent=2) + "\n"
    (ctx.out / "summary.json").write_text(text, encoding="utf-8")


def _sizes(objective: Objective, model: nn.Module) -> dict[str, int]:
    modules = {"parameters": objective.encoder(model), "parameters_trained": model}
    return {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
