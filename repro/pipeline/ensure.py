"""Make sure that runs are finished: the one driver behind `repro run` and `repro submit`.

Asking twice is a no-op. Everything goes by run keys: finished -> nothing to do; a living job,
whoever submitted it -> attach; else submit, upstream first. A driver may be killed at any moment
and started again, and several may work on one store: a run has one living copy at most.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

from repro.pipeline import processes
from repro.pipeline.launch import Job, Launcher, Pack, stop
from repro.pipeline.progress import Display, View, row
from repro.pipeline.signals import EXIT_CODES, Signals
from repro.pipeline.spec import RunSpec, closure
from repro.pipeline.store import CorruptedEntry, Store

VANISHED = 75  # as sysexits' EX_TEMPFAIL: nobody knows why it ended; the same command resumes it
_GRACE_S = 20.0  # from asking a job to save and stop to killing it
_OVER = ("done", "failed", "vanished", "interrupted", "blocked")


@dataclass
class Outcome:
    """How a driver ended. states: key -> done, failed, vanished, interrupted, blocked (an upstream
    run failed), active or waiting (detached before its end). errors: key -> one line."""

    states: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    wish: str | None = None

    @property
    def exit_code(self) -> int:
        """0, 1 a run failed, 75 one vanished or was stopped, 130 cancelled, 143 detached."""
        states = set(self.states.values())
        if "failed" in states:
            return 1
        if self.wish in EXIT_CODES:
            return EXIT_CODES[self.wish]
        return 0 if states <= {"done"} else VANISHED


def ensure(
    specs: Iterable[RunSpec],
    *,
    store: Store,
    launcher: Launcher,
    root: Path,
    display: Display,
    places: Callable[[RunSpec], list[Path]] = lambda _: [],
    tick: Callable[[], None] = lambda: None,
) -> Outcome:
    """Bring runs, and those they need, to their end; return how it went.

    root: of the suite's code. places: workspace directories that may hold an artefact the store
    lacks. tick: called at every look at the jobs. One failure stops only what needs that run.
    """
    return _Driver(list(specs), store, launcher, root, display, places, tick).drive()


class _Driver:
    def __init__(
        self,
        targets: list[RunSpec],
        store: Store,
        launcher: Launcher,
        root: Path,
        display: Display,
        places: Callable[[RunSpec], list[Path]],
        tick: Callable[[], None],
    ) -> None:
        self.targets, self.store, self.launcher, self.root = targets, store, launcher, root
        self.display, self.places, self.tick = display, places, tick
        self.asked = closure(targets)
        self.specs = {key: specs[0] for key, specs in self.asked.items()}
        self.states: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.jobs: dict[str, Job] = {}  # active key -> its job
        self.missed: dict[str, int] = {}  # active key -> times seen neither alive nor ended
        self.weights: dict[str, float] = {}
        self.started = time.time()

    def drive(self) -> Outcome:
        with Signals() as signals:
            for spec in self.targets:
                self._want(spec)
            self._weigh()
            self.display.begin(self._view())
            try:
                while any(state not in _OVER for state in self.states.values()):
                    if signals.wish == "ask":
                        self.display.pause()
                        signals.answer()
                    if signals.wish in EXIT_CODES:
                        break
                    self._poll()
                    self._feed()
                    self.tick()
                    self.display.update(self._view())
                    signals.sleep(self.launcher.poll_s)
                if signals.wish == "cancel":
                    self._cancel(signals)
            finally:
                self.display.end(self._view())
            self._last_words(signals.wish)
        return Outcome(self.states, self.errors, signals.wish)

    # What is there already

    def _want(self, spec: RunSpec) -> None:
        """Note the state of a run and, if it must be made, of those it needs."""
        if spec.key in self.states:
            return
        if self._is_finished(spec):
            self.states[spec.key] = "done"
        elif not self._attach(spec.key):
            self.states[spec.key] = "waiting"
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

    def _attach(self, key: str) -> bool:
        """Make a run active if a living job carries it; adopt one that was never recorded."""
        entry = self.store.entry(key)
        job, intent = entry.read("job"), entry.read("intent")
        if intent and (job is None or job["submitted"] < intent["submitted"]):
            job = self.launcher.find_by_name(intent)
            if job is not None:
                self.store.record(job)
        # One that was told to stop is left to end before the run is started again.
        if not job or entry.end() or job.get("cancelled"):
            return False
        if not self.launcher.alive(job) and not entry.executing():
            return False
        self.states[key], self.jobs[key] = "active", job
        return True

    def _weigh(self) -> None:
        """Give each run the minutes from its start to the end of what hangs on it."""
        for key in reversed(list(self.specs)):
            if key in self.states:
                spec = self.specs[key]
                weight = self.weights.get(key, 0.0) + spec.resources.minutes
                self.weights[key] = weight
                for one in spec.upstream:
                    self.weights[one.key] = max(self.weights.get(one.key, 0.0), weight)

    # How the active ones are doing

    def _poll(self) -> None:
        for key in [key for key, state in self.states.items() if state == "active"]:
            entry, job = self.store.entry(key), self.jobs[key]
            alive = self.launcher.alive(job) or entry.executing()
            end = entry.end()  # read after `alive`: a job writes its end before it goes
            if end is not None:
                self._close(key, end)
            elif alive:
                self.missed.pop(key, None)
            else:
                self.missed[key] = self.missed.get(key, 0) + 1
                if self.missed[key] == 2:
                    self._close(key, "vanished")

    def _close(self, key: str, end: str) -> None:
        self.states[key] = end
        entry, label = self.store.entry(key), self.specs[key].label
        if end == "failed":
            self.errors[key] = (entry.read("failed") or {}).get("error", "unknown")
            self.display.say(f"failed: {label}: {self.errors[key]} (log: {entry.log})")
        elif end == "interrupted":
            step = (entry.read("interrupted") or {}).get("step", 0)
            self.errors[key] = f"stopped on request at step {step}; run again to go on from there"
            self.display.say(f"stopped: {label}: {self.errors[key]}")
        elif end == "vanished":
            self.errors[key] = (f"its job {self.jobs[key]['name']} is gone without a word (killed, "
                                "out of memory, full disk?); run again to resume")
            self.display.say(f"vanished: {label}: {self.errors[key]} (log: {entry.log}, "
                             f"{self.store.job_folder(self.jobs[key]['name'])})")
        else:
            self.display.finished(self.specs[key], (entry.read("run") or {}).get("seconds"))

    # What to start next

    def _feed(self) -> None:
        ready = self._ready()
        if not ready:
            return
        packs = self._packs(ready)
        if not self.launcher.fits(packs[0]):
            return
        with self.store.submitting():
            living = self._sweep()
            for pack in packs:
                if not self.launcher.fits(pack):
                    break
                fresh = [key for key in pack.keys if self._must_start(key)]
                pack = replace(pack, keys=tuple(fresh), name=_job_name(fresh))
                if not fresh or pack.name in living:
                    continue
                for key in fresh:
                    entry = self.store.prepare(self.specs[key], self.root)
                    entry.clear("failed", "interrupted", "job")
                (job,) = self.launcher.submit([pack])
                for key in fresh:
                    self.states[key], self.jobs[key] = "active", job
                    self.missed.pop(key, None)

    def _ready(self) -> list[str]:
        """Return the runs that may start, longest remaining way first; block those that never will.
        """
        ready = []
        for key in self.specs:
            if self.states.get(key) != "waiting":
                continue
            ups = {self.states[one.key] for one in self.specs[key].upstream}
            if ups & {"failed", "vanished", "interrupted", "blocked"}:
                self.states[key] = "blocked"
                self.errors[key] = "not started: a run it needs did not finish"
            elif ups <= {"done"}:
                ready.append(key)
        return sorted(ready, key=lambda key: -self.weights[key])

    def _packs(self, ready: list[str]) -> list[Pack]:
        """Put short runs of one stage together, no more than keeps all workers busy."""
        groups: dict[tuple[object, ...], list[str]] = {}
        for key in ready:
            spec = self.specs[key]
            same = (spec.paper, spec.profile, spec.stage, spec.numerics, spec.resources)
            groups.setdefault(same, []).append(key)
        packs = []
        for keys in groups.values():
            spec = self.specs[keys[0]]
            need = spec.resources
            size = min(need.pack, ceil(len(keys) / self.launcher.workers))
            for first in range(0, len(keys), size):
                some = tuple(keys[first:first + size])
                packs.append(Pack(_job_name(some), some, spec.numerics, need.cpus, need.memory_gb,
                                  need.gpus))
        return sorted(packs, key=lambda pack: -self.weights[pack.keys[0]])

    def _must_start(self, key: str) -> bool:
        """Return whether a run must be submitted now; looks again, since other drivers work too."""
        entry = self.store.entry(key)
        if entry.is_done:
            self._close(key, "done")
            return False
        failed = entry.read("failed")
        if failed is not None and failed["time"] >= self.started:
            self._close(key, "failed")
            return False
        if self._attach(key):
            return False
        job = entry.read("job")
        ending = job is not None and job.get("cancelled") and self.launcher.alive(job)
        return not ending and not entry.executing()

    def _sweep(self) -> set[str]:
        """Forget the jobs that ended; return the names of those that live."""
        living = set()
        for job in self.store.jobs():
            if job["launcher"] == self.launcher.name:
                if self.launcher.alive(job):
                    living.add(job["name"])
                else:
                    self.store.forget(job)
        return living

    # The end

    def _cancel(self, signals: Signals) -> None:
        """Stop the active jobs, except those of another living driver, and wait for their end."""
        mine = processes.identify()
        jobs = {job["name"]: job for key, job in self.jobs.items() if self.states[key] == "active"
                and (job["driver"] == mine or not processes.is_alive(job["driver"]))}
        for job in jobs.values():
            self.store.record({**job, "cancelled": time.time()})
        stop(self.store, self.launcher, list(jobs.values()), _GRACE_S,
             hurry=lambda: signals.interrupts > 2)
        for key, job in self.jobs.items():
            if self.states[key] == "active" and job["name"] in jobs:
                self._close(key, self.store.entry(key).end() or "interrupted")
        for job in jobs.values():
            self.store.forget(job)

    def _last_words(self, wish: str | None) -> None:
        active = sum(state == "active" for state in self.states.values())
        waiting = sum(state == "waiting" for state in self.states.values())
        if wish == "detach":
            self.display.say(f"detached: {active} running go on, {waiting} not started; the same "
                             "command attaches again")
        elif wish == "cancel":
            left = f", {active} of another driver go on" if active else ""
            self.display.say(f"cancelled{left}; the same command resumes from the checkpoints")

    def _view(self) -> View:
        active, waiting = ([self.specs[key] for key, state in self.states.items() if state == which]
                           for which in ("active", "waiting"))
        rows = [row(spec.label, self.store.entry(spec.key)) for spec in active]
        counts = {state: list(self.states.values()).count(state) for state in _OVER}
        return View(rows, active, counts, waiting, len(self.states), self.launcher.workers)


def _job_name(keys: Iterable[str]) -> str:
    """Return the name of a job after its first run: repro-<16 hex digits>."""
    return "".join(f"repro-{key[:16]}" for key in list(keys)[:1])

