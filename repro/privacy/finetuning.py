"""The entry of a private finetune stage: a public encoder on private tasks.

The tasks are read here and nowhere before: no private text has met the tokenizer or pre-training.
What the guarantee covers is the tuned weights. All files below but the first read private data in
the clear, for the experimenter:

    <out>/predictions, labels, tasks.json, model, summary.json   as `repro.evaluate.finetuning`
    <out>/losses/<task>.{members,others}.npy   of training and of as many test examples
    <out>/privacy.json                         per task: noise, rate, steps, epsilon, delta
    <out>/training.jsonl                       one object per logged entry
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from repro.context import RunContext
from repro.data.documents import TaskData
from repro.data.encoding import encode_task
from repro.data.shards import SPLITS, write_json
from repro.errors import UserError
from repro.evaluate import classifier, examples, finetuning, sweep
from repro.evaluate.batching import gather
from repro.evaluate.classifier import Classifier
from repro.evaluate.examples import Examples, Task
from repro.evaluate.sweep import Progress, Recipe, Trial
from repro.privacy.accountants import Accountant, Regime
from repro.privacy.gradient import Mechanism, PrivateGradient
from repro.privacy.sampling import PoissonOrder
from repro.text import tokenizer as text
from repro.train import determinism
from repro.train.loop import Plan, fit
from repro.train.streams import Streams


def finetune(
    ctx: RunContext,
    *,
    tasks: dict[str, Callable[..., TaskData]],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    epochs: int,
    batch_size: int,
    epsilon: float,
    delta: float | dict[str, float] | None = None,
    accountant: Callable[..., float] | None = None,
    clip_norm: float | None = None,
    rank: int | None = None,
    trained: Literal["all", "linear"] = "all",
    head_scale: float = 1.0,
    task_length: int = 64,
    pooling: Literal["cls", "mean"] = "cls",
    dropout: float = 0.0,
    microbatch: int = 64,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    log_every: int = 50,
    checkpoint_every: int = 50,
) -> None:
    """Fine-tune the encoder of the pretrain stage on each task by DP-SGD; predict its test.

    tasks: name -> builder. Batches are Poisson samples of batch_size examples on average,
    epochs * (examples // batch_size) of them. accountant: (noise, rate, steps, delta) -> epsilon,
    sets the smallest noise that keeps (epsilon, delta); None = no noise. delta: for all, or by
    task; None = 1 / examples. clip_norm: of each example's gradient; an accountant needs it.
    trained: "linear" the weights of the encoder's linear layers and the head; "all" everything,
    without clipping only. rank: of carriers (repro.privacy.carriers), None = without.
    Raises UserError for settings out of range or together impossible, and for a loss not finite.
    """
    _check(accountant, clip_norm, trained, rank)
    target = determinism.device(device)
    source = ctx.input("pretrain")
    encoder = classifier.load_encoder(source / "model").to(target)
    _set_dropout(encoder, dropout)
    loaded = [_encoded(ctx.input("data"), *item, task_length) for item in tasks.items()]
    for task in loaded:
        classifier.check_fits(encoder, task)
    regimes = [_regime(task, batch_size, epochs, epsilon, delta) for task in loaded]
    total, done = sum(regime.steps for regime in regimes), 0
    finished, notes, lines, recipe = [], {}, [], None
    for task, regime in zip(loaded, regimes, strict=True):
        noise = regime.noise(accountant) if accountant else 0.0
        mechanism = Mechanism(clip_norm=clip_norm, noise=noise, batch_size=batch_size, rank=rank,
                              head_scale=head_scale, microbatch=microbatch)
        plan = _plan(task, regime, precision, log_every, checkpoint_every)
        run = _Run(ctx, encoder, task, regime, mechanism, trained, pooling, dropout)
        finished.append(run.train(optimizer, schedule, plan, done, total))
        done += regime.steps
        notes[task.name] = _note(regime, mechanism, run, private=accountant is not None)
        lines += [json.dumps({"task": task.name} | entry) + "\n" for entry in run.history]
        recipe = run.recipe(optimizer, schedule, epochs, precision)
    finetuning.export(ctx, source, encoder, loaded, finished, recipe)
    write_json(ctx.out / "privacy.json", notes)
    (ctx.out / "training.jsonl").write_text("".join(lines), encoding="utf-8")


def _check(
    accountant: Accountant | None, clip_norm: float | None, trained: str, rank: int | None
) -> None:
    if accountant is not None and clip_norm is None:
        raise UserError("clip_norm = None: an accountant needs gradients of bounded norm")
    if clip_norm is not None and trained == "all":
        raise UserError("trained = 'all': per-example gradients are those of linear layers; "
                        "expected 'linear' with a clip_norm")
    if rank is not None and clip_norm is None:
        raise UserError(f"rank = {rank}: carriers are for clipped gradients; expected a clip_norm")


def _regime(
    task: Task, batch_size: int, epochs: int, epsilon: float,
    delta: float | dict[str, float] | None,
) -> Regime:
    chosen = delta[task.name] if isinstance(delta, dict) else delta
    return Regime(examples=len(task.train), batch_size=batch_size, epochs=epochs, epsilon=epsilon,
                  delta=chosen)


def _plan(
    task: Task, regime: Regime, precision: str, log_every: int, checkpoint_every: int
) -> Plan:
    tokens = float(task.train.lengths_N.double().mean()) * regime.batch_size
    return Plan(steps=regime.steps, precision=precision, log_every=log_every,
                checkpoint_every=checkpoint_every, phase=task.name, tokens_per_step=round(tokens))


def _encoded(data: Path, name: str, build: Callable[..., TaskData], length: int) -> Task:
    """Return a task as tensors, by the public tokenizer of the data artefact."""
    task = build()
    if task.kind not in ("classification", "pair"):
        raise UserError(f"task {name!r}: a {task.kind} task; expected one label for each example")
    tokenizer = text.load(data)
    splits, _ = encode_task(tokenizer, task, length, name)
    pad = text.vocab_info(tokenizer).pad
    parts = {split: examples.examples(splits[split], np.arange(len(splits[split])), pad, task.kind)
             for split in SPLITS}
    return Task(name, task.kind, tuple(task.labels), tuple(task.metrics), task.primary, **parts)


def _set_dropout(encoder: PreTrainedModel, dropout: float) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout


class _Run:
    """One task: a fresh head on the encoder, whose weights are restored afterwards."""

    def __init__(
        self,
        ctx: RunContext,
        encoder: PreTrainedModel,
        task: Task,
        regime: Regime,
        mechanism: Mechanism,
        trained: str,
        pooling: Literal["cls", "mean"],
        dropout: float,
    ) -> None:
        self.ctx, self.task, self.regime, self.mechanism = ctx, task, regime, mechanism
        self.pooling, self.dropout = pooling, dropout
        self.streams = Streams(ctx.seed, ctx.member).fork("private").fork(task.name)
        self.streams.seed_global("head")
        head = classifier.build_head("linear", encoder.config.hidden_size, task.outputs, dropout)
        self.public = {name: value.clone() for name, value in encoder.state_dict().items()}
        self.model = Classifier(encoder, head.to(next(encoder.parameters()).device), pooling)
        self.layers = {name: module for name, module in self.model.named_modules()
                       if isinstance(module, nn.Linear)}
        self.model.requires_grad_(trained == "all")
        for name, layer in self.layers.items():
            layer.weight.requires_grad_(True)
            layer.bias.requires_grad_(trained == "all" or name.startswith("head"))
        self.history: list[dict[str, float]] = []

    def losses(self, rows_B: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of each of some training examples."""
        batch = gather(self.task.train, rows_B)
        targets_B = batch.targets_U.to(self.model.device)
        return F.cross_entropy(self.model(batch).float(), targets_B, reduction="none")

    def train(
        self,
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Callable[..., float],
        plan: Plan,
        done: int,
        total: int,
    ) -> Progress:
        """Train to the end of the plan, write what the attack needs, return the outcome."""
        task, ctx = self.task, self.ctx
        loss = self._plain if self.mechanism.clip_norm is None else PrivateGradient(
            self.layers, self.losses, self.mechanism, self.streams, task.train.lengths_N)

        def report(*, step: int, total: int, whole: int = total, **values: Any) -> None:
            ctx.report(step=done + step, total=whole, **values)

        self.history = fit(
            self.model, PoissonOrder(len(task.train), self.regime.rate, self.streams), loss,
            optimizer(self.model), plan, streams=self.streams, schedule=schedule,
            checkpoints=ctx.checkpoints / "private" / task.name, report=report,
            stop_requested=ctx.stop_requested,
        )
        self._attackable()
        trial = Trial(optimizer_rate(optimizer, self.model), 0,
                      sweep.score(task, task.dev, classifier.predict(self.model, task.dev)),
                      self.history[-1]["loss"], plan.steps)
        outputs_UC = classifier.predict(self.model, task.test)
        self.model.encoder.load_state_dict(self.public)
        return Progress([trial], 0, outputs_UC)

    def _plain(self, rows_B: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        """Return the sum of the losses over the expected batch size, as DP-SGD divides it."""
        anchor = sum(p.sum() * 0 for p in self.model.parameters())  # an empty batch has a gradient
        if not len(rows_B):
            return {"loss": anchor}
        return {"loss": self.losses(rows_B).sum() / self.mechanism.batch_size + anchor}

    def _attackable(self) -> None:
        """Write the losses of training examples and of as many test examples as there are."""
        folder = self.ctx.out / "losses"
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in (("members", self.task.train), ("others", self.task.test)):
            np.save(folder / f"{self.task.name}.{name}.npy", losses_of(self.model, data))

    def recipe(
        self,
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Callable[..., float],
        epochs: int,
        precision: str,
    ) -> Recipe:
        """Return what `repro.evaluate.finetuning` describes a training by."""
        return Recipe(
            optimizer=optimizer, schedule=schedule, restarts=1, epochs=epochs, steps=None,
            learning_rates=(optimizer_rate(optimizer, self.model),), dropout=self.dropout,
            batch_size=self.mechanism.batch_size, head="linear", pooling=self.pooling,
            frozen=False, clip_norm=self.mechanism.clip_norm, precision=precision,
            checkpoint_every=None, keep_weights=False,
        )


def optimizer_rate(optimizer: Callable[..., torch.optim.Optimizer], model: nn.Module) -> float:
    """Return the peak learning rate that a factory gives."""
    return max(group["initial_lr"] for group in optimizer(model).param_groups)


@torch.no_grad()
def losses_of(model: Classifier, data: Examples) -> np.ndarray:
    """Return the cross-entropy of every example in its own order, float32, in nats."""
    outputs_UC = classifier.predict(model, data)
    return F.cross_entropy(outputs_UC, data.targets_U, reduction="none").numpy()


def _note(
    regime: Regime, mechanism: Mechanism, run: _Run, private: bool
) -> dict[str, Any]:
    return asdict(regime) | {
        "delta": regime.failure, "rate": regime.rate, "steps": regime.steps,
        "noise": mechanism.noise if private else None, "clip_norm": mechanism.clip_norm,
        "rank": mechanism.rank,
        "trained_parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
    }
