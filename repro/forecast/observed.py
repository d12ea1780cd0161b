"""What finished runs took: from the store, and from the costs that papers keep in git."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import devices
from repro.config import resolved
from repro.errors import UserError
from repro.forecast.work import digest, shape_of
from repro.paper import Paper
from repro.pipeline.store import Store
from repro.report import cost

STORE, RECORDED = "runs in the store", "costs in git"


@dataclass(frozen=True)
class Observation:
    """One finished run, or the mean of those of an arm. device: name of the processor or GPU."""

    paper: str
    profile: str
    stage: str
    section: str
    shape: str
    device: str
    seconds: float
    tokens: float
    flops: float
    source: str


def in_store(store: Store) -> Iterator[Observation]:
    """Yield every finished run that the store itself has seen running, on one task."""
    for entry in store.entries():
        run = None
        with suppress(UserError):  # a damaged record tells nothing; `repro store verify` names it
            run = entry.read("run") if entry.is_done else None
        if not run or "seconds" not in run or run.get("tasks", 1) > 1:
            continue
        made_of = run["ingredients"]
        paper, _, rest = run["label"].partition("/")
        profile = rest.partition("@")[2].partition("-")[0]
        yield _observation((paper, profile, made_of["stage"]), made_of["entry"], made_of["config"],
                           run, run.get("gpu") or run.get("cpu", ""), STORE)


def in_git(papers: list[Paper]) -> Iterator[Observation]:
    """Yield what each stage of each arm took on average, by the papers' committed costs. Where
    runs came from several machines nobody can tell which took what: those are left out."""
    for paper in papers:
        for profile in paper.profiles:
            folder = resolved.path_of(paper.root, paper.slug, profile)
            found = cost.load(paper, profile)
            if found is None or len(found["machines"]) != 1 or not folder.is_dir():
                continue
            arms = resolved.load(folder)["arms"]
            for stage, cells in found["stages"].items():
                for arm, cell in cells.items():
                    config = arms.get(arm, {}).get(stage, {}).get("config")
                    if config is not None:
                        yield _observation((paper.slug, profile, stage), config["_fn"], config,
                                           cell, found["machines"][0], RECORDED)


def _observation(place: tuple[str, str, str], entry: str, config: dict[str, Any],
                 took: dict[str, Any], device: str, source: str) -> Observation:
    tokens, flops = float(took.get("tokens", 0)), float(took.get("flops", 0))
    return Observation(
        *place, section=digest(entry, config), device=device, seconds=took["seconds"],
        shape=shape_of(entry, config, flops, tokens) if flops else "", tokens=tokens, flops=flops,
        source=source)


def gather(papers: list[Paper], store: Path) -> list[Observation]:
    """Return what runs took, without making a store where there is none. A mean in git stands back
    where the store has runs of the same paper, stage and settings."""
    runs = list(in_store(Store(store))) if store.is_dir() else []
    known = {_what(run) for run in runs}
    return runs + [one for one in in_git(papers) if _what(one) not in known]


def _what(one: Observation) -> tuple[str, ...]:
    return one.paper, one.profile, one.stage, one.section, one.shape


def same_device(one: str, two: str) -> bool:
    """Return whether two names mean one kind of device."""
    if one == two:
        return True
    first, second = devices.recognise(one), devices.recognise(two)
    return first is not None and first == second
