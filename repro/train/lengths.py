"""One model trained for several lengths in a run: what a scaling law is fitted to.

<out>/model, history.jsonl, summary.json   `steps` updates, as `repro.train.pretraining` leaves them
<out>/matched/<r>/...    the same for steps / 2^(halvings - r) updates, from the start: r = 0 is
                         the shortest, its schedule as long as itself
<out>/fixed/<r>/...      the long training as it passes so many updates, its schedule unfinished
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from repro.context import RunContext
from repro.errors import Interrupted, UserError
from repro.train import checkpoint, pretraining
from repro.train.distributed import ALONE
from repro.train.objective import Batches, Objective
from repro.train.streams import Streams

Protocol = Literal["matched", "fixed"]


def place(run: Path, protocol: Protocol, rung: int) -> Path:
    """Return where in an artefact the model of a length lies: rung 0 is the shortest.

    Raises UserError for a rung above the full length.
    """
    halvings = len(list((run / protocol).glob("*")))
    if not 0 <= rung <= halvings:
        raise UserError(f"rung = {rung}: {run} has the lengths 0 to {halvings}")
    return run / protocol / str(rung) if rung < halvings else run


def pretrain(
    ctx: RunContext,
    *,
    batches: Batches,
    objective: Objective,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    halvings: int = 4,
    accumulation: int = 1,
    clip_norm: float | None = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    log_every: int = 100,
    checkpoint_every: int = 1000,
) -> None:
    """Train for `steps` updates and, anew, for half as many, down to steps / 2^halvings.

    All begin with the same weights and read the same batches, the shorter ones the first of them.
    Of the longest training the weights at the shorter lengths are kept, too (fixed). Other settings
    as in `pretraining.pretrain`. Raises UserError if 2^halvings does not divide steps.
    """
    if halvings < 0 or steps % 2**halvings:
        raise UserError(f"steps = {steps}, halvings = {halvings}: expected a multiple of "
                        f"{2**max(halvings, 0)}")
    settings = {
        "batches": batches, "objective": objective, "optimizer": optimizer, "schedule": schedule,
        "accumulation": accumulation, "clip_norm": clip_norm, "precision": precision,
        "device": device, "log_every": log_every, "checkpoint_every": checkpoint_every,
    }
    run = _Run(ctx, settings, steps, 2 * steps - (steps >> halvings))
    for k in range(halvings, 0, -1):
        run.pass_by(k)
    run.train(ctx.out, ctx.checkpoints, steps)
    for k in range(1, halvings + 1):
        run.train_anew(k)
    run.gather(halvings)


class _Run:
    """The trainings of one run. total: updates of all of them together.

    A finished shorter model waits in the folder of checkpoints, under its final name, so that a
    killed run makes none twice.
    """

    def __init__(
        self, ctx: RunContext, settings: dict[str, Any], steps: int, total: int
    ) -> None:
        self.ctx, self.settings, self.steps, self.total = ctx, settings, steps, total
        self.world = ctx.world or ALONE
        self.first = self.world.rank == 0
        self.done = 0  # updates of the trainings before the present one

    def train(
        self, out: Path, checkpoints: Path, steps: int, until: int | None = None
    ) -> None:
        """Train up to `steps` updates and export; stop with a checkpoint at `until`, if given."""
        last = [0]

        def on_report(**values: Any) -> None:
            last[0] = values["step"]
            shown = {"step": self.done + values["step"], "total": self.total}
            self.ctx.on_report(**values | shown)

        def stop_requested() -> bool:
            return last[0] == until or self.ctx.stop_requested()

        part = replace(self.ctx, out=out, checkpoints=checkpoints, on_report=on_report,
                       stop_requested=stop_requested, totals={})
        pretraining.pretrain(part, steps=steps, **self.settings)
        self.ctx.count(**part.totals)

    def pass_by(self, k: int) -> None:
        """Bring the longest training to steps / 2^k updates and keep what it is there."""
        kept, until = self._waiting("fixed", k), self.steps >> k
        if kept.exists():
            return
        if self._reached() < until:
            with suppress(Interrupted):
                self.train(self.ctx.out, self.ctx.checkpoints, self.steps, until)
        reached = self._reached()
        if reached == until and self.first:
            self._keep(kept, lambda part: self._export(part, until))
        if reached != until or self.world.any(self.ctx.stop_requested()):
            raise Interrupted(f"stopped on request after step {reached} of {self.steps}")

    def train_anew(self, k: int) -> None:
        """Train steps / 2^k updates from the start, unless an earlier attempt has."""
        self.done += self.steps if k == 1 else self.steps >> (k - 1)
        kept, steps = self._waiting("matched", k), self.steps >> k
        if kept.exists():
            tokens, flops = self._amount(steps)
            self.ctx.count(tokens=tokens, flops=flops)
            return
        checkpoints = self.ctx.checkpoints / f"length-{k}"
        if self.first:
            self._keep(kept, lambda part: self.train(part, checkpoints, steps))
        else:
            self.train(kept, checkpoints, steps)  # only the first task writes

    def gather(self, halvings: int) -> None:
        """Copy the shorter models into the artefact."""
        for protocol in ("matched", "fixed") if self.first else ():
            for k in range(1, halvings + 1):
                rung = self.ctx.out / protocol / str(halvings - k)
                shutil.copytree(self._waiting(protocol, k), rung)

    def _waiting(self, protocol: Protocol, k: int) -> Path:
        return self.ctx.checkpoints / f"{protocol}-{k}"

    def _reached(self) -> int:
        """Return the step of the newest checkpoint, 0 without one; the first task has written it,
        and the others may see it late."""
        saved = checkpoint.load_latest(self.ctx.checkpoints)
        return int(self.world.gather(torch.tensor([saved.step if saved else 0])).max())

    def _keep(self, kept: Path, make: Callable[[Path], None]) -> None:
        """Make a folder that is there only when it is whole."""
        part = kept.with_name(f".{kept.name}.tmp")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        make(part)
        part.rename(kept)

    def _export(self, out: Path, steps: int) -> None:
        """Export the longest training as its newest checkpoint has it."""
        batches, objective = self.settings["batches"], self.settings["objective"]
        saved = checkpoint.load_latest(self.ctx.checkpoints)
        streams = Streams(self.ctx.seed, self.ctx.member)
        vocab, _ = batches.open(self.ctx.input("data"), streams)
        model = objective.build(vocab, streams)
        weights = {name.removeprefix("model/"): tensor for name, tensor in saved.tensors.items()
                   if name.startswith("model/")}
        model.load_state_dict(weights, strict=False)  # tied tensors are saved once
        tokens, flops = self._amount(steps, model)
        exported = objective.exported(model)
        summary = {"steps": steps, "tokens": tokens, "flops_per_step": flops // steps}
        for name, module in {"parameters": exported, "parameters_trained": model}.items():
            summary[name] = sum(p.numel() for p in module.parameters())
        pretraining.export(replace(self.ctx, out=out), exported, batches.files,
                           saved.state["history"], summary)

    def _amount(self, steps: int, model: torch.nn.Module | None = None) -> tuple[int, int]:
        """Return tokens and operations of so many updates."""
        batches, objective = self.settings["batches"], self.settings["objective"]
        count = self.settings["accumulation"]
        if model is None:
            streams = Streams(self.ctx.seed, self.ctx.member)
            vocab, _ = batches.open(self.ctx.input("data"), streams)
            with torch.device("meta"):
                model = objective.build(vocab, streams)
        flops = count * objective.training_flops(model, **batches.shape)
        return steps * count * batches.tokens, steps * flops

