"""What a driver shows while it works: a live table at a terminal, else a line now and then."""

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from repro.errors import UserError
from repro.pipeline.jobs import Look
from repro.pipeline.spec import RunSpec
from repro.pipeline.store import Entry

if TYPE_CHECKING:
    from rich.console import Group

LINE_EVERY_S = 15.0
_SHOWN_IN_A_LINE = 3


@dataclass(frozen=True)
class Row:
    """One active run. step, total, loss, tokens_per_s, left_s are None until it reports them."""

    label: str
    state: str  # running, starting, or queued with the scheduler's reason
    step: int | None = None
    total: int | None = None
    loss: float | None = None
    tokens_per_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True)
class View:
    """A driver's state at one moment. counts: runs by end; waiting: runs not yet started."""

    rows: list[Row]
    active: list[RunSpec]  # the rows' runs, in the same order
    counts: dict[str, int]
    waiting: list[RunSpec]
    total: int
    workers: int

    @property
    def over(self) -> int:
        return sum(self.counts.values())


def row(label: str, entry: Entry, look: Look) -> Row:
    """Return what an active run last reported. look: at its job."""
    if look.state == "queued":
        return Row(label, f"queued ({look.reason})" if look.reason else "queued")
    if not entry.executing():
        return Row(label, "starting")
    report: dict[str, Any] = {}
    with suppress(UserError):
        report = entry.read("progress") or {}
    return Row(label, "running", report.get("step"), report.get("total"), report.get("loss"),
               report.get("tokens_per_s"), time_left(report))


def time_left(report: dict[str, Any]) -> float | None:
    """Return the seconds until the current phase of a run ends, None when not known."""
    if not report.get("steps_per_s"):
        return None
    return (report["total"] - report["step"]) / report["steps_per_s"]


@dataclass
class Estimate:
    """Time left, from what finished runs of the same kind took; before that, the budgets."""

    taken: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    spent: float = 0.0
    budget: float = 0.0

    def learn(self, spec: RunSpec, seconds: float) -> None:
        self.taken.setdefault(_kind(spec), []).append(seconds)
        self.spent += seconds
        self.budget += 60 * spec.resources.minutes

    def seconds(self, spec: RunSpec) -> float:
        known = self.taken.get(_kind(spec))
        if known:
            return sum(known) / len(known)
        return 60 * spec.resources.minutes * (self.spent / self.budget if self.budget else 1.0)

    def left(self, view: View) -> float:
        active = sum(self.seconds(spec) if r.left_s is None else r.left_s
                     for r, spec in zip(view.rows, view.active, strict=True))
        side_by_side = max(1, min(view.workers, len(view.active) + len(view.waiting)))
        return (active + sum(map(self.seconds, view.waiting))) / side_by_side


def _kind(spec: RunSpec) -> tuple[str, str, str]:
    return spec.paper, spec.profile, spec.stage


class Display:
    """Quiet: says what goes wrong, nothing else. The base of the others."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.estimate = Estimate()

    def begin(self, view: View) -> None:
        """Called once, when it is known what must be done."""

    def update(self, view: View) -> None:
        """Called several times a second."""

    def finished(self, spec: RunSpec, seconds: float | None) -> None:
        """Called for each run that ends well."""
        if seconds is not None:
            self.estimate.learn(spec, seconds)

    def say(self, line: str) -> None:
        """Print one line that must not be missed."""
        with suppress(OSError, ValueError):  # the terminal may be gone; the runs go on
            self.stream.write(line + "\n")
            self.stream.flush()

    def pause(self) -> None:
        """Leave the terminal to a question, until the next update."""

    def end(self, view: View) -> None:
        """Called once, at the end."""


class Lines(Display):
    """One line per finished run, and a summary about every 15 seconds."""

    def __init__(self, stream: TextIO | None = None, every_s: float = LINE_EVERY_S) -> None:
        super().__init__(stream)
        self.every_s, self.next = every_s, 0.0

    def begin(self, view: View) -> None:
        self.next = time.monotonic() + self.every_s
        if view.over < view.total:
            todo = view.total - view.over
            self.say(f"{view.total} runs: {view.over} done, {todo} to do, "
                     f"{min(view.workers, todo)} side by side")

    def update(self, view: View) -> None:
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + self.every_s
        shown = [_sentence(r) for r in view.rows[:_SHOWN_IN_A_LINE]]
        more = len(view.rows) - len(shown)
        shown += [f"{more} more"] if more > 0 else []
        self.say(f"[{view.over}/{view.total}] {'; '.join(shown) or 'waiting for a free worker'}; "
                 f"about {duration(self.estimate.left(view))} left")

    def finished(self, spec: RunSpec, seconds: float | None) -> None:
        super().finished(spec, seconds)
        self.say(f"done: {spec.label}" + ("" if seconds is None else f" ({duration(seconds)})"))


class Table(Display):
    """A live table of the active runs over one bar for all, at a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        from rich.console import Console
        from rich.live import Live

        self.console = Console(file=self.stream)
        self.make = lambda: Live(console=self.console, refresh_per_second=4, transient=True)
        self.live: Live | None = None

    def update(self, view: View) -> None:
        if self.live is None:
            self.live = self.make()
            self.live.start()
        self.live.update(self._picture(view))

    def say(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def pause(self) -> None:
        if self.live is not None:
            with suppress(OSError, ValueError):
                self.live.stop()
            self.live = None

    def end(self, view: View) -> None:
        self.pause()
        if view.total:
            counts = ", ".join(f"{n} {state}" for state, n in view.counts.items() if n)
            self.say(f"{view.total} runs: {counts or 'none finished'}")

    def _picture(self, view: View) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table as Grid

        grid = Grid(box=None, padding=(0, 1))
        for name in ("run", "step", "loss", "tokens/s", "left"):
            grid.add_column(name, justify="left" if name == "run" else "right", no_wrap=True)
        for r in view.rows:
            grid.add_row(r.label, _steps(r) or r.state, _number(r.loss, "{:.3f}"),
                         _number(r.tokens_per_s or None, "{:,.0f}"), duration(r.left_s))
        bar = Grid.grid(padding=(0, 1))
        left = duration(self.estimate.left(view))
        bar.add_row(f"{view.over}/{view.total} runs",
                    ProgressBar(view.total, view.over, width=40), f"about {left} left")
        return Group(grid, bar)


def choose(log_level: str, stream: TextIO | None = None) -> Display:
    """Return the display for a stream (default: standard error) and a log level."""
    stream = stream or sys.stderr
    if log_level == "quiet":
        return Display(stream)
    return Table(stream) if stream.isatty() else Lines(stream)


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: 0.4 s, 35 s, 4 min, 2 h 05 min."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _sentence(r: Row) -> str:
    parts = [r.label, _steps(r) or r.state]
    parts += [f"loss {r.loss:.3f}"] if r.loss is not None else []
    parts += [f"{r.tokens_per_s:,.0f} tokens/s"] if r.tokens_per_s else []
    parts += [f"{duration(r.left_s)} left"] if r.left_s is not None else []
    return " ".join(parts)


def _steps(r: Row) -> str:
    return f"{r.step}/{r.total}" if r.total else ""


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
