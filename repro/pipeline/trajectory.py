"""The first updates of training runs, their losses to the last digit. The body of a process that
has a job's environment: `python -m repro.pipeline.trajectory REQUEST RESULT`, both JSON files."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from repro.config.build import build
from repro.context import RunContext
from repro.errors import Interrupted
from repro.phases import pretrains
from repro.pipeline import arithmetic, files
from repro.pipeline.execute import state_of
from repro.pipeline.spec import digest

STEPS = 20
Trajectory = dict[str, Any]


def follow_all(chains: list[dict[str, Any]], seed: int, root: Path) -> list[list[Trajectory]]:
    """Return the trajectories of each of several chains, {links, data} (see `follow`)."""
    known: dict[str, tuple[bool, Trajectory]] = {}
    with tempfile.TemporaryDirectory(prefix="repro-") as home:
        return [follow(chain["links"], chain["data"], seed, root, Path(home), known)
                for chain in chains]


def follow(
    chain: list[dict[str, Any]],
    data: list[str],
    seed: int,
    root: Path,
    home: Path,
    known: dict[str, tuple[bool, Trajectory]],
) -> list[Trajectory]:
    """Return the trajectory of each stage of a chain, as far as it can be followed.

    chain: {arm, stage, config} of training stages, each of which reads the one before. A stage is
    stopped after STEPS updates, as by a scheduler, so its schedule sees its true length; the next
    is reached only when a stage is over by then. A phase of pre-training is always reached: the one
    before it is made a second time, with STEPS updates in all. A trajectory: {loss: of each update,
    None without any; state: digest of the last checkpoint (weights, optimiser, history), None
    without one}. home: where artefacts go. known: what chains before it found, to which this one
    adds: a beginning that several have is followed once.
    """
    found = []
    inputs = {"data": [Path(path) for path in data]}
    for position, link in enumerate(chain):
        name = digest([data, chain[: position + 1]])
        folder = home / name
        if name not in known:
            known[name] = _start(link, inputs, seed, root, folder)
        ended, trajectory = known[name]
        found.append(trajectory)
        if not ended:
            later = chain[position + 1 :]
            if not later or not pretrains(later[0]["stage"]):
                break
            folder = home / f"{name}.short"
            short = link | {"config": link["config"] | {"steps": STEPS}}
            if not folder.exists():
                _start(short, inputs, seed, root, folder, to_the_end=True)
        inputs = {"data": inputs["data"], link["stage"]: [folder / "out"]}
    return found


def _start(
    link: dict[str, Any],
    inputs: dict[str, list[Path]],
    seed: int,
    root: Path,
    folder: Path,
    to_the_end: bool = False,
) -> tuple[bool, Trajectory]:
    """Start a stage; return whether it came to its end, and its trajectory. to_the_end: it is not
    stopped after STEPS updates (a stage of several tasks has that many for each)."""
    losses: list[float] = []

    def on_report(*, loss: float | None, **_: Any) -> None:
        if loss is not None and len(losses) < STEPS:
            losses.append(loss)

    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True)
    context = RunContext(
        stage=link["stage"],
        arm=link["arm"],
        seed=seed,
        inputs=inputs,
        out=folder / "out",
        checkpoints=folder / "checkpoints",
        on_report=on_report,
        stop_requested=lambda: not to_the_end and len(losses) >= STEPS,
    )
    ended = True
    try:
        build(link["config"], root)(context)
    except Interrupted:
        ended = False
    state = state_of(context.checkpoints)
    return ended, {"loss": losses or None, "state": digest(state) if state else None}


def main(request: Path, result: Path) -> None:
    """Follow all chains of a request file and write the trajectories to a result file."""
    asked = files.read_json(request)
    if asked["numerics"] is not None:
        arithmetic.configure(asked["numerics"])
    root = Path(asked["root"])
    files.write_json(result, follow_all(asked["chains"], asked["seed"], root))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
