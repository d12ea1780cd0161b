"""The entry of an adaptation stage: a masked language model trained on, once for every task.

Each task starts anew from the model of the stage before, never from another task's or from what was
fine-tuned on it.

    <out>/models/<task>/config.json, model.safetensors, tokenizer files
    <out>/history.jsonl   one object per logged update, with its task
    <out>/summary.json    steps, tokens and operations, those of the model started from included
"""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from repro.context import RunContext
from repro.data.batches import pretraining_batch
from repro.data.clozes import ClozeTask, open_task_pair, words_of
from repro.data.shards import Corpus, write_json
from repro.errors import UserError
from repro.losses.masked_lm import MaskedLMModel
from repro.losses.whole_masked_lm import WholeMaskedLM
from repro.nn import masked_lms
from repro.text.tokenizer import FILES, VocabInfo
from repro.train import determinism
from repro.train.loop import Plan, fit
from repro.train.objective import Batch
from repro.train.parts import part
from repro.train.streams import Streams

Line = np.ndarray
Texts = Callable[..., list[Line]]


class Lines:
    """How lines are read: batch_size rows of one line each, cut at sequence_length tokens."""

    files = FILES

    def __init__(self, *, batch_size: int, sequence_length: int) -> None:
        if batch_size < 1 or sequence_length < 3:
            raise UserError(f"batch_size = {batch_size}, sequence_length = {sequence_length}: "
                            "expected at least 1 and 3")
        self.shape = {"batch_size": batch_size, "sequence_length": sequence_length}

    @property
    def tokens(self) -> int:
        """Positions in a batch, padding included."""
        return self.shape["batch_size"] * self.shape["sequence_length"]

    def batch(self, corpus: Corpus, streams: Streams, index: int) -> Batch:
        """Return (tokens_BT, keep_BT) of one batch, without padding that all rows share."""
        tokens_BT, keep_BT = pretraining_batch(corpus, streams, index, packed=False, **self.shape)
        width = int(keep_BT.sum(dim=1).max())
        return tokens_BT[:, :width], keep_BT[:, :width]

    def example(self, vocab: VocabInfo) -> Batch:
        """Return a batch of full rows of random words, for measuring without data."""
        shape = tuple(self.shape.values())
        tokens_BT = torch.randint(len(vocab.special), vocab.size, shape)
        return tokens_BT, torch.ones(shape, dtype=torch.bool)


def adapt(
    ctx: RunContext,
    *,
    tasks: tuple[str, ...],
    texts: Texts,
    batches: Lines,
    objective: WholeMaskedLM,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int = 0,
    epochs: int | None = None,
    accumulation: int = 1,
    pool_examples: int | None = None,
    clip_norm: float | None = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    log_every: int = 50,
    checkpoint_every: int = 500,
) -> None:
    """Continue pre-training on the training texts of each task, line by line, by `objective`.

    texts(task, rows, folder of the stage before, streams): what is read, one line an example,
    closed by [SEP]; `plain` is task-adaptive pre-training. The test split is never opened to it.
    steps: updates for each task; 0 = so many epochs over its lines. pool_examples: see
    `ClozeTask.pool`. Order and masks of a seed and task come from streams that no text changes.
    Raises UserError for settings out of range, missing data, and a loss that is not finite.
    """
    if (steps == 0) == (epochs is None) or min(steps, epochs or 0) < 0:
        raise UserError(f"steps = {steps}, epochs = {epochs}: expected one of them, at least 1")
    (stage,) = [name for name in ctx.inputs if name != "data"]
    source, data = ctx.input(stage), ctx.input("data")
    lines, spent = [], {"steps": 0, "tokens": 0, "flops": 0}
    for index, name in enumerate(tasks):
        task = open_task_pair(data, name)
        streams = Streams(ctx.seed, ctx.member).fork("adapt").fork(name)
        rows_N = task.pool(streams.numpy("pool"), pool_examples)
        corpus = _corpus(task, texts(task, rows_N, source, streams))
        per_epoch = -(-len(corpus) // (batches.shape["batch_size"] * accumulation))
        plan = Plan(
            steps=steps or per_epoch * epochs, accumulation=accumulation, clip_norm=clip_norm,
            precision=precision, log_every=log_every, checkpoint_every=checkpoint_every,
            phase=name, tokens_per_step=accumulation * batches.tokens,
        )
        model = objective.build(task.vocab, streams)
        masked_lms.restore(model.encoder, model.head, source / "model")
        model.to(determinism.device(device))
        batch = partial(batches.batch, corpus, streams)
        report = part(ctx.report, index, len(tasks))
        history = _train(ctx, model, objective, batch, streams, optimizer, schedule, plan, report)
        lines += [json.dumps({"task": name} | entry) + "\n" for entry in history]
        save(objective.exported(model.to("cpu")), ctx.out / "models" / name, data)
        for key, value in _cost(objective, model, batches, corpus, plan).items():
            spent[key] += value
    ctx.count(tokens=spent["tokens"], flops=spent["flops"])
    (ctx.out / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    write_json(ctx.out / "summary.json", _totals(source, spent, len(tasks)))


def _train(
    ctx: RunContext,
    model: MaskedLMModel,
    objective: WholeMaskedLM,
    batch: Callable[[int], Batch],
    streams: Streams,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    plan: Plan,
    report: Callable[..., None],
) -> list[dict[str, float]]:
    """Train one task's model in place and return its history."""
    return fit(
        model, batch, lambda data, step: objective.loss(model, *data, streams, step),
        optimizer(model), plan, streams=streams, schedule=schedule,
        checkpoints=ctx.checkpoints / "adapt" / plan.phase, report=report,
        stop_requested=ctx.stop_requested,
    )


def plain(task: ClozeTask, rows_N: np.ndarray, before: Path, streams: Streams, /) -> list[Line]:
    """Return the texts themselves, the two of a pair joined: task-adaptive pre-training.

    Source: Gururangan et al. 2020, section 4.
    """
    split, vocab = task.plain.train, task.vocab
    return [np.append(words_of(split, row, vocab), vocab.sep) for row in rows_N]


def save(model: torch.nn.Module, folder: Path, data: Path) -> None:
    """Write a model with the tokenizer of the data artefact."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    for name in FILES:
        shutil.copyfile(data / name, folder / name)


def _cost(
    objective: WholeMaskedLM, model: MaskedLMModel, batches: Lines, corpus: Corpus, plan: Plan
) -> dict[str, int]:
    """Return steps, tokens and operations of one task, at the mean length of its lines."""
    rows = batches.shape["batch_size"]
    length = min(round(corpus.meta["mean"]), batches.shape["sequence_length"])
    seen = plan.steps * plan.accumulation
    flops = objective.training_flops(model, batch_size=rows, sequence_length=length)
    return {"steps": plan.steps, "tokens": seen * rows * length, "flops": seen * flops}


def _corpus(task: ClozeTask, lines: Sequence[Line]) -> Corpus:
    """Return lines as a corpus in memory. Raises UserError where there is none."""
    if not lines:
        raise UserError(f"task {task.name!r}: no text to train on")
    lengths = np.asarray([len(line) for line in lines])
    offsets = np.concatenate([[0], lengths.cumsum()])
    tokens = np.concatenate(lines).astype(task.vocab.dtype)
    return Corpus(task.name, tokens, offsets, task.vocab, {"mean": 1 + float(lengths.mean())})


def _totals(source: Path, spent: dict[str, int], tasks: int) -> dict[str, int]:
    """Return what one task's model has cost, on average: the base and its share of this stage."""
    try:
        base = json.loads((source / "summary.json").read_text(encoding="utf-8"))
        steps, tokens = int(base["steps"]), int(base["tokens"])
        flops = int(base.get("flops", steps * int(base.get("flops_per_step", 0))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{source / 'summary.json'}: missing or unreadable; run the stage before "
                        "again") from error
    return {"steps": steps + spent["steps"] // tasks,
            "tokens": tokens + spent["tokens"] // tasks,
            "flops": flops + spent["flops"] // tasks}
