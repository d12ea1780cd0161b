"""The sweep over learning rates and restarts on one task, resumable after every trial.

U units, D hidden size, C outputs (see `examples`).
"""

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from repro.errors import Interrupted, UserError
from repro.evaluate import classifier, metrics
from repro.evaluate.batching import TrainingOrder, gather, steps_per_epoch
from repro.evaluate.classifier import Classifier, HeadName, Pooling
from repro.evaluate.examples import Examples, Task
from repro.train.loop import Plan, fit
from repro.train.streams import Streams

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every task is trained; see `finetuning.finetune` for what the settings mean."""

    optimizer: Callable[..., torch.optim.Optimizer]
    schedule: Callable[[int, int], float]
    learning_rates: tuple[float, ...]
    restarts: int
    epochs: int | None
    steps: int | None
    batch_size: int
    head: HeadName
    pooling: Pooling
    dropout: float | None
    frozen: bool
    clip_norm: float | None
    precision: str
    checkpoint_every: int | None
    keep_weights: bool

    def __post_init__(self) -> None:
        rates = self.learning_rates
        if not rates or len(set(rates)) < len(rates) or not all(rate > 0 for rate in rates):
            raise UserError(f"learning_rates = {rates}: expected different positive numbers")
        if self.restarts < 1:
            raise UserError(f"restarts = {self.restarts}: expected at least 1")
        if (self.epochs is None) == (self.steps is None):
            raise UserError(
                f"epochs = {self.epochs}, steps = {self.steps}: expected exactly one of them"
            )
        if (self.epochs or self.steps or 0) < 1:
            raise UserError(
                f"epochs = {self.epochs}, steps = {self.steps}: expected at least 1"
            )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UserError(f"dropout = {self.dropout}: expected 0 <= dropout < 1")

    @property
    def trials(self) -> list[tuple[float, int]]:
        """(learning rate, restart) in the order tried: on a tie on dev, the earlier one wins."""
        return [(rate, i) for rate in sorted(self.learning_rates) for i in range(self.restarts)]

    def steps_for(self, examples: int) -> int:
        """Return the updates of one trial on a task with so many training examples."""
        per_epoch = steps_per_epoch(examples, self.batch_size)
        return per_epoch * self.epochs if self.steps is None else self.steps


@dataclass
class Trial:
    """One finished training. dev: the task's primary metric; loss: mean of the last epoch."""

    learning_rate: float
    restart: int
    dev: float
    loss: float
    steps: int


@dataclass
class Progress:
    """What is finished of a task: trials in order, which is best on dev, its test outputs_UC, and
    its weights where they are asked for."""

    trials: list[Trial] = field(default_factory=list)
    best: int = -1
    outputs_UC: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


def tune(
    encoder: PreTrainedModel,
    task: Task,
    recipe: Recipe,
    streams: Streams,
    folder: Path,
    *,
    report: Callable[..., None],
    stop_requested: Callable[[], bool],
) -> Progress:
    """Return the finished sweep of one task; what `folder` holds already is not done again.

    encoder: its weights are the starting point of every trial and are restored at the end.
    folder: where progress survives a kill. Raises UserError for a loss that is not finite,
    Interrupted on request; finished trials stay.
    """
    path = folder / f"{task.name}.safetensors"
    progress = _load(path)
    start = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    higher = metrics.METRICS[task.primary].higher_is_better
    features: dict[str, torch.Tensor] = {}
    for index, (rate, restart) in enumerate(recipe.trials):
        if index < len(progress.trials):
            continue
        if stop_requested():
            raise Interrupted(f"stopped on request before trial {index} of task {task.name!r}")
        scratch = folder / task.name / f"trial-{index}"
        trainer = _Trainer(encoder, task, recipe, features, streams, restart)
        try:
            loss = trainer.train(rate, scratch, _offset(report, index), stop_requested)
        except UserError as error:
            raise UserError(f"task {task.name!r}, learning rate {rate}: {error}") from error
        dev = score(task, task.dev, trainer.outputs("dev"))
        better = progress.best < 0 or (
            dev > progress.trials[progress.best].dev
            if higher
            else dev < progress.trials[progress.best].dev
        )
        if better:
            progress.best, progress.outputs_UC = index, trainer.outputs("test")
            progress.weights = trainer.weights() if recipe.keep_weights else {}
        progress.trials.append(Trial(rate, restart, dev, loss, trainer.steps))
        _save(path, progress)
        shutil.rmtree(scratch, ignore_errors=True)
        encoder.load_state_dict(start)
    return progress


def score(task: Task, data: Examples, outputs_UC: torch.Tensor) -> float:
    """Return the task's primary metric of outputs on some of its examples."""
    outputs = outputs_UC.squeeze(1) if task.kind == "regression" else outputs_UC
    lengths = data.offsets.diff().numpy() if task.kind == "tagging" else None
    return metrics.compute(
        task.primary,
        outputs.numpy(),
        data.targets_U.numpy(),
        kind=task.kind,
        labels=task.labels,
        lengths=lengths,
    )


class _Trainer:
    """One trial: a fresh head on the encoder, trained together, or on frozen features.

    features: split -> features_UD of the frozen encoder, filled once and shared between trials.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        task: Task,
        recipe: Recipe,
        features: dict[str, torch.Tensor],
        streams: Streams,
        restart: int,
    ) -> None:
        self.task, self.recipe, self.features = task, recipe, features
        self.streams = streams.fork(f"restart-{restart}")
        dropout = recipe.dropout
        if dropout is None:
            dropout = getattr(encoder.config, "hidden_dropout_prob", 0.1)
        self.streams.seed_global("head")
        head = classifier.build_head(
            recipe.head, encoder.config.hidden_size, task.outputs, dropout
        ).to(next(encoder.parameters()).device)
        self.model = Classifier(encoder, head, recipe.pooling)
        if recipe.dropout is not None:
            for module in encoder.modules():
                if isinstance(module, nn.Dropout):
                    module.p = recipe.dropout
        self.steps = recipe.steps_for(len(task.train))

    def train(
        self,
        rate: float,
        scratch: Path,
        report: Callable[..., None],
        stop_requested: Callable[[], bool],
    ) -> float:
        """Train at a peak rate and return the mean loss of the last epoch."""
        recipe, data = self.recipe, self.task.train
        trained = self.model.head if recipe.frozen else self.model
        order = TrainingOrder(data.lengths_N, recipe.batch_size, self.streams)
        tokens = float(data.lengths_N.double().mean()) * recipe.batch_size
        plan = Plan(
            steps=self.steps,
            clip_norm=recipe.clip_norm,
            precision=recipe.precision,
            log_every=order.steps,
            checkpoint_every=recipe.checkpoint_every or self.steps,
            tokens_per_step=round(tokens),
            phase=self.task.name,
        )
        history = fit(
            trained,
            order,
            lambda rows_B, _: {"loss": self.loss(rows_B)},
            recipe.optimizer(trained, rate),
            plan,
            streams=self.streams,
            schedule=recipe.schedule,
            checkpoints=scratch if recipe.checkpoint_every else None,
            report=report,
            stop_requested=stop_requested,
        )
        return history[-1]["loss"]

    def loss(self, rows_B: torch.Tensor) -> torch.Tensor:
        """Return the mean loss over the units of some training examples."""
        data = self.task.train
        if self.recipe.frozen:
            units_U = data.units_of(rows_B)
            outputs_UC = self.model.head(self._frozen("train")[units_U])
            return classifier.task_loss(outputs_UC, data.targets_U[units_U], self.task.kind)
        batch = gather(data, rows_B)
        return classifier.task_loss(self.model(batch), batch.targets_U, self.task.kind)

    @torch.no_grad()
    def outputs(self, split: str) -> torch.Tensor:
        """Return outputs_UC of dev or test, float32 on the CPU."""
        if self.recipe.frozen:
            return self.model.head.eval()(self._frozen(split)).cpu()
        return classifier.predict(self.model, getattr(self.task, split))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of encoder and head on the CPU."""
        return {n: t.detach().cpu().clone() for n, t in self.model.state_dict().items()}

    def _frozen(self, split: str) -> torch.Tensor:
        if split not in self.features:
            data = getattr(self.task, split)
            values_UD = classifier.predict(self.model, data, features=True)
            self.features[split] = values_UD.to(self.model.device)
            self.model.head.train()
        return self.features[split]


def _offset(report: Callable[..., None], trial: int) -> Callable[..., None]:
    def shifted(*, step: int, total: int, **values) -> None:
        report(step=trial * total + step, total=total, **values)

    return shifted


def _save(path: Path, progress: Progress) -> None:
    """Write atomically. Raises UserError when it cannot be written."""
    record = {"trials": [asdict(trial) for trial in progress.trials], "best": progress.best}
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"outputs_UC": progress.outputs_UC.contiguous()}
        tensors |= {f"weights/{name}": t.contiguous() for name, t in progress.weights.items()}
        save_file(tensors, scratch, metadata={"progress": json.dumps(record)})
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except (OSError, SafetensorError) as error:
        scratch.unlink(missing_ok=True)
        raise UserError(f"{path}: progress cannot be written: {error}") from error


def _load(path: Path) -> Progress:
    """Return saved progress; none if there is none, or if it cannot be read (with a warning)."""
    if not path.exists():
        return Progress()
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["progress"])
            trials = [Trial(**trial) for trial in record["trials"]]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            outputs_UC = tensors.pop("outputs_UC")
            weights = {name.partition("/")[2]: t for name, t in tensors.items()}
            return Progress(trials, record["best"], outputs_UC, weights)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        _log.warning("%s: unreadable (%s); this task starts again", path, error)
        return Progress()
