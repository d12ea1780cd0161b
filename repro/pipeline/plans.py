"""What was last asked for, per paper and profile: the runs `repro status` tells about.

Drivers note it in the store (<store>/plans/<slug>@<profile>.json), so that a look at the state of
many papers needs neither their settings nor DVC.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from repro.errors import UserError
from repro.pipeline import files
from repro.pipeline.records import is_key
from repro.pipeline.spec import RunSpec
from repro.pipeline.store import Store


@dataclass(frozen=True)
class Planned:
    """One run somebody asked for."""

    key: str
    label: str
    paper: str
    profile: str
    arm: str
    stage: str


def note(store: Store, cells: dict[tuple[str, str], list[RunSpec]]) -> None:
    """Record the runs of (stage, arm) cells; earlier ones of the same cells are replaced."""
    groups: dict[tuple[str, str], dict[str, list[list[str]]]] = {}
    for (stage, arm), specs in cells.items():
        for spec in specs:
            cell = groups.setdefault((spec.paper, spec.profile), {})
            cell.setdefault(f"{arm}/{stage}", []).append([spec.key, spec.label])
    with store.submitting():
        for (paper, profile), content in groups.items():
            path = store.root / "plans" / f"{paper}@{profile}.json"
            path.parent.mkdir(exist_ok=True)
            former = _plan(path)
            if former | content != former:
                files.write_json(path, former | content)


def read(store: Store, papers: Iterable[str] | None = None) -> list[Planned]:
    """Return the planned runs, of some papers or of all, in the order they were asked for. Raises
    UserError when a plan is damaged."""
    wanted = None if papers is None else set(papers)
    found = []
    for path in sorted((store.root / "plans").glob("*@*.json")):
        paper, _, profile = path.stem.rpartition("@")
        content = _plan(path) if wanted is None or paper in wanted else {}
        for cell, runs in content.items():
            arm, _, stage = cell.rpartition("/")
            found += [Planned(key, label, paper, profile, arm, stage) for key, label in runs]
    return found


def _plan(path: Path) -> dict[str, list[list[str]]]:
    """Return arm/stage -> [key, label] of its runs. Raises UserError when the file is damaged."""
    try:
        content = files.read_json(path)
    except UserError as error:
        raise UserError(f"{error}; delete it and run again") from error
    cells = {} if content is None else content
    if not isinstance(cells, dict) or not all(map(_is_cell, cells.items())):
        raise UserError(f"{path}: must be arm/stage: [key, label] of runs; delete it and run again")
    return cells


def _is_cell(item: tuple[str, object]) -> bool:
    cell, runs = item
    return "/" in cell and isinstance(runs, list) and all(
        isinstance(run, list) and len(run) == 2 and is_key(run[0]) and isinstance(run[1], str)
        for run in runs)
