"""What is going on: `repro status`, `repro logs`, `repro cancel`. Reads the store, never DVC."""

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from repro.errors import UserError
from repro.pipeline import plans
from repro.pipeline.jobs import Job, Look
from repro.pipeline.launch import Fleet, fleet_of, mark_and_stop
from repro.pipeline.plans import Planned
from repro.pipeline.progress import Row, duration, row
from repro.pipeline.store import Entry, Store
from repro.settings import Settings

STATES = ("done", "running", "queued", "failed", "interrupted", "vanished", "cancelled", "blocked",
          "unknown", "missing")
_FOLLOW_EVERY_S = 0.2
_LOOK_EVERY_S = 1.0


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


def status(
    settings: Settings, papers: Iterable[str] | None = None, fleet: Fleet | None = None
) -> Status:
    """Return the state of all runs last asked for, of some papers (slugs) or of all. fleet: to look
    with, if there is one already."""
    store = Store(settings.store)
    fleet = fleet or fleet_of(store)
    fleet.refresh()
    runs = {run: _Seen(store.entry(run.key), fleet) for run in plans.read(store, papers)}
    lost = {seen.job["name"]: seen.job for seen in runs.values() if seen.state == "vanished"}
    reasons = fleet.why(list(lost.values()))
    counts: dict[tuple[str, str, str, str], dict[str, int]] = {}
    active, troubles = {}, {}
    for run, seen in runs.items():
        cell = counts.setdefault((run.paper, run.profile, run.arm, run.stage), {})
        cell[seen.state] = cell.get(seen.state, 0) + 1
        if seen.state in ("running", "queued"):
            active[run.key] = row(run.label, seen.entry, seen.look)
        elif trouble := seen.trouble(reasons):
            troubles[run.label] = trouble
    return Status([Cell(*place, cell) for place, cell in counts.items()], list(active.values()),
                  troubles)


class _Seen:
    """A run at one moment: its job, how that looked, and the run's state."""

    def __init__(self, entry: Entry, fleet: Fleet) -> None:
        self.entry, self.fleet = entry, fleet
        self.job: Job | None = None
        self.look = Look("gone")
        self.state = self._state()

    def _state(self) -> str:
        end = self.entry.end()
        if end in ("done", "failed"):
            return end
        if self.entry.executing():
            return "running"
        self.job = self.entry.read("job")
        if self.job is not None:
            self.look = self.fleet.look(self.job)
        if self.look.state in ("queued", "running"):
            return self.look.state
        if end is not None:
            return end  # saved and stopped, and not waiting to go on
        if self.job is None:
            return "missing"
        if self.look.state == "unknown":
            return "unknown"
        if self.job.get("cancelled"):
            return "cancelled"
        return "blocked" if self._was_dropped() else "vanished"

    def _was_dropped(self) -> bool:
        """Return whether the job was to start after others that did not end well."""
        if not self.job["after"] or self.entry.starts.exists():
            return False
        inputs = (self.entry.read("request") or {}).get("ingredients", {}).get("inputs", {})
        store = self.entry.dir.parent.parent
        return not all(Entry(store, key).is_done for keys in inputs.values() for key in keys)

    def trouble(self, reasons: dict[str, str]) -> str:
        """Return what went wrong in one line, "" if nothing did."""
        if self.state == "failed":
            return (self.entry.read("failed") or {}).get("error", "unknown")
        if self.state == "vanished":
            how = reasons.get(self.job["name"]) or "is gone without a word"
            return f"its job {how}; run again to resume"
        if self.state == "blocked":
            return "not started: a run it needs did not finish"
        if self.state == "unknown":
            return f"the queue cannot be read: {self.look.reason}"
        return ""


def state_of(entry: Entry, fleet: Fleet) -> str:
    """Return done, failed, interrupted, running, queued, vanished, cancelled, blocked (it was to
    start after runs that did not finish), unknown (the scheduler does not answer) or missing."""
    return _Seen(entry, fleet).state


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


def watch(settings: Settings, papers: Iterable[str] | None, every_s: float = 2.0) -> None:
    """Show the status at a terminal, anew every few seconds, until nothing is queued or runs."""
    from rich.live import Live
    from rich.text import Text

    papers = list(papers) if papers is not None else None
    fleet = fleet_of(Store(settings.store))
    with Live(auto_refresh=False) as live:
        while True:
            found = status(settings, papers, fleet)
            live.update(Text(render(found)), refresh=True)
            if not found.active:
                return
            time.sleep(every_s)


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
        seen = _Seen(store.entry(run.key), fleet)
        stream.write(f"==> {run.label} ({seen.entry.log})\n")
        if follow:
            _follow(seen.entry, fleet, stream)
        elif seen.entry.log.exists():
            stream.write(seen.entry.log.read_text(encoding="utf-8", errors="replace"))
        if seen.state in ("vanished", "queued", "unknown", "cancelled", "missing", "blocked"):
            why = f" ({seen.look.reason})" if seen.look.reason else ""
            stream.write(f"--- {seen.state}{why}\n")
            for path in _of_the_scheduler(store, seen.job):
                stream.write(f"--- {path}\n{path.read_text(errors='replace')}")


def _of_the_scheduler(store: Store, job: Job | None) -> list[Path]:
    """Return the files with a job's own output: what was said before and after the run."""
    if job is None:
        return []
    number = job.get("job_id", "*")
    return sorted(store.job_folder(job).glob(f"{number}_*_log.out"))


def _follow(entry: Entry, fleet: Fleet, stream: TextIO) -> None:
    position, looked, living = 0, 0.0, True
    while living:
        if time.monotonic() - looked > _LOOK_EVERY_S or entry.end():
            fleet.refresh()
            living, looked = state_of(entry, fleet) in ("running", "queued"), time.monotonic()
        if entry.log.exists():
            with open(entry.log, "rb") as file:
                file.seek(position)
                stream.write(file.read().decode("utf-8", errors="replace"))
                position = file.tell()
            stream.flush()
        if living:
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
    mark_and_stop(store, fleet, list(jobs.values()))
    return [labels.get(key, key) for job in jobs.values() for key in job["keys"]]
