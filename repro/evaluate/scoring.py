"""The entry of the eval stage: rows from the test predictions of one run or of a committee.

    <out>/rows.jsonl   see `repro.evaluate.rows`
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate import ensembles, latency, metrics, rows
from repro.evaluate.classifier import new_encoder

SHARED = ("kind", "labels", "metrics", "primary")


def score(
    ctx: RunContext,
    *,
    committee: int | None = None,
    latency_repeats: int = 0,
) -> None:
    """Write rows.jsonl from the finetune artefacts of the members.

    Per task: every metric of the task; flops_per_example (forward, per test example), parameters
    and training_flops (pre-training), each summed over the members. Means over tasks are left to
    the verdict, which takes them per seed.
    Several members vote softly (`ensembles.soft_vote`), or are averaged for regression. committee:
    how many of the members, in their order; None = all. latency_repeats > 0: also measure latency,
    at the mean test length, with fresh weights of the same shape; it goes to run.json.
    Raises UserError for a missing member or file, and members that disagree on tasks or labels.
    """
    members = _members(ctx, committee)
    rows.write(ctx.out, _values(members))
    if latency_repeats:
        ctx.measure(**_latency(members, latency_repeats))


def values(ctx: RunContext, *, committee: int | None = None) -> rows.Values:
    """Return what `score` writes."""
    return _values(_members(ctx, committee))


class _Member:
    """The finetune artefact of one member."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.tasks: dict[str, dict[str, Any]] = self._json("tasks.json")
        self.summary: dict[str, int] = self._json("summary.json")

    def _json(self, name: str) -> dict[str, Any]:
        return _read(self.folder / name, lambda path: json.loads(path.read_text(encoding="utf-8")))

    def array(self, name: str) -> np.ndarray:
        return _read(self.folder / name, lambda path: np.load(path, allow_pickle=False))


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        reason = "missing or unreadable; run the finetune stage again"
        raise UserError(f"{path}: {reason}") from error


def _members(ctx: RunContext, committee: int | None) -> list[_Member]:
    if not ctx.inputs.get("finetune"):
        raise UserError("eval: no finetune artefact to read")
    return [_Member(path) for path in ensembles.choose(ctx.inputs["finetune"], committee)]


def _values(members: list[_Member]) -> rows.Values:
    first = members[0].tasks
    if not first:
        raise UserError(f"{members[0].folder / 'tasks.json'}: no task")
    for index, member in enumerate(members):
        if member.tasks.keys() != first.keys():
            raise UserError(f"committee: member {index} has other tasks than member 0")
        for task, info in member.tasks.items():
            if any(info[key] != first[task][key] for key in SHARED):
                raise UserError(f"task {task!r}: member {index} describes it unlike member 0")
    return {(task, metric): value for task in first for metric, value
            in (_task_metrics(members, task) | _cost(members, task)).items()}


def _task_metrics(members: list[_Member], task: str) -> dict[str, float]:
    info = members[0].tasks[task]
    targets = ensembles.check_labels([m.array(f"labels/{task}.npy") for m in members], task)
    outputs = [m.array(f"predictions/{task}.npy") for m in members]
    regression, tagging = info["kind"] == "regression", info["kind"] == "tagging"
    voted = ensembles.mean_value(outputs) if regression else ensembles.soft_vote(outputs)
    lengths = members[0].array(f"labels/{task}.lengths.npy") if tagging else None
    return {
        name: metrics.compute(
            name, voted, targets, kind=info["kind"], labels=info["labels"], lengths=lengths
        )
        for name in info["metrics"]
    }


def _cost(members: list[_Member], task: str) -> dict[str, float]:
    return {
        "flops_per_example": sum(m.tasks[task]["flops_per_example"] for m in members),
        "parameters": sum(m.tasks[task]["parameters"] for m in members),
        "training_flops": sum(m.summary["pretraining_flops"] for m in members),
    }


def _latency(members: list[_Member], repeats: int) -> dict[str, float]:
    """Return milliseconds per example of the encoders; time does not depend on the weights."""
    tasks = members[0].tasks.values()
    length = round(sum(info["mean_length"] for info in tasks) / len(tasks))
    calls = []
    for member in members:
        encoder = new_encoder(member.folder / "model")
        ids_1T = torch.arange(length)[None] % encoder.config.vocab_size
        calls.append(lambda encoder=encoder, ids_1T=ids_1T: encoder(input_ids=ids_1T))
    with torch.inference_mode():
        return latency.probe(calls, repeats=repeats) | {"latency_tokens": length}
