"""The runs a driver cares for, and how each is doing.

States: done, failed, vanished, interrupted, blocked (a run it needs did not finish) are ends;
active: a living job carries it; waiting: it must be started.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.pipeline.jobs import Job
from repro.pipeline.launch import Fleet
from repro.pipeline.progress import Display, View, row
from repro.pipeline.spec import RunSpec, closure
from repro.pipeline.store import CorruptedEntry, Store

OVER = ("done", "failed", "vanished", "interrupted", "blocked")
BAD = {"failed", "vanished", "interrupted", "blocked"}
_MEMORY = re.compile(r"OUT_OF_MEMORY|oom.kill|memory limit", re.IGNORECASE)
UNREADY = "Unready"  # kind of a failure: an input was not there, which says nothing of the run
_UNREADY_RETRIES = 2  # at least: the input is made again first
_ABSENT_TICKS = 2  # looks after the first at which a job is gone: its last words take a moment


@dataclass
class Losses:
    """How often the job of a run was lost without getting further than before."""

    times: int = 0
    step: int = 0


class Ledger:
    """states: key -> state. errors: key -> one line. jobs: key -> the job of an active run."""

    def __init__(
        self,
        targets: Sequence[RunSpec],
        store: Store,
        fleet: Fleet,
        retries: int,
        root: Path,
        display: Display,
        places: Callable[[RunSpec], list[Path]],
    ) -> None:
        self.store, self.fleet, self.retries, self.root = store, fleet, retries, root
        self.display, self.places = display, places
        self.asked = closure(targets)
        self.specs = {key: specs[0] for key, specs in self.asked.items()}
        self.states: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.jobs: dict[str, Job] = {}
        self.weights: dict[str, float] = {}
        self.started = time.time()
        self._absent: dict[str, int] = {}  # active key -> the look at which its job was gone
        self._losses: dict[str, Losses] = {}
        for spec in targets:
            self._want(spec)
        self._weigh()

    def count(self, *states: str) -> int:
        return sum(state in states for state in self.states.values())

    # What is there already

    def _want(self, spec: RunSpec) -> None:
        """Note the state of a run and, if it must be made, of those it needs."""
        if spec.key in self.states:
            return
        if self._is_finished(spec):
            self.states[spec.key] = "done"
            return
        if not self.attach(spec.key):
            self.states[spec.key] = "waiting"
        elif not self.jobs[spec.key]["after"]:
            return  # what it needs was there when it was submitted
        for one in spec.upstream:
            self._want(one)

    def _is_finished(self, spec: RunSpec) -> bool:
        try:
            if self.store.checked(spec.key):
                return True
        except CorruptedEntry as error:
            self.display.say(f"damaged: {error}; {spec.label} is made again")
        for place in [p for asker in self.asked[spec.key] for p in self.places(asker)]:
            try:
                if self.store.seed_from(spec, place, self.root):
                    self.display.say(f"from the workspace: {spec.label}")
                    return True
            except CorruptedEntry as error:
                self.display.say(f"damaged: {error}; not used")
        return False

    def attach(self, key: str) -> bool:
        """Make a run active if a living job carries it; adopt one that was never recorded."""
        entry = self.store.entry(key)
        job, intent = entry.read("job"), entry.read("intent")
        if intent and (job is None or job["submitted"] < intent["submitted"]):
            job = self.fleet.find(intent)
            if job is not None:
                self.store.record(job)
        end = entry.end()
        # One that was told to stop is left to end before the run is started again.
        if job is None or end in ("done", "failed") or job.get("cancelled"):
            return False
        look = self.fleet.look(job)
        if end == "interrupted" and look.state != "queued":  # it saved; is it coming back?
            return False
        outlives = look.state == "gone" and entry.executing()
        if not (look.alive or look.state == "unknown" or outlives):
            return False
        self.states[key], self.jobs[key] = "active", job
        self._absent.pop(key, None)
        return True

    def _weigh(self) -> None:
        """Give each run the minutes from its start to the end of what hangs on it."""
        self.weights = {}
        for key in reversed(list(self.specs)):
            if key in self.states:
                spec = self.specs[key]
                weight = self.weights.get(key, 0.0) + spec.resources.minutes
                self.weights[key] = weight
                for one in spec.upstream:
                    self.weights[one.key] = max(self.weights.get(one.key, 0.0), weight)

    # How the active ones are doing

    def poll(self) -> None:
        """Look at every active run once."""
        lost = []
        for key in [key for key, state in self.states.items() if state == "active"]:
            entry, job = self.store.entry(key), self.jobs[key]
            look = self.fleet.look(job)
            if look.state == "queued":
                self._absent.pop(key, None)
                continue
            executing = look.state != "gone" or entry.executing()
            end = entry.end()  # read after both: a job writes its end before it goes
            if end == "done" or (end == "failed" and not self._unready(key)):
                self.close(key, end)
            elif executing:
                self._absent.pop(key, None)
            else:
                ticks = self.fleet.ticks(job)
                if ticks >= self._absent.setdefault(key, ticks) + _ABSENT_TICKS:
                    lost.append(key)
        if lost:
            reasons = self.fleet.why([self.jobs[key] for key in lost])
            for key in (key for key in self.specs if key in set(lost)):  # upstream first
                self._lose(key, reasons[self.jobs[key]["name"]])

    def _lose(self, key: str, reason: str) -> None:
        """Decide about a run whose job is gone without an end, or after it saved and stopped."""
        entry, spec, job = self.store.entry(key), self.specs[key], self.jobs[key]
        self._absent.pop(key, None)
        other = entry.read("job") or job
        if other["submitted"] > job["submitted"] and self.attach(key):
            return  # another driver submitted it again
        if other.get("cancelled"):
            return self.close(key, "interrupted")
        if "DependencyNeverSatisfied" in reason or self._hung_on_a_dead_job(key):
            return self._again(key)
        if reason.startswith("CANCELLED"):
            return self.close(key, "interrupted", "its job was cancelled from outside")
        if _MEMORY.search(reason):
            need = f"resources.{spec.profile}.{spec.stage}.memory_gb of papers/{spec.paper}"
            return self.close(key, "vanished", f"out of memory: raise {need}/paper.yaml "
                                               f"(now {spec.resources.memory_gb:g})")
        if self._unready(key):
            reason = (entry.read("failed") or {}).get("error", reason)
        if self._may_retry(key):
            self.display.say(f"lost: {spec.label}: {reason or 'its job is gone'}; submitted again")
            return self._again(key)
        return self.close(key, entry.end() or "vanished", reason)

    def _again(self, key: str) -> None:
        self.states[key] = "waiting"
        for one in self.specs[key].upstream:
            if self.states.get(one.key) == "done" and not self.store.entry(one.key).is_done:
                del self.states[one.key]  # it was found damaged, or deleted by hand, meanwhile
            self._want(one)
        self._weigh()

    def _hung_on_a_dead_job(self, key: str) -> bool:
        """Return whether a job was dropped because one it was queued behind did not end well."""
        job = self.jobs[key]
        if not job["after"]:
            return False
        for one in [up for k in job["keys"] if k in self.specs for up in self.specs[k].upstream]:
            entry = self.store.entry(one.key)
            before = entry.read("job")
            if not entry.is_done and (before is None or before["submitted"] > job["submitted"]
                                      or not self.fleet.look(before).alive):
                return True
        return False

    def _unready(self, key: str) -> bool:
        return (self.store.entry(key).read("failed") or {}).get("kind") == UNREADY

    def _may_retry(self, key: str) -> bool:
        """Return whether a lost run is submitted again: while it gets further, and else a few
        times."""
        losses = self._losses.setdefault(key, Losses())
        step = (self.store.entry(key).read("progress") or {}).get("step", 0)
        if step > losses.step:
            losses.step = step
            return self.retries > 0
        losses.times += 1
        return losses.times <= max(self.retries, _UNREADY_RETRIES if self._unready(key) else 0)

    def close(self, key: str, end: str, reason: str = "") -> None:
        """Note the end of a run and say so."""
        self.states[key] = end
        entry, label = self.store.entry(key), self.specs[key].label
        if end == "failed":
            self.errors[key] = (entry.read("failed") or {}).get("error", "unknown")
            self.display.say(f"failed: {label}: {self.errors[key]} (log: {entry.log})")
        elif end == "interrupted":
            step = (entry.read("interrupted") or {}).get("step", 0)
            self.errors[key] = (f"{reason or 'stopped on request'} at step {step}; run again to go "
                                "on from there")
            self.display.say(f"stopped: {label}: {self.errors[key]}")
        elif end == "vanished":
            job = self.jobs[key]
            gone = reason or "is gone without a word (killed, out of memory, full disk?)"
            self.errors[key] = f"its job {job['name']} {gone}; run again to resume"
            self.display.say(f"vanished: {label}: {self.errors[key]} (log: {entry.log}, "
                             f"{self.store.job_folder(job)})")
        elif end == "done":
            self.display.finished(self.specs[key], (entry.read("run") or {}).get("seconds"))

    def view(self, workers: int) -> View:
        active, waiting = ([self.specs[key] for key, state in self.states.items() if state == which]
                           for which in ("active", "waiting"))
        rows = [row(spec.label, self.store.entry(spec.key),
                    self.fleet.look(self.jobs[spec.key])) for spec in active]
        counts = {state: self.count(state) for state in OVER}
        return View(rows, active, counts, waiting, len(self.states), workers)
