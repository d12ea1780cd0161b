"""What is going on: `repro status`, `repro logs`, `repro cancel`. Reads the store, never DVC."""

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from repro.errors import UserError
from repro.pipeline import plans
from repro.pipeline.jobs import Job, Look
from repro.pipeline.launch import Fleet, fleet_of, stop
from repro.pipeline.plans import Planned
from repro.pipeline.progress import Row, duration, row
from repro.pipeline.store import Entry, Store
from repro.settings import Settings

STATES = ("done", "running", "queued", "failed", "interrupted", "vanished", "unknown", "missing")
_FOLLOW_EVERY_S = 0.2


@dataclass(frozen=True)
class Cell:
    """The runs of one stage of one arm: counts by state."""

    paper: str
    profile: str
    arm: str
    stage: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Status:
    """cells: in the order asked for. active: living runs. troubles: label -> one line."""

    cells: list[Cell]
    active: list[Row]
    troubles: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        return asdict(self)


def status(settings: Settings, papers: Iterable[str] | None = None) -> Status:
    """Return the state of all runs last asked for, of some papers (slugs) or of all."""
    store = Store(settings.store)
    fleet = fleet_of(store)
    counts: dict[tuple[str, str, str, str], dict[str, int]] = {}
    active, troubles = {}, {}
    for run in plans.read(store, papers):
        entry = store.entry(run.key)
        state = state_of(entry, fleet)
        cell = counts.setdefault((run.paper, run.profile, run.arm, run.stage), {})
        cell[state] = cell.get(state, 0) + 1
        if state in ("running", "queued"):
            active[run.key] = row(run.label, entry)
        elif state == "failed":
            troubles[run.label] = (entry.read("failed") or {}).get("error", "unknown")
        elif state == "vanished":
            troubles[run.label] = "its job is gone without a word; run again to resume"
    return Status([Cell(*place, cell) for place, cell in counts.items()], list(active.values()),
                  troubles)


def state_of(entry: Entry, fleet: Fleet) -> str:
    """Return done, failed, interrupted, running, queued, vanished, unknown (the scheduler does not
    answer) or missing."""
    end = entry.end()
    if end in ("done", "failed"):
        return end
    if entry.executing():
        return "running"
    job = entry.read("job")
    look = Look("gone") if job is None else fleet.look(job)
    if look.state in ("queued", "running"):
        return look.state
    if end is not None:
        return end  # saved and stopped, and not waiting to go on
    if job is None:
        return "missing"
    return "unknown" if look.state == "unknown" else "vanished"


def render(found: Status) -> str:
    """Return the status as a table: papers' cells, living runs, then what went wrong."""
    if not found.cells:
        return "nothing was asked for yet: `repro submit PAPER` or `dvc repro`"
    lines = []
    width = max(len(f"{c.paper}@{c.profile} {c.arm}") for c in found.cells)
    for cell in found.cells:
        name = f"{cell.paper}@{cell.profile} {cell.arm}"
        counts = ", ".join(f"{cell.counts[s]} {s}" for s in STATES if s in cell.counts)
        lines.append(f"{name:<{width}}  {cell.stage:<9} {counts}")
    if found.active:
        lines.append("")
    for r in found.active:
        step = f"{r.step}/{r.total}" if r.total else ""
        loss = f"loss {r.loss:.3f}" if r.loss is not None else ""
        left = f"{duration(r.left_s)} left" if r.left_s is not None else ""
        lines.append("  ".join(part for part in (r.state, r.label, step, loss, left) if part))
    if found.troubles:
        lines.append("")
    reasons: dict[str, list[str]] = {}
    for label, reason in found.troubles.items():
        reasons.setdefault(reason, []).append(label)
    for reason, labels in reasons.items():
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        lines.append(f"{labels[0]}{more}: {reason}")
    return "\n".join(lines)


def find_runs(store: Store, selector: str) -> list[Planned]:
    """Return the planned runs a selector means: the start of a label (`electra`,
    `electra/pretrain@mini-rtd`, `electra/pretrain@mini-rtd seed0`) or of a key. Raises UserError.
    """
    runs = {run.key: run for run in plans.read(store)}
    found = [run for run in runs.values()
             if _names(run.label, selector) or (len(selector) > 3 and run.key.startswith(selector))]
    if not found:
        from repro.naming import nearest

        names = sorted({name for run in runs.values()
                        for name in (run.paper, run.label.split()[0])})
        raise UserError(f"no run {selector!r}{nearest(selector, names)}")
    return found


def _names(label: str, selector: str) -> bool:
    """Return whether a selector is the label up to one of its separators."""
    rest = label[len(selector):]
    return label.startswith(selector) and (not rest or rest[0] in "/@- ")


def logs(
    settings: Settings, selector: str, follow: bool = False, stream: TextIO | None = None
) -> None:
    """Write the logs of the runs a selector means; follow: of one, until it ends."""
    store, stream = Store(settings.store), stream or sys.stdout
    fleet = fleet_of(store)
    runs = find_runs(store, selector)
    if follow:
        living = [run for run in runs
                  if state_of(store.entry(run.key), fleet) in ("running", "queued")]
        if len(living) > 1:
            raise UserError(f"{selector!r} means {len(living)} living runs; follow one of: "
                            + ", ".join(run.label for run in living))
        runs = living or runs
    for run in runs:
        entry = store.entry(run.key)
        stream.write(f"==> {run.label} ({entry.log})\n")
        if follow:
            _follow(entry, fleet, stream)
        elif entry.log.exists():
            stream.write(entry.log.read_text(encoding="utf-8", errors="replace"))
        else:
            stream.write("not started yet\n")


def _follow(entry: Entry, fleet: Fleet, stream: TextIO) -> None:
    position = 0
    while True:
        living = state_of(entry, fleet) in ("running", "queued")
        if entry.log.exists():
            with open(entry.log, "rb") as file:
                file.seek(position)
                stream.write(file.read().decode("utf-8", errors="replace"))
                position = file.tell()
            stream.flush()
        if not living:
            return
        time.sleep(_FOLLOW_EVERY_S)


def cancel(settings: Settings, selector: str) -> list[str]:
    """Stop the jobs that carry the runs a selector means; return the labels of all their runs.

    They save a checkpoint first; the same command as before resumes them. A job of several packed
    runs stops as a whole.
    """
    store = Store(settings.store)
    fleet = fleet_of(store)
    labels = {run.key: run.label for run in plans.read(store)}
    with store.submitting():
        jobs: dict[str, Job] = {}
        for run in find_runs(store, selector):
            entry = store.entry(run.key)
            job = entry.read("job")
            if job and entry.end() not in ("done", "failed") and (
                    fleet.look(job).state != "gone" or entry.executing()):
                jobs[job["name"]] = job
        for job in jobs.values():
            store.record({**job, "cancelled": True})
    stop(store, fleet, list(jobs.values()))
    return [labels.get(key, key) for job in jobs.values() for key in job["keys"]]
