"""A paper's README.md, rendered from paper.yaml, resolved settings and the files in results/."""

from pathlib import Path
from typing import Any

from repro.config import resolved
from repro.data.assets import load_registry
from repro.paper import Paper
from repro.report import cost, markdown
from repro.report.rendering import environment
from repro.report.results import load_verdict, results_dir, task_table
from repro.schema import Source
from repro.verdict import stated

SHOWN = ("mini", "gpu", "paper")
SILENT = "not stated"


def render(paper: Paper) -> str:
    """Return the card's text. It depends on files under the paper's directory only."""
    return environment().get_template("card.md.j2").render(
        paper=paper,
        profiles=[profile_section(paper, profile) for profile in SHOWN
                  if load_verdict(paper, profile) is not None],
        settings=settings_table(paper),
        data=data_table(paper),
    )


def write(paper: Paper) -> Path:
    path = paper.dir / "README.md"
    path.write_text(render(paper), encoding="utf-8")
    return path


def profile_section(paper: Paper, profile: str) -> dict[str, Any]:
    """Return what the card shows of one judged profile."""
    report = load_verdict(paper, profile)
    tasks = task_table(paper, profile)
    plots = [name for name in (f"{profile}.claims.svg", f"{profile}.curves.svg")
             if (results_dir(paper) / name).is_file()]
    return {
        "name": profile,
        "report": report,
        "claims": [claim_cells(claim) for claim in report["claims"]],
        "tasks": tasks,
        "arms": [arm for arm in paper.arms if any(arm in entry["arms"] for entry in tasks)],
        "cost": cost.load(paper, profile),
        "plots": plots,
    }


def claim_cells(claim: dict[str, Any]) -> dict[str, Any]:
    """Return a judged claim with our numbers as lines and the paper's as one."""
    return {**claim, "numbers": _ours(claim),
            "stated": papers_numbers(claim["paper"])}


def papers_numbers(numbers: dict[str, Any]) -> str:
    """Return the paper's numbers with metric and source."""
    sides = [numbers["baseline"], numbers["method"]]
    values = numbers["levels"] or ([] if sides == [None, None] else sides)
    shown = " → ".join("?" if v is None else f"{v:g}" for v in values) or "no number known"
    return f"{shown} ({numbers['metric']}; {numbers['source']})"


def _ours(claim: dict[str, Any]) -> list[str]:
    """Return our numbers, one line per decided comparison."""
    lines = []
    for part in claim["parts"]:
        on = f"{part['tasks'][0]}: " if len(claim["parts"]) > 1 else ""
        found = part["estimate"]
        if claim["kind"] == "trend":
            what = f"{part['statistic']}{' of the gap' if part['gap'] else ''}"
            points = " → ".join(markdown.number(level["mean"]) for level in part["levels"])
            lines.append(f"{on}{points}; {what} **{markdown.interval(found)}**")
        else:
            sides = " → ".join(f"{part[s]['arm']} {markdown.spread(part[s]['mean'], part[s]['sd'])}"
                               for s in ("baseline", "method"))
            margin = f", margin ±{claim['margin']:g}" if claim["margin"] else ""
            lines.append(f"{on}{sides}; difference **{markdown.interval(found)}**{margin}")
    return lines


def settings_table(paper: Paper) -> dict[str, Any]:
    """Return what the paper states, or is silent about, beside the resolved settings: {profiles,
    rows: [{key, paper, source, ours: profile -> text}]}."""
    trees = {profile: resolved.load(path) for profile in ("paper", "gpu", "mini")
             if (path := paper.dir / "resolved" / profile).is_dir()}
    said = [(key, entry.value, entry.source) for key, entry in paper.stated.items()]
    said += [(key, SILENT, ours) for key, ours in paper.unstated.items()]
    rows = []
    for key, value, source in said:
        ours = {profile: dict.fromkeys(map(markdown.cell, stated.values_of(paper, tree, profile,
                                                                           key)))
                for profile, tree in trees.items()}
        rows.append({"key": key, "paper": value, "source": source,
                     "ours": {profile: " / ".join(values) for profile, values in ours.items()}})
    return {"profiles": list(trees), "rows": rows}


def data_table(paper: Paper) -> list[dict[str, Any]]:
    """Return the data sets by profile with origin, version and licence."""
    registry = load_registry()
    return [{"profile": profile, **_data_row(source, registry)}
            for profile, sources in paper.data.items() for source in sources]


def _data_row(source: Source, registry: dict[str, Any]) -> dict[str, Any]:
    if source.asset is not None:
        asset = registry[source.asset]
        return {"name": asset.name, "origin": f"{asset.registry} {asset.version}",
                "licence": asset.licence, "use": source.use or asset.used_for}
    config = f" ({source.config})" if source.config else ""
    return {"name": f"{source.hub}{config}", "origin": f"hub @ {source.revision[:12]}",
            "licence": source.licence, "use": source.use or ""}
