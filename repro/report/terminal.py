"""Tables for the terminal."""

from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from repro.report import card

_STYLE = {"reproduced": "green", "contradicted": "red", "inconclusive": "yellow",
          "untestable": "cyan"}


def verdict(report: dict[str, Any]) -> str:
    """Return claims, the paper's numbers, ours with their interval, and verdicts, as a table."""
    table = Table(title=f"{report['paper']} ({report['profile']}): {report['verdict']}",
                  title_justify="left", show_lines=True)
    for column in ("claim", "paper", "ours (95 % interval)", "verdict"):
        table.add_column(column, overflow="fold")
    for claim in report["claims"]:
        shown = card.claim_cells(claim)
        ours = "\n".join(shown["numbers"]).replace("**", "") or "-"
        reason = f"\n{claim['reason']}" if claim["reason"] else ""
        style = _STYLE[claim["verdict"]]
        table.add_row(f"{claim['id']}\n{claim['text']}", shown["stated"], ours,
                      f"[{style}]{claim['verdict']}[/]{reason}")
    return _text(table)


def assets(listing: list[dict[str, Any]]) -> str:
    """Return the listing of `repro data list` as a table."""
    table = Table()
    for column in ("asset", "version", "from", "licence", "fetched", "needed by", "used for"):
        table.add_column(column, overflow="fold")
    for row in listing:
        size = f"{row['bytes'] / 1e6:.1f} MB" if row["fetched"] else "no"
        table.add_row(row["name"], str(row["version"]), row["registry"], row["licence"], size,
                      ", ".join(row["papers"]), str(row["used_for"]))
    return _text(table)


def _text(table: Table) -> str:
    console = Console()
    buffer = StringIO()
    Console(file=buffer, width=console.width, force_terminal=console.is_terminal).print(table)
    return buffer.getvalue().rstrip()
