"""Plots as SVG text: the same data give the same bytes (fixed ids, no date, text kept as text)."""

import io
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from repro.report.results import Curves, mean_curve
from repro.verdict.judge import Report

# Okabe and Ito's colours: told apart with any colour vision.
COLOURS = {
    "reproduced": "#0072B2",
    "contradicted": "#D55E00",
    "inconclusive": "#777777",
    "untestable": "#BBBBBB",
}
_STYLE = {
    "svg.hashsalt": "repro",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "path.simplify": False,
}


def claims(report: Report) -> str:
    """Return a forest plot: per decided comparison the mean over seeds, its 95 % interval and the
    single seeds, each on its own scale; grey band: the margin of an equivalence claim."""
    parts = [(claim, part) for claim in report["claims"] for part in claim["parts"]]
    with matplotlib.rc_context(_STYLE):
        height = 0.4 + 0.75 * max(1, len(parts))
        figure = Figure(figsize=(7.5, height))
        if not parts:
            figure.text(0.5, 0.5, f"{report['profile']}: nothing decided", ha="center")
            return _svg(figure)
        grid = figure.subplots(len(parts), 1, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.34, right=0.84, top=1 - 0.1 / height,
                               bottom=0.35 / height, hspace=1.3)
        for axes, (claim, part) in zip(grid, parts, strict=True):
            _forest_row(axes, claim, part)
        return _svg(figure)


def _forest_row(axes: Any, claim: Report, part: Report) -> None:
    found, colour = part["estimate"], COLOURS[part["verdict"]]
    axes.axvline(0, color="black", linewidth=0.8)
    if claim["margin"]:
        axes.axvspan(-claim["margin"], claim["margin"], color="#EEEEEE", zorder=0)
    axes.plot([found["low"], found["high"]], [0, 0], color=colour, linewidth=2)
    axes.plot([found["mean"]], [0], "o", color=colour, markersize=6)
    seeds = [seed["value"] for seed in part["per_seed"]]
    axes.plot(seeds, [-0.35] * len(seeds), "|", color=colour, markersize=5)
    axes.set_ylim(-0.7, 0.5)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="x", labelsize=7)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    name = claim["id"]
    if claim["over"] == "each" and len(claim["parts"]) > 1:
        name += f": {part['tasks'][0]}"
    axes.text(-0.04, 0.5, name, transform=axes.transAxes, ha="right", va="center")
    axes.text(1.04, 0.5, part["verdict"], transform=axes.transAxes, va="center", color=colour)


def curves(found: Curves) -> str:
    """Return the training loss over updates, one panel an arm: grey the runs, blue their mean."""
    with matplotlib.rc_context(_STYLE):
        columns = min(3, max(1, len(found)))
        rows = max(1, -(-len(found) // columns))
        width, height = 2.6 * columns, 2.1 * rows
        figure = Figure(figsize=(width, height))
        if not found:
            figure.text(0.5, 0.5, "no training curve", ha="center")
            return _svg(figure)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        figure.subplots_adjust(left=0.4 / width, right=1 - 0.1 / width, top=1 - 0.25 / height,
                               bottom=0.45 / height, wspace=0.3, hspace=0.55)
        for axes in grid[len(found):]:
            axes.set_visible(False)
        for axes, (arm, runs) in zip(grid, found.items(), strict=False):
            for curve in runs.values():
                axes.plot(*zip(*curve, strict=True), color="#BBBBBB", linewidth=0.7)
            axes.plot(*zip(*mean_curve(runs), strict=True), color="#0072B2", linewidth=1.4)
            axes.set_title(arm, fontsize=9)
            axes.tick_params(labelsize=7)
            axes.set_xlabel("updates", fontsize=7)
        return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
