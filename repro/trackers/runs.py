"""What a tracker is told of a run: who it is, its settings, its curves, what it took."""

import calendar
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.pipeline.plans import Planned
from repro.pipeline.store import Entry

Values = dict[str, float]
_TAKEN = ("seconds", "core_seconds", "gpu_seconds", "peak_memory_mb", "gpu_peak_memory_mb",
          "tokens", "flops")


@dataclass(frozen=True)
class Logged:
    """A finished run. params: its settings, flat. history: (step, values) in order. summary: what
    it took and measured. started, finished: seconds since 1970."""

    planned: Planned
    params: dict[str, Any]
    history: list[tuple[int, Values]]
    summary: Values
    started: float
    finished: float

    @property
    def path(self) -> str:
        """electra/mini/bert/pretrain/seed0"""
        return path_of(self.planned)


def path_of(run: Planned) -> str:
    folder = run.label.partition(" ")[2]
    return "/".join(part for part in (run.paper, run.profile, run.arm, run.stage, folder) if part)


def tags(run: Planned) -> dict[str, str]:
    """Return what runs are found and grouped by."""
    return {"key": run.key, "paper": run.paper, "profile": run.profile, "arm": run.arm,
            "stage": run.stage, "label": run.label}


def read(entry: Entry, run: Planned) -> Logged:
    """Return a finished run as the store holds it."""
    record = entry.read("run") or {}
    made_of = record.get("ingredients", {})
    finished = _seconds(record.get("finished"))
    return Logged(
        planned=run,
        params={name: made_of.get(name) for name in ("seed", "member", "code", "numerics")}
        | dict(flat(made_of.get("config", {}), "config.")),
        history=list(_history(entry.out / "history.jsonl")),
        summary=_summary(record) | dict(_rows(entry.out / "rows.jsonl")),
        started=finished - record.get("seconds", 0.0),
        finished=finished,
    )


def progress(entry: Entry) -> tuple[int, Values] | None:
    """Return (step, values) that a living run said last, None if nothing yet."""
    said = entry.read("progress") or {}
    if "step" not in said:
        return None
    names = ("loss", "tokens_per_s", "steps_per_s")
    spent = said.get("spent", {})
    values = {name: said[name] for name in names if said.get(name) is not None}
    return said["step"], values | {name: spent[name] for name in _TAKEN if name in spent}


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of every leaf; a list is a leaf unless it holds mappings."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from flat(value, f"{prefix}{name}.")
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for index, item in enumerate(node):
            yield from flat(item, f"{prefix}{index}.")
    else:
        yield prefix.rstrip("."), node


def _history(path: Path) -> Iterator[tuple[int, Values]]:
    """Yield the logged updates; of a sweep, its trials by number, under the name of their task."""
    if not path.is_file():
        return
    for index, line in enumerate(path.read_text("utf-8").splitlines()):
        entry = json.loads(line)
        task = f"{entry['task']}/" if "task" in entry else ""
        yield int(entry.get("step", index)), {
            f"{task}{name}": float(value) for name, value in entry.items()
            if isinstance(value, int | float) and name != "step"}


def _summary(record: dict[str, Any]) -> Values:
    found = {name: record[name] for name in _TAKEN if isinstance(record.get(name), int | float)}
    joules = record.get("energy", {}).get("joules")
    measured = {f"measured/{name}": value for name, value in flat(record.get("measurements") or {})
                if isinstance(value, int | float)}
    return {name: float(value) for name, value in
            (found | measured | ({} if joules is None else {"joules": joules})).items()}


def _rows(path: Path) -> Iterator[tuple[str, float]]:
    """Yield the measurements of an eval artefact as task/metric."""
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            yield f"{row['task']}/{row['metric']}", float(row["value"])


def _seconds(clock: str | None) -> float:
    return 0.0 if clock is None else calendar.timegm(time.strptime(clock, "%Y-%m-%dT%H:%M:%SZ"))
