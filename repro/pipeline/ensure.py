"""Make sure that runs are finished: the one driver behind `repro run` and `repro submit`.

Asking twice is a no-op. Everything goes by run keys: finished -> nothing to do; a living job,
whoever submitted it -> attach; else submit, upstream first. A driver may be killed at any moment
and started again, and several may work on one store: a run has one living copy at most.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from repro.pipeline import processes
from repro.pipeline.feed import Feeder
from repro.pipeline.jobs import Busy, Launcher
from repro.pipeline.launch import Fleet, mark_and_stop
from repro.pipeline.ledger import OVER, Ledger
from repro.pipeline.progress import Display
from repro.pipeline.signals import EXIT_CODES, Signals
from repro.pipeline.spec import RunSpec
from repro.pipeline.store import Store

VANISHED = 75  # as sysexits' EX_TEMPFAIL: nobody knows why it ended; the same command resumes it
_LOOK_S = 1.0  # longest wait between two looks at what the runs wrote, for few runs
_SLOW = 200  # active runs for which one look costs a while


@dataclass
class Outcome:
    """How a driver ended. states: key -> done, failed, vanished, interrupted, blocked (an upstream
    run failed), active or waiting (left before its end). errors: key -> one line. wish: why it
    left early: cancel, detach, or queued (it was only to queue everything)."""

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
        return 0 if states <= {"done", "active" if self.wish == "queued" else ""} else VANISHED


def ensure(
    specs: Iterable[RunSpec],
    *,
    store: Store,
    fleet: Fleet,
    launcher: Launcher,
    root: Path,
    display: Display,
    places: Callable[[RunSpec], list[Path]] = lambda _: [],
    tick: Callable[[], None] = lambda: None,
    queue_only: bool = False,
) -> Outcome:
    """Bring runs, and those they need, to their end; return how it went.

    root: of the code the jobs run. places: workspace directories that may hold an artefact the
    store lacks. tick: called at every look at the jobs. queue_only: leave as soon as every run is
    finished or has a job. One failure stops only what needs that run. Raises UserError when the
    scheduler refuses a job for good.
    """
    ledger = Ledger(list(specs), store, fleet, launcher.retries, root, display, places)
    return _Driver(ledger, launcher, root, tick, queue_only).drive()


class _Driver:
    def __init__(
        self,
        ledger: Ledger,
        launcher: Launcher,
        root: Path,
        tick: Callable[[], None],
        queue_only: bool,
    ) -> None:
        self.ledger, self.launcher, self.tick, self.queue_only = ledger, launcher, tick, queue_only
        self.feeder = Feeder(ledger, launcher, root)
        self.fleet, self.display = ledger.fleet, ledger.display
        self.trouble = ""

    def drive(self) -> Outcome:
        ledger = self.ledger
        with Signals() as signals:
            self.display.begin(ledger.view(self.launcher.workers))
            try:
                while ledger.count("waiting", "active"):
                    if signals.wish == "ask":
                        self.display.pause()
                        signals.answer()
                    if signals.wish in EXIT_CODES:
                        break
                    self._refresh()
                    ledger.poll()
                    self.feeder.feed()
                    self.tick()
                    if self.queue_only and not ledger.count("waiting"):
                        signals.wish = "queued"
                        break
                    self.display.update(ledger.view(self.launcher.workers))
                    signals.sleep(self._pause())
                if signals.wish == "cancel":
                    self._cancel(signals)
            finally:
                self.display.end(ledger.view(self.launcher.workers))
            self._last_words(signals.wish)
        return Outcome(ledger.states, ledger.errors, signals.wish)

    def _refresh(self) -> None:
        self.fleet.refresh()
        if self.fleet.trouble != self.trouble:
            self.trouble = self.fleet.trouble
            self.display.say(f"the queue cannot be read ({self.trouble}); jobs go on, waiting"
                             if self.trouble else "the queue can be read again")

    def _pause(self) -> float:
        """Return the seconds until the next look: files cost more the more runs there are."""
        crowded = self.ledger.count("active") / _SLOW
        return min(self.launcher.poll_s, max(_LOOK_S, crowded * _LOOK_S))

    def _cancel(self, signals: Signals) -> None:
        """Stop the active jobs, except those of another living driver, and wait for their end."""
        ledger, mine = self.ledger, processes.identify()
        jobs = {job["name"]: job for key, job in ledger.jobs.items()
                if ledger.states[key] == "active"
                and (job["driver"] == mine or not processes.is_alive(job["driver"]))}
        try:
            mark_and_stop(ledger.store, self.fleet, list(jobs.values()),
                          hurry=lambda: signals.interrupts > 2)
        except Busy as error:
            self.display.say(f"not cancelled: {error}")
            return
        for key, job in ledger.jobs.items():
            if ledger.states[key] == "active" and job["name"] in jobs:
                ledger.close(key, ledger.store.entry(key).end() or "interrupted")
        ledger.store.forget(jobs.values())

    def _last_words(self, wish: str | None) -> None:
        active, waiting = self.ledger.count("active"), self.ledger.count("waiting")
        if wish == "detach":
            self.display.say(f"detached: {active} running go on, {waiting} not started; the same "
                             "command attaches again")
        elif wish == "cancel":
            left = f", {active} of another driver go on" if active else ""
            self.display.say(f"cancelled{left}; the same command resumes from the checkpoints")
        elif wish == "queued":
            over = sum(self.ledger.count(state) for state in OVER)
            self.display.say(f"{active} runs queued, {over} over; see `repro status`")
