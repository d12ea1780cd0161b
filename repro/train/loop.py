"""The one training loop: batch, loss, backward, clip, step, after-step.

Every paper trains through `fit`. The loop draws no random number itself: batch and loss are
functions of their index, and dropout is seeded per index, so that a run killed at any update
and started again ends in the same bytes as one that never stopped.
"""

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from repro.errors import Interrupted, UserError
from repro.train import checkpoint, optimizers, schedules
from repro.train.distributed import ALONE, TreeSum, World, full, like
from repro.train.ema import ExponentialMovingAverage
from repro.train.streams import Streams

Parts = dict[str, torch.Tensor]
LOGGED_DIGITS = 6


@dataclass(kw_only=True)
class Plan:
    """How long and how to train; all of it plain values.

    steps: updates. accumulation: batches per update. clip_norm: largest gradient norm, None = no
    clipping. clip_groups: prefixes of parameter names; each group, and what is left, is clipped
    on its own. precision: "fp32" or "bf16" (autocast; parameters stay fp32). log_every and
    checkpoint_every: updates. tokens_per_step: for progress only.
    """

    steps: int
    accumulation: int = 1
    clip_norm: float | None = None
    clip_groups: tuple[str, ...] = ()
    precision: str = "fp32"
    log_every: int = 100
    checkpoint_every: int = 1000
    tokens_per_step: int = 0
    phase: str = ""

    def __post_init__(self) -> None:
        for name in ("steps", "accumulation", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} = {getattr(self, name)}: expected at least 1")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise UserError(f"clip_norm = {self.clip_norm}: expected a positive number or None")
        if self.precision not in ("fp32", "bf16"):
            raise UserError(f"precision = {self.precision!r}: expected fp32 or bf16")


def fit(
    model: nn.Module,
    batch: Callable[[int], Any],
    loss: Callable[[Any, int], Parts],
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    *,
    streams: Streams,
    world: World = ALONE,
    schedule: Callable[[int, int], float] = schedules.constant,
    ema: ExponentialMovingAverage | None = None,
    after_step: Callable[[int], None] | None = None,
    checkpoints: Path | None = None,
    report: Callable[..., None] | None = None,
    stop_requested: Callable[[], bool] | None = None,
) -> list[dict[str, float]]:
    """Train model in place to plan.steps updates and return the logged history.

    batch(index) and loss(batch, index) must be pure in index, the count of batches from 0; loss
    returns "loss" (scalar, what is minimised) and scalars to log, always the same ones. world: the
    tasks that share the batches of an update; whatever their number, all end in the same bytes
    (sharded models: up to rounding), and task 0 writes them. schedule(step, steps) is the
    factor on the peak rates. after_step(step) sees the updates done, after each one. checkpoints:
    folder to resume from and save to. History: {"step", "loss", ..., "lr_factor"} per log_every
    updates, means over the updates since the last entry, plus one for the last update.
    Raises UserError when the loss or the gradient norm is not finite, naming step and parts;
    Interrupted after saving, once stop_requested() is true in any task.
    """
    run = _Run(model, optimizer, plan, world, ema, checkpoints)
    run.restore()
    model.train()
    while run.step < plan.steps:
        optimizers.set_factor(optimizer, schedule(run.step, plan.steps))
        parts = run.accumulate(batch, loss, streams)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if ema is not None:
            ema.update()
        run.step += 1
        if after_step is not None:
            after_step(run.step)
        run.record(parts, schedule)
        if report is not None:
            tokens = run.step * plan.tokens_per_step
            report(
                step=run.step, total=plan.steps, loss=run.last_loss, tokens=tokens, phase=plan.phase
            )
        stopping = (
            run.step < plan.steps and stop_requested is not None and world.any(stop_requested())
        )
        if stopping or run.step % plan.checkpoint_every == 0 or run.step == plan.steps:
            run.save()
        if stopping:
            raise Interrupted(f"stopped on request after step {run.step} of {plan.steps}")
    return run.history


class _Run:
    """State of one call of fit: step, history, and the sums since the last history entry."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        world: World,
        ema: ExponentialMovingAverage | None,
        checkpoints: Path | None,
    ) -> None:
        self.model, self.optimizer, self.plan, self.ema = model, optimizer, plan, ema
        self.world, self.checkpoints = world, checkpoints
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.sums: dict[str, float] = {}
        self.pending: list[tuple[int, Parts]] = []
        self.last_loss: float | None = None
        self.groups = clip_groups(model, plan.clip_groups) if plan.clip_norm else []
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.sharded = hasattr(self.parameters[0], "full_tensor")
        world.check(plan.accumulation)
        self.context: Callable[[], Any] = contextlib.nullcontext
        if plan.precision == "bf16":
            self.context = lambda: torch.autocast(self.device.type, torch.bfloat16)

    def accumulate(
        self, batch: Callable[[int], Any], loss: Callable[[Any, int], Parts], streams: Streams
    ) -> Parts:
        """Leave the clipped gradient of one update on the parameters; return the logged parts."""
        count = self.plan.accumulation
        gradients, rows = TreeSum(), []
        for index in self.world.share(self.step, count):
            data = batch(index)
            streams.seed_global("dropout", index)
            with self.context():
                parts = loss(data, index)
            (parts["loss"] if count == 1 else parts["loss"] / count).backward()
            parts = {name: value.detach() for name, value in parts.items()}
            if count > 1:
                rows.append(torch.stack([value.double() for value in parts.values()]))
                gradients.add([p.grad for p in self.parameters])
                self.model.zero_grad(set_to_none=True)
        if count > 1:
            means = self.world.gather(torch.stack(rows)).sum(dim=0) / count
            parts = dict(zip(parts, means, strict=True))
        # On an accelerator `flush` finds it, when an entry is due.
        if self.device.type == "cpu" and not math.isfinite(parts["loss"].item()):
            raise _not_finite(self.step + 1, {k: v.item() for k, v in parts.items()})
        if count > 1:
            for parameter, total in zip(self.parameters, gradients.total(), strict=True):
                parameter.grad = total
        if self.world.size > 1 and not self.sharded:
            self.world.add_up(self.parameters)
        if self.groups:
            parts["grad_norm"] = clip(self.groups, self.plan.clip_norm)
        return parts

    def record(self, parts: Parts, schedule: Callable[[int, int], float]) -> None:
        """Take in one update's parts; write a history entry where one is due."""
        self.pending.append((self.step, parts))
        last = self.step == self.plan.steps
        due = last or self.step % self.plan.log_every == 0
        # Reading a value from an accelerator waits for it: there, only when an entry is due.
        if due or self.device.type == "cpu":
            self.flush()
        if due:
            start = self.history[-1]["step"] if self.history else 0
            entry = {name: total / (self.step - start) for name, total in self.sums.items()}
            entry["lr_factor"] = schedule(self.step - 1, self.plan.steps)
            self.history.append({"step": self.step} | {k: rounded(v) for k, v in entry.items()})
            self.sums = {}

    def flush(self) -> None:
        """Bring pending values to the host, refuse what is not finite, add up the rest."""
        for step, parts in self.pending:
            values = {name: float(value) for name, value in parts.items()}
            if not all(math.isfinite(values.get(name, 0.0)) for name in ("loss", "grad_norm")):
                raise _not_finite(step, values)
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.last_loss = values["loss"]
        self.pending = []

    def save(self) -> None:
        """Write a checkpoint, where there is a folder for it. Never one that is not finite."""
        self.flush()
        if not self.sharded:
            self.world.check_same(_named_tensors(self.model))
        if self.checkpoints is None:
            return
        tensors = {f"model/{n}": t for n, t in _named_tensors(self.model)}
        state = optimizers.named_state(self.optimizer, self.model)
        tensors |= {f"optimizer/{n}": t for n, t in state.items()}
        if self.ema is not None:
            tensors |= {f"ema/{n}": t for n, t in self.ema.averages.items()}
        whole = ((n, full(t.detach())) for n, t in tensors.items())  # one at a time
        tensors = {n: t.cpu().contiguous() for n, t in whole if self.world.rank == 0}
        if self.world.rank > 0:
            return
        scalars = {"steps": self.plan.steps, "history": self.history, "sums": self.sums}
        checkpoint.save(self.checkpoints, checkpoint.Checkpoint(self.step, tensors, scalars))

    @torch.no_grad()
    def restore(self) -> None:
        """Continue from the newest readable checkpoint, if there is one."""
        saved = checkpoint.load_latest(self.checkpoints) if self.checkpoints else None
        steps = self.world.gather(torch.tensor([saved.step if saved else 0])).unique().tolist()
        if len(steps) > 1:
            raise UserError(
                f"{self.checkpoints}: the tasks of this run see checkpoints of different steps "
                f"({', '.join(map(str, steps))}): the store must be on a disk that all nodes share"
            )
        if saved is None:
            return
        if saved.state["steps"] != self.plan.steps:
            raise UserError(
                f"{self.checkpoints}: checkpoints of a run of {saved.state['steps']} steps, "
                f"this one has {self.plan.steps}"
            )
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "ema": {}}
        for key, tensor in saved.tensors.items():
            owner, _, name = key.partition("/")
            parts[owner][name] = tensor
        named = dict(_named_tensors(self.model))
        if named.keys() != parts["model"].keys():
            differing = sorted(named.keys() ^ parts["model"].keys())
            raise UserError(f"{self.checkpoints}: checkpoint of another model: {differing[0]}")
        for name, tensor in parts["model"].items():
            named[name].copy_(like(tensor, named[name]))
        optimizers.load_named_state(self.optimizer, self.model, parts["optimizer"])
        if self.ema is not None:
            self.ema.load(parts["ema"])
        self.step = saved.step
        self.history, self.sums = saved.state["history"], saved.state["sums"]


def clip_groups(model: nn.Module, prefixes: Iterable[str]) -> list[list[nn.Parameter]]:
    """Return the trainable parameters under each prefix, then those under none.

    A parameter shared between modules goes by its first name. The first prefix that fits wins.
    Raises UserError for a prefix that fits no parameter.
    """
    prefixes = tuple(prefixes)
    groups: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in (*prefixes, "")}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[next(p for p in groups if name.startswith(p))].append(parameter)
    for prefix in prefixes:
        if not groups[prefix]:
            raise UserError(f"clip_groups: no parameter starts with {prefix!r}")
    return [group for group in groups.values() if group]


def clip(groups: list[list[nn.Parameter]], max_norm: float) -> torch.Tensor:
    """Scale each group's gradient down to at most max_norm; return the norm over all groups."""
    norms = []
    for group in groups:
        gradients = [p.grad for p in group if p.grad is not None]
        if gradients:
            norms.append(full(nn.utils.get_total_norm(gradients)))
            nn.utils.clip_grads_with_norm_(group, max_norm, norms[-1])
    return torch.linalg.vector_norm(torch.stack(norms)) if len(norms) > 1 else norms[0]


def rounded(value: float) -> float:
    """Return value to the digits that a history keeps."""
    return float(f"{value:.{LOGGED_DIGITS}g}")


def _named_tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return parameters and persistent buffers, shared ones once."""
    kept = model.state_dict().keys()
    return [*model.named_parameters(), *((n, t) for n, t in model.named_buffers() if n in kept)]


def _not_finite(step: int, values: dict[str, float]) -> UserError:
    listed = ", ".join(f"{name} = {value:g}" for name, value in values.items())
    return UserError(f"step {step}: the loss is not finite ({listed})")
