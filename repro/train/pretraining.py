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
    log_every: int = 100,
    checkpoint_every: int = 1000,
) -> None:
    """Pre-train an encoder on one corpus of the data artefact and export it.

    steps: updates of accumulation x batch_size rows of sequence_length tokens; 0 exports the
    initialisation. optimizer(model), schedule(step, steps): see repro.train.optimizers and
    schedules. ema_decay: export the running average of the weights.
    Raises UserError for settings out of range, a missing corpus or a loss that is not finite.
    """
    if steps < 0 or batch_size < 1:
        raise UserError(f"steps = {steps}, batch_size = {batch_size}: expected >= 0 and >= 1")
    target = determinism.device(device)
    data = open_corpus(ctx.input("data"), corpus)
    streams = Streams(ctx.seed, ctx.member)
    model = objective.build(data.vocab, streams).to(target)
    rows = {"batch_size": batch_size, "sequence_length": sequence_length}
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
            tokens_per_step=accumulation * batch_size * sequence_length,
            phase="pretrain",
        )
        batch = partial(pretraining_batch, data, streams, packed=packed, **rows)
        history = _train(ctx, model, objective, batch, optimizer, schedule, plan, ema_decay)
    summary = {
        "steps": steps,
        "tokens": steps * accumulation * batch_size * sequence_length,
        "flops_per_step": accumulation * objective.training_flops(model, **rows),
        "parameters": _size(objective.encoder(model)),
        "parameters_trained": _size(model),
    }
    ctx.count(tokens=summary["tokens"], flops=steps * summary["flops_per_step"])
    export(ctx, objective.encoder(model), history, summary)


def _train(
    ctx: RunContext,
    model: nn.Module,
    objective: Objective,
    batch: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    plan: Plan,
    ema_decay: float | None,
) -> list[dict[str, float]]:
    """Train in place, leave the average on the model where one is asked for, return history."""
    streams = Streams(ctx.seed, ctx.member)
    average = None if ema_decay is None else ExponentialMovingAverage(model, ema_decay)
    history = fit(
        model,
        batch,
        lambda tokens_and_keep, index: objective.loss(model, *tokens_and_keep, streams, index),
        optimizer(model),
        plan,
        streams=streams,
        schedule=schedule,
        ema=average,
        checkpoints=ctx.checkpoints,
        report=ctx.report,
        stop_requested=ctx.stop_requested,
    )
    if average is not None:
        average.copy_to_model()
    return history


def export(
    ctx: RunContext, encoder: Any, history: list[dict[str, float]], summary: dict[str, Any]
) -> None:
    """Write the pretrain artefact: the same run writes the same bytes."""
    folder = ctx.out / "encoder"
    folder.mkdir(parents=True, exist_ok=True)
    encoder.to("cpu").save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(ctx.input("data") / name, folder / name)
    lines = "".join(json.dumps(entry) + "\n" for entry in history)
    (ctx.out / "history.jsonl").write_text(lines, encoding="utf-8")
    text = json.dumps(summary, indent=2) + "\n"
    (ctx.out / "summary.json").write_text(text, encoding="utf-8")


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
