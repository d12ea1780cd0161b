"""The forecast of a paper's own scale, kept beside its results: `results/paper.forecast.json`.

It follows from the resolved settings and data sheets alone, so that it is the same wherever it was
made; `repro cost` refines it with finished runs and calibrations.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro.config import resolved
from repro.errors import UserError
from repro.paper import Paper
from repro.report.markdown import count, energy

PROFILE = "paper"
Forecast = dict[str, Any]


def path_of(paper: Paper) -> Path:
    return paper.dir / "results" / f"{PROFILE}.forecast.json"


def write(paper: Paper, report: Forecast, tree: dict[str, Any]) -> Path:
    """Write a forecast with the digest of the settings it is for."""
    path = path_of(paper)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = report | {"settings": settings_digest(tree)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(paper: Paper) -> Forecast | None:
    """Return the kept forecast, None if there is none; `current`: whether its settings are those
    that are resolved now. Raises UserError for an unreadable file."""
    path = path_of(paper)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from error
    folder = resolved.path_of(paper.root, paper.slug, PROFILE)
    tree = resolved.load(folder) if folder.is_dir() else None
    return found | {"current": tree is not None and settings_digest(tree) == found["settings"]}


def settings_digest(tree: dict[str, Any]) -> str:
    """Return a digest of all settings of a resolved tree; code and versions do not count."""
    configs = {arm: {stage: section["config"] for stage, section in stages.items()}
               for arm, stages in tree["arms"].items()}
    text = json.dumps([tree["seeds"], configs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def papers_line(row: Forecast) -> str:
    """Return what the paper says an arm took, beside what we make of it."""
    said = []
    if row["hours"] is not None:
        said.append(f"{row['hours']:g} h on {row['devices']} {row['device']}")
    if row["flops"] is not None:
        said.append(f"{count(row['flops'])}FLOPs")
    ours = []
    if row["our_flops"] and row["flops"]:
        ratio = row["our_flops"] / row["flops"]
        ours.append(f"ours are {count(row['our_flops'])}FLOPs ({ratio:.2f} x)")
    if row["our_hours"]:
        where = "within" if row["within"] else "outside"
        ours.append(f"forecast on its device at {row['precision']}: {between(row['our_hours'])} h "
                    f"(the paper's is {where})")
    ours += [f"its figures are {share:.0%} of {precision} peak"
             for precision, share in row["implied"].items()]
    return f"the paper, {row['arm']}: {', '.join(said)} [{row['source']}]; {'; '.join(ours)}"


def between(sides: list[float], text: Callable[[float], str] | None = None) -> str:
    """Return a range as `low to high`, once where both read the same."""
    low, high = map(text or hours, sides)
    return low if low == high else f"{low} to {high}"


def hours(value: float) -> str:
    """Return hours to two digits, whole ones from a hundred."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def from_kwh(value: float) -> str:
    """Return kilowatt-hours as the other energies are shown."""
    return energy(3.6e6 * value)
