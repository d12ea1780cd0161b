"""The trials of few-shot fine-tuning on one task: one a learning rate, each with its best
checkpoint on dev. A finished trial survives a kill; one that was killed begins again.

N examples, C labels, B examples of a batch.
"""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from repro.errors import Interrupted, UserError
from repro.evaluate import metrics
from repro.evaluate.batching import Batch, TrainingOrder, evaluation_rows, gather
from repro.evaluate.classifier import EVALUATION_BATCH
from repro.evaluate.cloze import Model
from repro.evaluate.examples import Examples, Task
from repro.losses.fixmatch import FixMatch, fixmatch_loss
from repro.text.tokenizer import VocabInfo
from repro.train.loop import Plan, fit
from repro.train.parts import part
from repro.train.streams import Streams

_log = logging.getLogger(__name__)
Parts = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every task is trained; see `few_shot.finetune` for what the settings mean."""

    optimizer: Callable[..., torch.optim.Optimizer]
    schedule: Callable[[int, int], float]
    learning_rates: tuple[float, ...]
    steps: int
    batch_size: int
    evaluate_every: int | None
    dropout: float | None
    clip_norm: float | None
    precision: str

    def __post_init__(self) -> None:
        rates = self.learning_rates
        if not rates or len(set(rates)) < len(rates) or not all(rate > 0 for rate in rates):
            raise UserError(f"learning_rates = {rates}: expected different positive numbers")
        if self.steps < 1 or (self.evaluate_every or 1) < 1:
            raise UserError(f"steps = {self.steps}, evaluate_every = {self.evaluate_every}: "
                            "expected at least 1")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UserError(f"dropout = {self.dropout}: expected 0 <= dropout < 1")


@dataclass
class Trial:
    """One finished training. step: updates at its best checkpoint, whose score on dev this is;
    loss: mean since the last entry."""

    learning_rate: float
    step: int
    dev: float
    loss: float


@dataclass
class Outcome:
    """What is finished of a task; outputs of the best trial on the test and on the pool."""

    trials: list[Trial] = field(default_factory=list)
    best: int = -1
    outputs_NC: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    pool_NC: torch.Tensor = field(default_factory=lambda: torch.empty(0))


def tune(
    make: Callable[[], Model],
    task: Task,
    recipe: Recipe,
    streams: Streams,
    folder: Path,
    *,
    pool: Examples,
    vocab: VocabInfo,
    consistency: FixMatch | None,
    report: Callable[..., None],
    stop_requested: Callable[[], bool],
) -> Outcome:
    """Return the finished trials of a task; what `folder` holds already is not done again.

    make(): the model that every trial starts from. Raises UserError for a loss that is not finite,
    Interrupted on request; finished trials stay.
    """
    path = folder / f"{task.name}.safetensors"
    outcome = _load(path)
    for index, rate in enumerate(sorted(recipe.learning_rates)):
        if index < len(outcome.trials):
            continue
        if stop_requested():
            raise Interrupted(f"stopped on request before trial {index} of task {task.name!r}")
        streams.seed_global("head")
        training = _Training(make(), task, recipe, streams, pool, vocab, consistency)
        shifted = part(report, index, len(recipe.learning_rates))
        try:
            trial = training.run(rate, shifted, stop_requested)
        except UserError as error:
            raise UserError(f"task {task.name!r}, learning rate {rate}: {error}") from error
        if outcome.best < 0 or trial.dev > outcome.trials[outcome.best].dev:
            outcome.best = index
            outcome.outputs_NC = predict(training.model, task.test)
            outcome.pool_NC = predict(training.model, pool)
        outcome.trials.append(trial)
        _save(path, outcome)
    return outcome


@torch.no_grad()
def predict(model: Model, data: Examples) -> torch.Tensor:
    """Return outputs_NC of every example in its own order, float32, on the CPU, in eval mode."""
    model.eval()
    result = torch.empty(0)
    for rows_B in evaluation_rows(data.lengths_N, EVALUATION_BATCH):
        outputs_BC = model(gather(data, rows_B)).float().cpu()
        if not len(result):
            result = torch.empty(len(data), outputs_BC.shape[1])
        result[rows_B] = outputs_BC
    return result


class _Training:
    """One trial: a fresh model, and the weights of its best checkpoint so far."""

    def __init__(
        self, model: Model, task: Task, recipe: Recipe, streams: Streams, pool: Examples,
        vocab: VocabInfo, consistency: FixMatch | None,
    ) -> None:
        self.model, self.task, self.recipe, self.streams = model, task, recipe, streams
        self.pool, self.vocab, self.consistency = pool, vocab, consistency
        if recipe.dropout is not None:
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = recipe.dropout
        if consistency is not None:
            self.unlabelled = TrainingOrder(pool.lengths_N, consistency.ratio * recipe.batch_size,
                                            streams.fork("unlabelled"))
        self.best: Trial | None = None
        self.weights: Parts = {}
        self.rate = 0.0

    def run(
        self, rate: float, report: Callable[..., None], stop_requested: Callable[[], bool]
    ) -> Trial:
        """Train at a peak rate, leave the best weights on the model and return what they reach."""
        recipe, data, self.rate = self.recipe, self.task.train, rate
        tokens = float(data.lengths_N.double().mean()) * recipe.batch_size
        plan = Plan(steps=recipe.steps, clip_norm=recipe.clip_norm, precision=recipe.precision,
                    log_every=min(recipe.evaluate_every or recipe.steps, recipe.steps),
                    phase=self.task.name, checkpoint_every=recipe.steps,
                    tokens_per_step=round(tokens))
        history = fit(
            self.model, TrainingOrder(data.lengths_N, recipe.batch_size, self.streams), self.loss,
            recipe.optimizer(self.model, rate), plan, streams=self.streams,
            schedule=recipe.schedule, after_step=self.evaluate, report=report,
            stop_requested=stop_requested)
        self.model.load_state_dict(self.weights)
        self.best.loss = history[-1]["loss"]
        return self.best

    def loss(self, rows_B: torch.Tensor, step: int) -> Parts:
        """Return the cross-entropy of labelled examples; with consistency, that of guesses, too."""
        batch = gather(self.task.train, rows_B)
        outputs_BC = self.model(batch).float()
        loss = F.cross_entropy(outputs_BC, batch.targets_U.to(outputs_BC.device))
        if self.consistency is None:
            return {"loss": loss}
        weak = gather(self.pool, self.unlabelled(step))
        keep_BT = torch.ones_like(weak.input_ids_BT, dtype=torch.bool)
        strong_BT = self.consistency.corrupt(
            weak.input_ids_BT, keep_BT if weak.keep_BT is None else weak.keep_BT, self.vocab,
            self.streams.generator("corrupt", step))
        strong = Batch(strong_BT, weak.segments_BT, weak.keep_BT, weak.units_U, None,
                       weak.targets_U)
        with torch.no_grad():
            guesses_BC = self.model(weak).float()
        extra, sure = fixmatch_loss(guesses_BC, self.model(strong).float(),
                                    self.consistency.threshold)
        return {"loss": loss + self.consistency.weight * extra, "confident": sure}

    def evaluate(self, step: int) -> None:
        """Keep the weights after an update if none before did better on dev."""
        every = self.recipe.evaluate_every or self.recipe.steps
        if step % every and step != self.recipe.steps:
            return
        outputs_NC = predict(self.model, self.task.dev).numpy()
        dev = metrics.compute(self.task.primary, outputs_NC, self.task.dev.targets_U.numpy(),
                              kind=self.task.kind, labels=self.task.labels)
        self.model.train()
        if self.best is None or dev > self.best.dev:
            self.best = Trial(self.rate, step, dev, 0.0)
            self.weights = {n: t.detach().clone() for n, t in self.model.state_dict().items()}


def _save(path: Path, outcome: Outcome) -> None:
    """Write atomically. Raises UserError when it cannot be written."""
    record = {"trials": [asdict(trial) for trial in outcome.trials], "best": outcome.best}
    tensors = {name: getattr(outcome, name).contiguous() for name in ("outputs_NC", "pool_NC")}
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, scratch, metadata={"outcome": json.dumps(record)})
        os.replace(scratch, path)
    except (OSError, SafetensorError) as error:
        scratch.unlink(missing_ok=True)
        raise UserError(f"{path}: progress cannot be written: {error}") from error


def _load(path: Path) -> Outcome:
    """Return saved trials; none if there are none or they cannot be read (with a warning)."""
    if not path.exists():
        return Outcome()
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["outcome"])
            trials = [Trial(**trial) for trial in record["trials"]]
            return Outcome(trials, record["best"], file.get_tensor("outputs_NC"),
                           file.get_tensor("pool_NC"))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        _log.warning("%s: unreadable (%s); this task starts again", path, error)
        return Outcome()
