"""`repro verify`: the same keys make the same bytes, in whatever way they are made.

Every run of a profile is made from nothing in several ways, each in a store of its own, and what
the ways left is compared by SHA-256: all files of all artefacts, and for training also the last
checkpoint (weights, optimiser state, position in the data, history).
"""

import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.paper import Paper
from repro.phases import trains
from repro.pipeline import drill, forks, machine
from repro.pipeline.progress import Display
from repro.pipeline.spec import RunSpec, closure, digest, expand_all
from repro.pipeline.stage import drive, load_tree
from repro.pipeline.store import Store
from repro.settings import Settings


@dataclass(frozen=True)
class Way:
    """One way of making runs. workers: side by side, 0 = one per core. kills: whether every
    training run is ended once. slurm: as jobs of the cluster, else as forks of one process."""

    name: str
    about: str
    workers: int = 0
    kills: bool = False
    slurm: bool = False


ALONE = Way("alone", "one worker, nothing disturbed", workers=1)
DISTURBED = Way(
    "disturbed",
    "all workers side by side; every training run ended once at a random step, by SIGKILL or by "
    "SIGTERM, and resumed",
    kills=True,
)
SLURM = Way("slurm", "as Slurm jobs", slurm=True)


def verify(
    paper: Paper,
    profile: str,
    settings: Settings,
    display: Display,
    *,
    seeds: Sequence[int],
    arms: Iterable[str] = (),
) -> dict[str, Any]:
    """Make the runs of a profile in every way there is and return the certificate.

    arms: none = all. The Slurm way is taken where the machine settings name a cluster. The stores
    of the ways are deleted, but for mismatches, which the certificate lists. Raises UserError when
    a run cannot be made at all.
    """
    tree = load_tree(paper, profile, settings.suite)
    cells = expand_all(paper, tree, profile, seeds)
    wanted = set(arms) or {arm for _, arm in cells}
    runs = [spec for (_, arm), specs in cells.items() if arm in wanted for spec in specs]
    ways = [ALONE, DISTURBED, *([SLURM] if settings.cluster else [])]
    settings.store.parent.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="verify-", dir=settings.store.parent))
    made = {}
    for way in ways:
        display.say(f"{paper.slug}: {way.name}: {way.about}")
        began = time.monotonic()
        made[way.name] = make(way, home / way.name, [paper], runs, settings, display)
        display.say(f"{paper.slug}: {way.name}: {len(made[way.name])} runs in "
                    f"{time.monotonic() - began:.0f} s")
    wrong = [line for way in ways[1:] for line in differences(made[ALONE.name], made[way.name],
                                                               way.name)]
    if not wrong:
        shutil.rmtree(home)
    return {
        "paper": paper.slug,
        "profile": profile,
        "seeds": list(seeds),
        "numerics": tree["numerics"],
        "versions": tree["versions"],
        **machine.measure(tree["numerics"]),
        "ways": {way.name: _account(way, made[way.name]) for way in ways},
        "runs": {run["label"]: {"key": key, "bytes": digest(run["bytes"])}
                 for key, run in made[ALONE.name].items()},
        "identical": not wrong,
        "mismatches": wrong,
        **({"kept": str(home)} if wrong else {}),
    }


def committed(paper: Paper) -> dict[str, Any] | None:
    """Return the certificate in the paper's results, None where there is none. Raises UserError
    when it cannot be read, or is not as it was written."""
    path = _path(paper)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        sha256 = found.pop("sha256")
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        wrong = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: not a certificate of `repro verify` ({wrong}): run `repro "
                        f"verify {paper.slug}`") from error
    if digest(found) != sha256:
        raise UserError(f"{path}: sha256: its content was changed: run `repro verify "
                        f"{paper.slug}`")
    return found


def against(certificate: dict[str, Any], former: dict[str, Any]) -> list[str]:
    """Return what to say of a certificate beside an earlier one, perhaps of another machine: the
    operations whose arithmetic differs, and whether equal keys gave equal bytes."""
    lines = []
    if other := machine.differing(certificate, former):
        lines.append(f"the arithmetic of this machine ({machine.shown(certificate)}) is not that "
                     f"of the committed certificate ({machine.shown(former)}): {', '.join(other)}")
    shared = [label for label, run in certificate["runs"].items()
              if run["key"] == former["runs"].get(label, {}).get("key")]
    wrong = [label for label in shared if certificate["runs"][label] != former["runs"][label]]
    lines.append(f"{len(shared)} runs have the key they have in the committed certificate; "
                 f"{len(wrong)} of them other bytes" + (f": {', '.join(wrong)}" if wrong else ""))
    return lines


def write(certificate: dict[str, Any], paper: Paper) -> Path:
    """Write a certificate to the paper's results and return its path."""
    path = _path(paper)
    path.parent.mkdir(exist_ok=True)
    sealed = {**certificate, "sha256": digest(certificate)}
    path.write_text(json.dumps(sealed, indent=1) + "\n", encoding="utf-8")
    return path


def render(certificate: dict[str, Any], former: dict[str, Any] | None = None) -> str:
    """Return what a person wants to know of a certificate, beside an earlier one if there is."""
    lines = [f"{certificate['paper']} ({certificate['profile']}): "
             + ("identical in every way" if certificate["identical"] else "NOT IDENTICAL")]
    for name, way in certificate["ways"].items():
        ended = ", ".join(f"{count} by {how}" for how, count in way["ended"].items())
        lines.append(f"  {name:10} {way['runs']} runs, {way['files']} files, {way['states']} states"
                     + (f"; ended once: {ended}" if ended else ""))
    lines += [f"  {line}" for line in certificate["mismatches"]]
    if former is not None:
        lines += [f"  {line}" for line in against(certificate, former)]
    return "\n".join(lines)


def _path(paper: Paper) -> Path:
    return paper.dir / "results" / "certificate.json"


def make(
    way: Way,
    folder: Path,
    papers: Sequence[Paper],
    runs: Sequence[RunSpec],
    settings: Settings,
    display: Display,
) -> dict[str, dict[str, Any]]:
    """Make the runs, and those they need, in a new store; return key -> what each left (`left_by`).
    Raises UserError when one fails, or when the driver is told to stop."""
    store = Store(folder)
    specs = [one[0] for one in closure(runs).values()]
    plans = {spec.key: fault_of(spec) for spec in specs if way.kills and trains(spec.stage)}
    for key, (fraction, name) in plans.items():
        drill.plan(store.entry(key), fraction, name)
    if way.slurm:
        here = replace(settings, store=folder, executor="slurm")
        if drive(runs, {}, papers, here, store, display).wish:
            raise UserError(f"verify: stopped ({folder.parent} is left)")
    else:
        forks.make(store, specs, settings.root, way.workers or settings.workers, settings.assets)
    for spec in specs:
        entry = store.entry(spec.key)
        if failed := entry.read("failed"):
            raise UserError(f"verify, {way.name}: {spec.label}: {failed['error']} (kept: "
                            f"{folder.parent})")
    unfinished = [spec.label for spec in specs if not store.entry(spec.key).is_done]
    if unfinished:
        raise UserError(f"verify, {way.name}: {len(unfinished)} runs were not finished, the first "
                        f"is {unfinished[0]} (kept: {folder.parent})")
    return {spec.key: left_by(store, spec, plans.get(spec.key)) for spec in specs}


def fault_of(spec: RunSpec) -> tuple[float, str]:
    """Return where and how a run is ended: random, and the same whenever it is verified."""
    chance = random.Random(spec.key)
    return chance.random(), chance.choice(drill.SIGNALS)


def left_by(store: Store, spec: RunSpec, planned: tuple[float, str] | None) -> dict[str, Any]:
    """Return what a finished run left: {label, bytes: digests of its files and last state, starts,
    ended: by which signal}. Raises CorruptedEntry."""
    entry = store.entry(spec.key)
    entry.verify(full=True)
    record = entry.read("run") or {}
    return {
        "label": spec.label,
        "bytes": {"files": record["outputs"], "state": record["state"]},
        "starts": record["starts"],
        "ended": planned[1] if planned and record["starts"] > 1 else None,
    }


def _account(way: Way, made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ended = [run["ended"] for run in made.values() if run["ended"]]
    return {
        "about": way.about,
        "runs": len(made),
        "files": sum(len(run["bytes"]["files"]) for run in made.values()),
        "states": sum(len(run["bytes"]["state"]) for run in made.values()),
        "ended": {name: ended.count(name) for name in drill.SIGNALS if name in ended},
    }


def differences(
    first: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]], way: str
) -> list[str]:
    """Return a line for every file and state that differs between two ways."""
    found = []
    for key, run in first.items():
        for kind in ("files", "state"):
            ours, theirs = run["bytes"][kind], other[key]["bytes"][kind]
            found += [f"{run['label']}: {kind} {name} differs between alone and {way}"
                      for name in sorted(ours.keys() | theirs.keys())
                      if ours.get(name) != theirs.get(name)]
    return found
