"""The entry of a prompt-based (or usual) fine-tuning stage: each task from a language model of its
own, few labels, the best checkpoint on a dev set as small.

    <out>/predictions, labels, tasks.json, model, summary.json   as `repro.evaluate.finetuning`
    <out>/history.jsonl       one object per trial
    <out>/pool/<task>.npy     with label_pool: the label guessed for each row of the training split
    <out>/model/              with label_pool: the model of the stage before, passed on as it was
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from repro.context import RunContext
from repro.data.clozes import ClozeTask, open_task_pair
from repro.data.shards import write_json
from repro.errors import UserError
from repro.evaluate import budgets, examples, few_shot_trials, flops
from repro.evaluate.cloze import Model
from repro.evaluate.examples import Task
from repro.evaluate.few_shot_trials import Outcome, Recipe
from repro.losses.fixmatch import FixMatch
from repro.nn import flops as operations
from repro.nn import masked_lms
from repro.train import determinism
from repro.train.parts import part
from repro.train.streams import Streams


def finetune(
    ctx: RunContext,
    *,
    tasks: tuple[str, ...],
    model: Callable[..., Model],
    learning_rates: tuple[float, ...],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    batch_size: int,
    evaluate_every: int | None = None,
    labels_per_class: int | None = None,
    dev_per_class: int | None = None,
    test_examples: int | None = None,
    dropout: float | None = None,
    clip_norm: float | None = 1.0,
    consistency: FixMatch | None = None,
    label_pool: bool = False,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """Fine-tune on each task and predict its test.

    model(encoder, head, task): `cloze.hard`, `cloze.soft` or `cloze.classed`. Each learning rate is
    tried; of the weights met every evaluate_every updates (None = the last ones) the best on dev
    are kept, on a tie the smaller rate, then the earlier ones. labels_per_class, dev_per_class:
    None = all. dropout: None = the model's own. consistency: train on the training split without
    its labels, too. label_pool: also guess the labels of the whole training split.
    The draw of examples depends on seed and task only. Raises UserError for what is out of range,
    missing or not finite.
    """
    recipe = Recipe(optimizer=optimizer, schedule=schedule, learning_rates=tuple(learning_rates),
                    steps=steps, batch_size=batch_size, evaluate_every=evaluate_every,
                    dropout=dropout, clip_norm=clip_norm, precision=precision)
    (stage,) = [name for name in ctx.inputs if name != "data"]
    source = ctx.input(stage)
    budget = {"labels_per_class": labels_per_class, "dev_per_class": dev_per_class,
              "test_examples": test_examples}
    table, lines = {}, []
    for index, name in enumerate(tasks):
        one = open_task_pair(ctx.input("data"), name)
        make = partial(_load, masked_lms.folder_of(source, name), model, one, device)
        shape = make()
        task, pool = draw(one, shape.form, ctx.seed, **budget)
        outcome = few_shot_trials.tune(
            make, task, recipe, Streams(ctx.seed, ctx.member).fork("few_shot").fork(name),
            ctx.checkpoints / "few_shot", pool=pool, vocab=one.vocab, consistency=consistency,
            report=part(ctx.report, index, len(tasks)), stop_requested=ctx.stop_requested)
        table[name] = describe(task, pool, outcome, shape)
        lines += [json.dumps({"task": name} | asdict(trial)) + "\n" for trial in outcome.trials]
        _write(ctx, task, outcome, label_pool)
        _count(ctx, task, pool, shape, recipe, consistency)
    write_json(ctx.out / "tasks.json", table)
    (ctx.out / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    _pass_on(ctx, source, masked_lms.folder_of(source, tasks[0]), label_pool)


def _load(folder: Path, model: Callable[..., Model], task: ClozeTask, device: str) -> Model:
    return model(*masked_lms.load(folder), task).to(determinism.device(device))


def draw(
    task: ClozeTask, form: str, seed: int, *, labels_per_class: int | None = None,
    dev_per_class: int | None = None, test_examples: int | None = None,
) -> tuple[Task, examples.Examples]:
    """Return a task with its few examples drawn, and its whole training split.

    form: "plain" or "cloze"; the rows are the same in both. Streams "budget:", "dev:" and "test:"
    as `examples.load`. Raises UserError for a class with too few examples.
    """
    arrays = task.cloze if form == "cloze" else task.plain
    streams, name = Streams(seed), task.name
    rows = {}
    for split, stream, count in (("train", "budget", labels_per_class),
                                 ("dev", "dev", dev_per_class)):
        labels_N = np.asarray(getattr(arrays, split).labels)
        rows[split] = np.arange(len(labels_N)) if count is None else budgets.per_class(
            labels_N, count, streams.numpy(f"{stream}:{name}"), task=name,
            classes=len(task.words_C))
    total = len(arrays.test)
    rows["test"] = np.arange(total) if test_examples is None else budgets.uniform(
        total, test_examples, streams.numpy(f"test:{name}"))
    parts = {split: examples.examples(getattr(arrays, split), rows[split], arrays.vocab.pad,
                                      "classification") for split in rows}
    pool = examples.examples(arrays.train, np.arange(len(arrays.train)), arrays.vocab.pad,
                             "classification")
    info = arrays.info
    return Task(name, "classification", tuple(info["labels"]), tuple(info["metrics"]),
                info["primary"], **parts), pool


def describe(
    task: Task, pool: examples.Examples, outcome: Outcome, model: Model
) -> dict[str, Any]:
    """Return what tasks.json says of a task; pool_accuracy: of the guesses on the training split,
    for the reader, nothing is trained or chosen by it."""
    best = outcome.trials[outcome.best]
    guesses_N = outcome.pool_NC.argmax(dim=1)
    return {
        "kind": task.kind, "labels": list(task.labels), "metrics": list(task.metrics),
        "primary": task.primary, "learning_rate": best.learning_rate, "step": best.step,
        "dev": best.dev, "pool_accuracy": float((guesses_N == pool.targets_U).double().mean()),
        "train_examples": len(task.train), "dev_examples": len(task.dev),
        "test_examples": len(task.test),
        "mean_length": float(task.test.lengths_N.double().mean()),
        "flops_per_example": forward_flops(model, task.test),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def forward_flops(model: Model, data: examples.Examples) -> float:
    """Return the mean forward operations of an example, multiply-add = 2."""
    head = model.head.transform if model.form == "cloze" else model.head
    extra = 0
    if model.form == "cloze":
        extra = operations.linear(1, model.encoder.config.hidden_size, len(model.words_C))
    per = flops.per_example(model.encoder, head, data.lengths_N.tolist(), len(data))
    return per + extra


def _write(ctx: RunContext, task: Task, outcome: Outcome, label_pool: bool) -> None:
    arrays = {"predictions": outcome.outputs_NC.numpy(), "labels": task.test.targets_U.numpy()}
    if label_pool:
        arrays["pool"] = outcome.pool_NC.argmax(dim=1).numpy()
    for folder, values in arrays.items():
        (ctx.out / folder).mkdir(parents=True, exist_ok=True)
        np.save(ctx.out / folder / f"{task.name}.npy", np.ascontiguousarray(values))


def _count(
    ctx: RunContext, task: Task, pool: examples.Examples, model: Model, recipe: Recipe,
    consistency: FixMatch | None,
) -> None:
    """Add tokens and operations of all trials; unlabelled examples are read twice, trained once."""
    seen = recipe.batch_size * recipe.steps * len(recipe.learning_rates)
    tokens = float(task.train.lengths_N.double().mean()) * seen
    flops_all = operations.training(forward_flops(model, task.train)) * seen
    if consistency is not None:
        guessed = consistency.ratio * seen
        forward = forward_flops(model, pool)
        tokens += 2 * float(pool.lengths_N.double().mean()) * guessed
        flops_all += (forward + operations.training(forward)) * guessed
    ctx.count(tokens=round(tokens), flops=round(flops_all))


def _pass_on(ctx: RunContext, source: Path, model: Path, whole: bool) -> None:
    """Write the pre-training cost and the shape of the models; whole: the model itself."""
    path = source / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        steps, tokens = int(summary["steps"]), int(summary["tokens"])
        spent = int(summary.get("flops", steps * int(summary.get("flops_per_step", 0))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: missing or unreadable; run the stage before again") from error
    if whole:
        shutil.copytree(model, ctx.out / "model", dirs_exist_ok=True)
    else:
        (ctx.out / "model").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model / "config.json", ctx.out / "model" / "config.json")
    write_json(ctx.out / "summary.json", {
        "steps": steps, "tokens": tokens, "flops": spent,
        "pretraining_steps": steps, "pretraining_tokens": tokens, "pretraining_flops": spent})
