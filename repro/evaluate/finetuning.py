"""The entry of the finetune stage: one pre-trained encoder on every task.

    <out>/predictions/<task>.npy   float32 test outputs of the chosen trial, before softmax
    <out>/labels/<task>.npy        test labels; tagging also <task>.lengths.npy, tokens a sentence
    <out>/tasks.json               per task: kind, labels, metrics, what was chosen, cost
    <out>/history.jsonl            one object per trial
    <out>/model/config.json, <out>/summary.json   shape and pre-training cost of the encoder
    <out>/tuned/<task>/            with keep_weights: encoder (for AutoModel) and head.safetensors
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from repro.context import RunContext
from repro.data.shards import write_json
from repro.errors import UserError
from repro.evaluate import classifier, examples, flops, sweep
from repro.evaluate.examples import Task
from repro.evaluate.sweep import Progress, Recipe
from repro.nn import flops as operations
from repro.train import determinism, optimizers
from repro.train.streams import Streams


def finetune(
    ctx: RunContext,
    *,
    learning_rates: tuple[float, ...],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    batch_size: int,
    tasks: tuple[str, ...] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    restarts: int = 1,
    labels_per_class: int | None = None,
    train_examples: int | None = None,
    dev_examples: int | None = None,
    test_examples: int | None = None,
    head: Literal["linear", "dense_gelu", "dense_tanh"] = "linear",
    pooling: Literal["cls", "mean"] = "cls",
    dropout: float | None = None,
    frozen: bool = False,
    clip_norm: float | None = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    checkpoint_every: int | None = None,
    keep_weights: bool = False,
    load_encoder: Callable[[Path], PreTrainedModel] | None = None,
) -> None:
    """Fine-tune the encoder of the pretrain stage on tasks of the data stage; predict their tests.

    Each of learning_rates (for every arm the same) is tried `restarts` times; the best on dev is
    chosen, on a tie the smaller rate, then the earlier restart. optimizer(model, rate): see
    `adamw`; schedule(step, steps): a factor. tasks: None = all. epochs or steps: one of them.
    labels_per_class, *_examples: see `examples.load`; the draw is that of all arms of a seed. head:
    see `classifier.build_head`; tagging reads each labelled token, other tasks `pooling`.
    dropout: of encoder and head; None = the encoder's own. frozen: train the head on the
    encoder's features only. checkpoint_every: updates between checkpoints inside a trial; None =
    a killed trial starts again. keep_weights: of the chosen trials. load_encoder(folder): None =
    AutoModel without pooler. Raises UserError for what is out of range, and a loss not finite.
    """
    recipe = Recipe(
        optimizer=optimizer, schedule=schedule, learning_rates=tuple(learning_rates),
        restarts=restarts, epochs=epochs, steps=steps, batch_size=batch_size, head=head,
        pooling=pooling, dropout=dropout, frozen=frozen, clip_norm=clip_norm,
        precision=precision, checkpoint_every=checkpoint_every, keep_weights=keep_weights,
    )
    target = determinism.device(device)
    data = ctx.input("data")
    loaded = [
        examples.load(
            data, name, ctx.seed, labels_per_class=labels_per_class,
            train_examples=train_examples, dev_examples=dev_examples, test_examples=test_examples,
        )
        for name in examples.select(data, tasks)
    ]
    source = ctx.input("pretrain")
    load = load_encoder or classifier.load_encoder
    encoder = load(source / "model").requires_grad_(not frozen).to(target)
    for task in loaded:
        classifier.check_fits(encoder, task)
    progress = _tune_all(ctx, encoder, loaded, recipe)
    export(ctx, source, encoder, loaded, progress, recipe)


def adamw(
    model: nn.Module,
    rate: float,
    /,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.01,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Return AdamW at a peak rate that the sweep gives; see `repro.train.optimizers.adamw`."""
    return optimizers.adamw(
        model, lr=rate, betas=betas, eps=eps, weight_decay=weight_decay, layer_decay=layer_decay
    )


def _tune_all(
    ctx: RunContext, encoder: PreTrainedModel, tasks: list[Task], recipe: Recipe
) -> list[Progress]:
    streams = Streams(ctx.seed, ctx.member).fork("finetune")
    trials = len(recipe.trials)
    sizes = [trials * recipe.steps_for(len(task.train)) for task in tasks]
    finished = []
    for index, task in enumerate(tasks):

        def report(*, step: int, total: int, done: int = sum(sizes[:index]), **values) -> None:
            ctx.report(step=done + step, total=sum(sizes), **values)

        finished.append(
            sweep.tune(
                encoder, task, recipe, streams.fork(task.name), ctx.checkpoints / "finetune",
                report=report, stop_requested=ctx.stop_requested,
            )
        )
    return finished


def export(
    ctx: RunContext,
    source: Path,
    encoder: PreTrainedModel,
    tasks: list[Task],
    finished: list[Progress],
    recipe: Recipe,
) -> None:
    """Write the finetune artefact: predictions, labels, tables, and weights that were kept.

    source: the pretrain artefact. finished: what tuning left, task by task."""
    for folder in ("predictions", "labels", "model"):
        (ctx.out / folder).mkdir(parents=True, exist_ok=True)
    table, lines = {}, []
    for task, progress in zip(tasks, finished, strict=True):
        outputs = progress.outputs_UC.numpy()
        if task.kind == "regression":
            outputs = outputs[:, 0]
        np.save(ctx.out / "predictions" / f"{task.name}.npy", np.ascontiguousarray(outputs))
        np.save(ctx.out / "labels" / f"{task.name}.npy", task.test.targets_U.numpy())
        if task.kind == "tagging":
            lengths = task.test.offsets.diff().numpy()
            np.save(ctx.out / "labels" / f"{task.name}.lengths.npy", lengths)
        if progress.weights:
            classifier.save(ctx.out / "tuned" / task.name, encoder, progress.weights)
        table[task.name] = _describe(task, progress, encoder, recipe)
        for trial in progress.trials:
            lines.append(json.dumps({"task": task.name} | asdict(trial)) + "\n")
            _count(ctx, task, encoder, recipe, trial.steps * recipe.batch_size)
    write_json(ctx.out / "tasks.json", table)
    (ctx.out / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    shutil.copyfile(source / "model" / "config.json", ctx.out / "model" / "config.json")
    write_json(ctx.out / "summary.json", _pretraining_cost(source))


def _count(
    ctx: RunContext, task: Task, encoder: PreTrainedModel, recipe: Recipe, examples_seen: int
) -> None:
    """Add tokens and operations of one trial; a frozen encoder reads each example once in all, and
    its head costs next to nothing."""
    data = task.train
    ctx.count(tokens=int(data.lengths_N.sum()) * examples_seen // len(data))
    if not recipe.frozen:
        head = _head(task, encoder, recipe)
        forward = flops.per_example(encoder, head, data.lengths_N.tolist(), len(data.targets_U))
        ctx.count(flops=round(operations.training(forward) * examples_seen))


def _head(task: Task, encoder: PreTrainedModel, recipe: Recipe) -> nn.Module:
    return classifier.build_head(recipe.head, encoder.config.hidden_size, task.outputs, 0.0)


def _describe(
    task: Task, progress: Progress, encoder: PreTrainedModel, recipe: Recipe
) -> dict[str, Any]:
    head = _head(task, encoder, recipe)
    test, best = task.test, progress.trials[progress.best]
    cost = flops.per_example(encoder, head, test.lengths_N.tolist(), len(test.targets_U))
    return {
        "kind": task.kind,
        "labels": list(task.labels),
        "metrics": list(task.metrics),
        "primary": task.primary,
        "learning_rate": best.learning_rate,
        "restart": best.restart,
        "dev": best.dev,
        "train_examples": len(task.train),
        "dev_examples": len(task.dev),
        "test_examples": len(test),
        "mean_length": float(test.lengths_N.double().mean()),
        "flops_per_example": cost,
        "parameters": sum(p.numel() for part in (encoder, head) for p in part.parameters()),
    }


def _pretraining_cost(source: Path) -> dict[str, int]:
    path = source / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        steps, tokens = int(summary["steps"]), int(summary["tokens"])
        return {
            "pretraining_steps": steps,
            "pretraining_tokens": tokens,
            "pretraining_flops": steps * int(summary["flops_per_step"]),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: missing or unreadable; run the pretrain stage again") from error
