"""Tables for the terminal."""

from io import StringIO
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from repro.report import card, markdown

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
        reason = escape(f"\n{claim['reason']}") if claim["reason"] else ""
        style = _STYLE[claim["verdict"]]
        table.add_row(escape(f"{claim['id']}\n{claim['text']}"), escape(shown["stated"]), ours,
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


def papers(listing: list[dict[str, Any]]) -> str:
    """Return the listing of `repro list` as a table."""
    if not listing:
        return "no papers yet: `repro new SLUG --template text`"
    table = Table(title=f"profile {listing[0]['profile']}", title_justify="left")
    for column in ("paper", "title", "family", "arms", "claims", "verdict", "cost"):
        table.add_column(column, overflow="fold")
    for row in listing:
        verdicts = ", ".join(f"{n} {name}" for name, n in row["counts"].items() if n)
        style = _STYLE.get(row["verdict"], "default")
        state = f"[{style}]{row['verdict']}[/]" + (f"\n{verdicts}" if verdicts else "")
        state += f"\n{row['n_todo']} TODO" if row["n_todo"] else ""
        cost = "-" if row["cost"] is None else (
            f"{row['cost']['runs']} runs\n{markdown.duration(row['cost']['total_seconds'])}")
        table.add_row(row["paper"], escape(row["title"]), row["family"], str(row["n_arms"]),
                      str(row["n_claims"]), state, cost)
    return _text(table)


def paper(entry: dict[str, Any]) -> str:
    """Return what `repro show` says of one paper."""
    who = f"{', '.join(entry['authors'])}. {entry['venue']} {entry['year']}."
    arxiv = f" https://arxiv.org/abs/{entry['arxiv']}" if entry["arxiv"] else ""
    head = f"{entry['title']}\n{who}{arxiv}\n{entry['family']}; profile {entry['profile']} " \
           f"(has: {', '.join(entry['profiles'])}); verdict: {entry['verdict']}"
    arms = _table("arm", "role", "stages", "what it is")
    for name, arm in entry["arms"].items():
        arms.add_row(name, arm["role"], " ".join(arm["stages"]), escape(arm["about"]))
    tasks = _table("task", "metric", "what it is")
    for name, task in entry["tasks"].items():
        tasks.add_row(name, task["metric"], escape(task["about"]))
    claims = _table("claim", "paper", "ours (95 % interval)", "verdict", lines=True)
    for claim in entry["claims"]:
        style = _STYLE.get(claim["verdict"], "default")
        claims.add_row(escape(f"{claim['id']}\n{claim['text']}"), escape(claim["stated"]),
                       "\n".join(claim["numbers"]).replace("**", "") or "-",
                       f"[{style}]{claim['verdict']}[/]")
    data = _table("data", "profile", "from", "licence")
    for row in entry["data"]:
        data.add_row(row["name"], row["profile"], row["origin"], row["licence"])
    needs = _table("stage", "needs, per run", "entry function")
    for stage, function in entry["stages"].items():
        needs.add_row(stage, _need(entry["resources"].get(entry["profile"], {}).get(stage)),
                      function)
    tables = (_text(table) for table in (claims, arms, tasks, needs, data))
    todo = ["to be filled in:", *(f"  {line}" for line in entry["todo"]), ""]
    return "\n".join([head, *tables, *(todo if entry["todo"] else []), *entry["run"]])


def _need(need: dict[str, Any] | None) -> str:
    if need is None:
        return "-"
    gpus = f", {need['gpus']} GPU" if need["gpus"] else ""
    tasks = f", {need['tasks']} tasks" if need["tasks"] > 1 else ""
    return f"{need['minutes']} min, {need['memory_gb']:g} GB, {need['cpus']} CPU{gpus}{tasks}"


def _table(*columns: str, lines: bool = False) -> Table:
    table = Table(show_lines=lines)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(table: Table) -> str:
    console = Console()
    buffer = StringIO()
    Console(file=buffer, width=console.width, force_terminal=console.is_terminal).print(table)
    return buffer.getvalue().rstrip()
