"""The dry run as tables for the terminal."""

from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from repro.report.markdown import cell, count

Report = dict[str, Any]
NONE = "–"
# Of a file or a pipe, which wrap nothing.
WIDTH = 140


def render(report: Report) -> str:
    """Return models, differences from the paper, Slurm requests and problems as text."""
    console = Console()
    buffer = StringIO()
    width = console.width if console.is_terminal else max(console.width, WIDTH)
    out = Console(file=buffer, width=width, force_terminal=console.is_terminal)
    out.print(_models(report))
    if report["differences"]:
        out.print(_differences(report))
    out.print(_stages(report))
    out.print(f"{report['method']}\n", highlight=False)
    for line in report["problems"]:
        out.print(f"[red]wrong[/] {line}", highlight=False, soft_wrap=True)
    out.print(f"{report['paper']} ({report['profile']}): "
              + ("[green]all as it should be[/]" if report["right"]
                 else f"[red]{len(report['problems'])} wrong[/]"), highlight=False)
    return buffer.getvalue().rstrip()


def _models(report: Report) -> Table:
    table = Table(title=f"{report['paper']} ({report['profile']}): pre-training",
                  title_justify="left")
    table.add_column("arm", no_wrap=True)
    for name in ("exported", "the paper", "trained", "steps", "rows", "length", "tokens", "FLOPs",
                 "memory per GPU"):
        table.add_column(name, justify="right")
    for row in report["arms"]:
        sizes, given = row["parameters"], row["paper"]
        mark = "" if row["fits"] is None else (" ✓" if row["fits"] else " ✗")
        table.add_row(
            row["arm"] if row["stage"] == "pretrain" else f"{row['arm']}: {row['stage']}",
            count(sizes["exported"]) if sizes else NONE,
            f"{count(given['value'])}{mark}" if given else NONE,
            count(sizes["trained"]) if sizes else NONE,
            f"{row['steps']:,}", f"{row['rows']:,}", f"{row['sequence_length']:,}",
            count(row["tokens"]), count(row["flops"]) if row.get("flops") else NONE,
            _gib(row["memory"]["total"]) if row.get("memory") else NONE,
        )
    return table


def _differences(report: Report) -> Table:
    table = Table(title="Stated settings that differ", title_justify="left")
    for name in ("setting", "arm", "the paper", "ours", "why"):
        table.add_column(name, overflow="fold")
    for row in report["differences"]:
        table.add_row(row["key"], row["arm"], cell(row["paper"]), cell(row["ours"]),
                      row["reason"] or "another profile than the paper's")
    return table


def _stages(report: Report) -> Table:
    table = Table(title="Slurm requests", title_justify="left")
    for name in ("stage", "runs", "jobs", "core-hours", "GPU-hours"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("sbatch", overflow="fold")
    for row in report["stages"]:
        table.add_row(row["stage"], str(row["runs"]), str(row["jobs"]), f"{row['core_hours']:,}",
                      f"{row['gpu_hours']:,}", " ".join(row["sbatch"]))
    return table


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
