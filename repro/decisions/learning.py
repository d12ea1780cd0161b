"""The entry of a stage that learns to act: behaviour cloning, of an expert or of what is gathered.

    <out>/model/, history.jsonl, summary.json   as `repro.train.pretraining`
    <out>/gathering.jsonl                       one object a round, where episodes are gathered
"""

import json
from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch

from repro.context import RunContext
from repro.decisions import episodes as storage
from repro.decisions.demonstrations import Demonstrations
from repro.decisions.environments import Environment
from repro.decisions.episodes import Episode
from repro.decisions.rollouts import Choose, greedy
from repro.errors import Interrupted, UserError
from repro.train import determinism
from repro.train.loop import Plan, fit
from repro.train.objective import Objective
from repro.train.pretraining import _earlier_model, _sizes, export
from repro.train.streams import Streams


class Gathering(Protocol):
    """How a policy gathers what it learns from. It holds settings only."""

    rounds: int

    def gather(
        self, number: int, level: Environment, act: Choose, streams: Streams
    ) -> tuple[list[Episode], dict[str, int]]:
        """Return the episodes to keep of one round, and what they cost; act: the policy so far."""
        ...


def learn(
    ctx: RunContext,
    *,
    batches: Demonstrations,
    objective: Objective,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    gathering: Gathering | None = None,
    start: Callable[..., None] | None = None,
    clip_norm: float | None = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
    log_every: int = 100,
    checkpoint_every: int = 100,
) -> None:
    """Train a policy on the steps of episodes and export it.

    Without gathering it is `repro.train.pretraining.pretrain` on the demonstrations, byte for byte.
    With it no expert is asked: in each round the policy acts in the level of batches, what is kept
    joins the episodes of the rounds before, and all of them are trained on for `steps` updates with
    a fresh optimiser (no update while there is nothing to learn from).
    start(exported, folder of the model of the stage before): sets first weights.
    Raises UserError for settings out of range, missing inputs or a loss that is not finite.
    """
    if steps < 0:
        raise UserError(f"steps = {steps}: expected at least 0")
    if gathering is not None and batches.episodes:
        raise UserError(f"batches.episodes = {batches.episodes}: expected 0 with gathering, which "
                        "goes without an expert")
    run = _Run(ctx, batches, objective, start, device)
    plan = None if not steps else Plan(
        steps=steps, clip_norm=clip_norm, precision=precision, log_every=log_every,
        checkpoint_every=checkpoint_every, tokens_per_step=batches.tokens, phase=ctx.stage)
    rounds = 1 if gathering is None else gathering.rounds
    for number in range(rounds):
        if gathering is not None:
            run.gather(gathering, number)
        if plan is not None and run.batch is not None:
            run.train(plan, optimizer, schedule, number, rounds)
    run.export()


class _Run:
    """State of one call of learn: the model, and the episodes and history so far."""

    def __init__(
        self, ctx: RunContext, batches: Demonstrations, objective: Objective,
        start: Callable[..., None] | None, device: Literal["cpu", "cuda"],
    ) -> None:
        self.ctx, self.batches, self.objective = ctx, batches, objective
        self.streams = self.inner = Streams(ctx.seed, ctx.member)
        self.encoder = batches.encoding.open(ctx.input("data"), self.streams)
        self.batch = None
        if batches.episodes:
            _, self.batch = batches.open(ctx.input("data"), self.streams)
        self.model = objective.build(self.encoder.vocab, self.streams)
        if start is not None:
            start(objective.exported(self.model), _earlier_model(ctx))
        self.model.to(determinism.device(device))
        self.episodes: list[Episode] = []
        self.history: list[dict[str, float]] = []
        self.trained = 0
        self.notes: list[dict[str, int]] = []

    def gather(self, gathering: Gathering, number: int) -> None:
        """Add the episodes of one round: those on disk, if a killed run left them.

        Raises Interrupted when the run is asked to stop between two rounds."""
        if number and self.ctx.stop_requested():
            raise Interrupted(f"stopped on request before round {number}")
        self.inner = self.streams.fork(f"round.{number}")
        path = self.ctx.checkpoints / "gathered" / f"{number}.jsonl"
        note = path.with_suffix(".json")
        if not path.is_file():
            act = greedy(self.objective, self.model, self.encoder)
            kept, cost = gathering.gather(number, self.batches.level, act, self.inner)
            path.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(cost), encoding="utf-8")
            storage.save(path, kept)  # last, and at once: where it is, the note is whole
        self.episodes += storage.load(path)
        self.notes.append({"round": number} | json.loads(note.read_text("utf-8")))
        if self.episodes:
            self.batch = self.batches.over(self.episodes, self.encoder, self.inner)

    def train(
        self, plan: Plan, optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Callable[..., float], number: int, rounds: int,
    ) -> None:
        """Train in place on the episodes so far."""
        folder, done = self.ctx.checkpoints, number * plan.steps
        if self.notes:
            folder = folder / f"round-{number}"

        def loss(data: tuple[torch.Tensor, ...], index: int) -> dict[str, torch.Tensor]:
            return self.objective.loss(self.model, *data, self.inner, index)

        def report(*, step: int, total: int, **values: Any) -> None:
            self.ctx.report(step=done + step, total=total * rounds, **values)

        found = fit(
            self.model, self.batch, loss, optimizer(self.model), plan, streams=self.inner,
            schedule=schedule, checkpoints=folder, report=report,
            stop_requested=self.ctx.stop_requested)
        self.trained += plan.steps
        self.history += [entry | {"step": done + entry["step"]} for entry in found]

    def export(self) -> None:
        """Write the artefact."""
        steps, tokens = self.trained, self.trained * self.batches.tokens
        flops = self.objective.training_flops(self.model, **self.batches.shape)
        self.ctx.count(tokens=tokens, flops=steps * flops)
        totals = {"steps": steps, "tokens": tokens, "flops_per_step": flops}
        exported = self.objective.exported(self.model)
        export(self.ctx, exported, self.batches.files, self.history,
               totals | _sizes(self.objective, self.model))
        if self.notes:
            lines = "".join(json.dumps(note) + "\n" for note in self.notes)
            (self.ctx.out / "gathering.jsonl").write_text(lines, encoding="utf-8")
