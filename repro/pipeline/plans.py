"""What was last asked for, per paper and profile: the runs `repro status` tells about.

Drivers note it in the store (<store>/plans/<slug>@<profile>.json), so that a look at the state of
many papers needs neither their settings nor DVC.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from repro.errors import UserError
from repro.pipeline import files
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
            former = files.read_json(path) or {}
            if former | content != former:
                files.write_json(path, former | content)


def read(store: Store, papers: Iterable[str] | None = None) -> list[Planned]:
    """Return the planned runs, of some papers or of all, in the order they were asked for."""
    wanted = None if papers is None else set(papers)
    found = []
    for path in sorted((store.root / "plans").glob("*@*.json")):
        paper, _, profile = path.stem.rpartition("@")
        content = None
        if wanted is None or paper in wanted:
            with suppress(UserError):
                content = files.read_json(path)
        for cell, runs in (content or {}).items():
            arm, _, stage = cell.rpartition("/")
            found += [Planned(key, label, paper, profile, arm, stage) for key, label in runs]
    return found
