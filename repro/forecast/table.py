"""Costs as tables for the terminal: what was spent, and what is forecast."""

from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from repro.report.forecasts import between, from_kwh, papers_line
from repro.report.markdown import count, duration, energy

Report = dict[str, Any]
WIDTH = 140  # of a file or a pipe, which wrap nothing
NONE = "–"


def render(report: Report) -> str:
    """Return a spent or a forecast report as text."""
    console = Console()
    width = console.width if console.is_terminal else max(console.width, WIDTH)
    buffer = StringIO()
    out = Console(file=buffer, width=width, force_terminal=console.is_terminal, highlight=False)
    (_forecast if report["kind"] == "forecast" else _spent)(report, out)
    return buffer.getvalue().rstrip()


def _spent(report: Report, out: Console) -> None:
    found = report["cost"]
    table = _table(f"{report['paper']} ({report['profile']}): spent, a run",
                   ("stage", "arm"), ("runs", "time", "core-s", "GPU-s", "energy", "memory",
                                      "tokens", "FLOPs"))
    for stage, arms in found["stages"].items():
        for arm, cell in arms.items():
            table.add_row(stage, arm, str(cell["runs"]), duration(cell["seconds"]),
                          _number(cell.get("core_seconds")), _number(cell.get("gpu_seconds")),
                          energy(cell.get("joules")), f"{cell['peak_mb']:.0f} MB",
                          count(cell["tokens"]), count(cell["flops"]))
    out.print(table)
    spent = found.get("energy") or {"joules": None, "methods": []}
    out.print(f"{found['runs']} runs, {duration(found['total_seconds'])} of wall time added up, "
              f"{_number(found.get('core_seconds'))} core-seconds, "
              f"{_number(found.get('gpu_seconds'))} GPU-seconds, {energy(spent['joules'])}; on "
              f"{'; '.join(found['machines']) or 'unknown machines'}. A run that arms share is "
              "counted once.")
    for method in spent["methods"]:
        out.print(f"energy, {method}")
    out.print(f"from {report['from']}")


def _forecast(report: Report, out: Console) -> None:
    table = _table(f"{report['paper']} ({report['profile']}): forecast",
                   ("stage", "arm"), ("runs", "FLOPs a run", "time a run", "core-hours",
                                      "GPU-hours", "energy"))
    table.add_column("from")
    reasons: dict[str, str] = {}
    for stage in report["stages"]:
        for row in stage["arms"]:
            table.add_row(stage["stage"], row["arm"], str(row["runs"]),
                          count(row["flops"] / row["runs"]) if row["flops"] else NONE,
                          between(row["seconds_a_run"], duration), between(row["core_hours"]),
                          between(row["gpu_hours"]), between(row["energy_kwh"], from_kwh),
                          reasons.setdefault(row["from"], chr(ord("a") + len(reasons))))
    out.print(table)
    for reason, sign in reasons.items():
        out.print(f"{sign}: {reason}")
    total, wall = report["total"], report["wall_hours"]
    side = "all at once" if wall["at_once"] is None else f"{wall['at_once']} at once"
    out.print(f"{report['runs']} runs to make, {report['done']} are finished: "
              f"{between(total['core_hours'])} core-hours, {between(total['gpu_hours'])} "
              f"GPU-hours, {between(total['energy_kwh'], from_kwh)}, "
              f"{between(wall['range'])} hours from start to end ({side}, no queue)")
    for line in report["assumed"]:
        out.print(f"assumed: {line}")
    for line in report["too_short"]:
        out.print(f"[yellow]note[/] {line}", soft_wrap=True)
    for row in report["paper_says"]:
        out.print(papers_line(row), soft_wrap=True)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.1f}"


def _table(title: str, words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in words:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
