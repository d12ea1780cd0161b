"""Learning curves: one small plot an arm, from the committed `<profile>.curves/<arm>.csv`."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.paper import Paper
from repro.report.results import Curve, results_dir
from repro.report.site.scales import Scale, tick_text, ticks

WIDTH, HEIGHT = 300, 180
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 26
# Up to so many points are drawn as points, too.
MOST_DOTS = 30
Marks = tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Panel:
    """The plot of one arm in SVG units. path: of the mean loss; dots: single points where few."""

    arm: str
    path: str
    dots: tuple[tuple[float, float], ...]
    x_ticks: Marks
    y_ticks: Marks
    said: str


def read(paper: Paper, profile: str) -> dict[str, Curve]:
    """Return arm -> (step, mean loss over seeds), in the paper's order. Raises UserError."""
    folder = results_dir(paper) / f"{profile}.curves"
    found = {arm: _curve(folder / f"{arm}.csv") for arm in paper.arms_of(profile)
             if (folder / f"{arm}.csv").is_file()}
    return {arm: curve for arm, curve in found.items() if curve}


def _curve(path: Path) -> Curve:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [(int(line["step"]), float(line["loss"])) for line in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: expected the columns step,loss: {error}") from error


def panels(curves: dict[str, Curve]) -> list[Panel]:
    """Return one panel an arm: steps on a common scale, the loss on each arm's own, because arms
    may train on losses that cannot be compared."""
    if not curves:
        return []
    longest = max(step for curve in curves.values() for step, _ in curve)
    steps = Scale(0, longest, LEFT, WIDTH - RIGHT)
    return [_panel(arm, curve, steps) for arm, curve in curves.items()]


def _panel(arm: str, curve: Curve, steps: Scale) -> Panel:
    losses = [loss for _, loss in curve]
    low, high = min(losses), max(losses)
    pad = 0.06 * (high - low) or 0.5
    scale = Scale(low - pad, high + pad, HEIGHT - BOTTOM, TOP)
    points = [(steps(step), scale(loss)) for step, loss in curve]
    return Panel(
        arm=arm,
        path="M" + "L".join(f"{x:g},{y:g}" for x, y in points),
        dots=tuple(points) if len(points) <= MOST_DOTS else (points[-1],),
        x_ticks=_marks(steps, 3),
        y_ticks=_marks(scale, 4),
        said=f"{arm}: training loss from {losses[0]:.4g} at update {curve[0][0]} "
             f"to {losses[-1]:.4g} at update {curve[-1][0]}",
    )


def _marks(scale: Scale, parts: int) -> Marks:
    return tuple((scale(value), tick_text(value)) for value in ticks(scale.low, scale.high, parts))


def table(curves: dict[str, Curve]) -> list[dict[str, Any]]:
    """Return the curves as rows: step, and the loss of each arm that has one there."""
    columns = {arm: dict(curve) for arm, curve in curves.items()}
    steps = sorted({step for column in columns.values() for step in column})
    return [{"step": step, "loss": {arm: column.get(step) for arm, column in columns.items()}}
            for step in steps]
