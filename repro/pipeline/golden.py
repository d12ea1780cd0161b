"""`repro golden`: the first updates of every arm, kept to the last digit.

A change of the code that must not change the arithmetic is tested against them in seconds, long
before a whole run would show it. `papers/<slug>/results/golden.json` holds them, with the machine
they were made on.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.paper import Paper
from repro.phases import pretrains, trains
from repro.pipeline import files, machine, records
from repro.pipeline.environment import pinned
from repro.pipeline.progress import Display
from repro.pipeline.spec import RunSpec, expand_all
from repro.pipeline.stage import drive, load_tree
from repro.pipeline.store import Store
from repro.settings import Settings

# Where the machine calculates otherwise, rounding may differ but the method may not.
TOLERANCE = 1e-4
SHAPE: dict[str, records.Kind] = {
    "profile": str, "seed": int, "numerics?": str, "versions": dict, "cpu": str, "features": list,
    "libc": str, "arithmetic?": dict, "trajectories": dict,
}
TRAJECTORY: dict[str, records.Kind] = {"loss": list, "state?": str}
Golden = dict[str, Any]


def path_of(paper: Paper) -> Path:
    """Return where a paper's golden trajectories lie."""
    return paper.dir / "results" / "golden.json"


def load(paper: Paper) -> Golden:
    """Return the committed trajectories. Raises UserError when there are none, or not of that
    shape."""
    path = path_of(paper)
    found = files.read_json(path)
    if found is None:
        raise UserError(f"{path}: no golden trajectories; run `repro golden {paper.slug} --update`")
    records.check_fields(SHAPE, found, path)
    for place, trajectory in found["trajectories"].items():
        records.check_fields(TRAJECTORY, trajectory, f"{path}: {place}")
        if not all(isinstance(loss, float) for loss in trajectory["loss"]):
            raise UserError(f"{path}: {place}: loss: must be numbers only")
    return found


def write(golden: Golden, paper: Paper) -> Path:
    """Write trajectories to the paper's results and return the path."""
    path = path_of(paper)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    return path


def follow(paper: Paper, profile: str, settings: Settings, display: Display) -> Golden:
    """Return the trajectories of all arms of a profile, for the first seed: {profile, seed,
    numerics, versions, cpu, features, libc, arithmetic, trajectories: "<arm>/<stage>" -> {loss,
    state}}.

    The data are made, or taken from the store; nothing else is written there. An arm's fine-tuning
    is followed where its pre-training is over within these updates (arms without any); a later
    phase of pre-training always is (see `trajectory.follow`).
    Raises UserError when a run cannot be made.
    """
    tree = load_tree(paper, profile, settings.suite)
    seed = settings.suite.seeds[0]
    chains = chains_of(expand_all(paper, tree, profile, [seed]))
    ensure_data(paper, chains, settings, display)
    found = _follow(chains, seed, tree["numerics"], settings)
    return {
        "profile": profile,
        "seed": seed,
        "numerics": tree["numerics"],
        "versions": tree["versions"],
        **machine.measure(tree["numerics"]),
        "trajectories": {f"{spec.arm}/{spec.stage}": trajectory
                         for chain, some in zip(chains, found, strict=True)
                         for spec, trajectory in zip(chain, some, strict=False)
                         if trajectory["loss"]},
    }


def ensure_data(
    paper: Paper, chains: Sequence[list[RunSpec]], settings: Settings, display: Display
) -> None:
    """Make the data that chains start from where the store lacks them. Raises UserError."""
    data = {spec.key: spec for chain in chains for spec in chain[0].inputs.get("data", ())}
    outcome = drive(list(data.values()), {}, [paper], settings, Store(settings.store), display,
                    alone=False)
    if outcome.exit_code:
        raise UserError(f"golden: {next(iter(outcome.errors.values()), 'stopped')}")


def chains_of(cells: dict[tuple[str, str], list[RunSpec]]) -> list[list[RunSpec]]:
    """Return for each arm its training runs, each of which reads the one before (member 0). Those
    that begin from another arm's phase of pre-training come after that phase."""
    chains: dict[str, list[RunSpec]] = {}
    for (stage, arm), specs in cells.items():
        before = chains.get(arm)
        if trains(stage) and (before is None or before[-1] in specs[0].upstream):
            chains.setdefault(arm, []).append(specs[0])
    whole = [_from_the_first_phase(chain) for chain in chains.values()]
    return [chain for chain in whole if not any(trains(run.stage) for run in chain[0].upstream)]


def _from_the_first_phase(chain: list[RunSpec]) -> list[RunSpec]:
    before = [run for run in chain[0].upstream if trains(run.stage)]
    if before and pretrains(chain[0].stage):
        return _from_the_first_phase([before[0], *chain])
    return chain


def _follow(
    chains: Sequence[list[RunSpec]], seed: int, numerics: str | None, settings: Settings
) -> list[list[dict[str, Any]]]:
    """Return the trajectories of each chain; equal ones are followed once."""
    store = Store(settings.store)
    distinct = {chain[-1].key: chain for chain in chains}
    # Chains that begin alike go to one process, which follows their beginning once.
    ordered, many = sorted(distinct, key=lambda key: distinct[key][0].key), settings.workers
    shares = [ordered[len(ordered) * n // many : len(ordered) * (n + 1) // many]
              for n in range(many)]
    found: dict[str, list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="repro-golden-")))
        started = []
        for number, keys in enumerate(share for share in shares if share):
            request, result = home / f"request{number}.json", home / f"result{number}.json"
            files.write_json(request, {
                "numerics": numerics,
                "seed": seed,
                "root": str(settings.root),
                "chains": [request_of(distinct[key], store) for key in keys],
            })
            command = [sys.executable, "-m", "repro.pipeline.trajectory", request, result]
            process = stack.enter_context(subprocess.Popen(
                command, env=pinned(numerics), cwd=settings.root, text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
            stack.callback(process.kill)
            started.append((process, keys, result))
        for process, keys, result in started:
            _, said = process.communicate()
            if process.returncode:
                last = (said.strip().splitlines() or ["no output"])[-1]
                raise UserError(f"golden: {distinct[keys[0]][0].label} or one after it: {last}")
            found |= dict(zip(keys, files.read_json(result), strict=True))
    return [found[chain[-1].key] for chain in chains]


def request_of(chain: list[RunSpec], store: Store) -> dict[str, Any]:
    """Return a chain as `trajectory` takes it."""
    return {
        "data": [str(store.entry(run.key).out) for run in chain[0].inputs.get("data", ())],
        "links": [{"arm": run.arm, "stage": run.stage, "config": run.config} for run in chain],
    }


def report(slug: str, now: Golden, then: Golden | None, updated: bool) -> dict[str, Any]:
    """Return {paper, profile, trajectories: how many, updated, differences, remarks: lines}. then:
    the record so far, None = there was none."""
    return {
        "paper": slug,
        "profile": now["profile"],
        "trajectories": len(now["trajectories"]),
        "updated": updated,
        "differences": differences(now, then) if then else [],
        "remarks": remarks(now, then) if then else [],
    }


def render(report: dict[str, Any]) -> str:
    """Return a report as lines for people."""
    wrong = len(report["differences"])
    if report["updated"]:
        end = "recorded" + (f"; {wrong} differences from the record before" if wrong else "")
    else:
        end = f"{wrong} DIFFER" if wrong else "as recorded"
    head = f"{report['paper']} ({report['profile']}): {report['trajectories']} trajectories, {end}"
    return "\n".join([head, *(f"  {line}" for line in report["differences"] + report["remarks"])])


def differences(now: Golden, then: Golden) -> list[str]:
    """Return a line for every arm whose trajectory is not the committed one: its first update that
    differs and both losses. Where this machine calculates otherwise than the one that made the
    committed ones, losses may differ by TOLERANCE of themselves and states are not compared."""
    exact = not machine.differing(now, then)
    lines = [f"{name}: was {then[name]!r}, is {now[name]!r}"
             for name in ("profile", "seed", "numerics") if now[name] != then[name]]
    ours, theirs = now["trajectories"], then["trajectories"]
    for place in sorted(ours.keys() | theirs.keys()):
        if place not in ours or place not in theirs:
            lines.append(f"{place}: " + ("not committed" if place in ours else "no such arm now"))
        elif line := _difference(ours[place], theirs[place], exact):
            lines.append(f"{place}: {line}")
    return lines


def remarks(now: Golden, then: Golden) -> list[str]:
    """Return what may explain a difference: other libraries, another machine."""
    ours, theirs = now["versions"], then["versions"]
    lines = [f"{name} {theirs.get(name)} -> {ours.get(name)}"
             for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    if other := machine.differing(now, then):
        lines.append(f"{machine.shown(now)} calculates otherwise than {machine.shown(then)}, where "
                     f"these were made ({', '.join(other)}): losses are compared to {TOLERANCE:g} "
                     "only")
    return lines


def _difference(ours: dict[str, Any], theirs: dict[str, Any], exact: bool) -> str:
    """Return how two trajectories differ, "" where they do not."""
    near = 0.0 if exact else TOLERANCE
    pairs = list(zip(ours["loss"], theirs["loss"], strict=False))
    wrong = [step for step, (a, b) in enumerate(pairs, 1) if not math.isclose(a, b, rel_tol=near)]
    if wrong:
        a, b = pairs[wrong[0] - 1]
        return (f"update {wrong[0]}: loss {b!r} -> {a!r} ({a - b:+.2g}); {len(wrong)} of "
                f"{len(pairs)} updates differ")
    if len(ours["loss"]) != len(theirs["loss"]):
        return f"{len(theirs['loss'])} updates -> {len(ours['loss'])}"
    if exact and ours["state"] != theirs["state"]:
        return (f"equal losses, but other weights or optimiser state after {len(pairs)} updates")
    return ""
