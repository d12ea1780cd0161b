"""`repro submit`: the whole DAG of one or more papers, ahead of DVC.

DVC runs one stage at a time. This fills every worker of the machine, or queues everything on a
cluster with each job behind those it needs. A later `dvc repro` only attaches, links and records.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from repro.errors import UserError
from repro.naming import nearest
from repro.paper import Paper
from repro.pipeline import gc, plans
from repro.pipeline.launch import fleet_of, launcher_of
from repro.pipeline.progress import Display, choose
from repro.pipeline.spec import RunSpec, expand_all
from repro.pipeline.stage import drive, load_tree
from repro.pipeline.store import Store
from repro.schema import Resources
from repro.settings import Settings, load

_DRIVER = Resources(minutes=60, memory_gb=1.0)  # and then again through the queue


@dataclass(frozen=True)
class Request:
    """What to submit: papers by slug; profile None = those of params.yaml; arms and stages: only
    these and what they read, none = all. wait: stay until everything has ended, where that is not
    needed (on a cluster)."""

    papers: tuple[str, ...]
    profile: str | None = None
    arms: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    wait: bool = False


def submit(
    request: Request, settings: Settings, detach: bool = False, display: Display | None = None
) -> int:
    """Queue or finish every run of some papers; runs they share are made once. Return the exit
    code. detach: start a driver of its own session, say where it logs, return 0 at once."""
    display = display or choose(settings.log_level)
    papers = [Paper.find(slug, settings.root) for slug in request.papers]
    cells = cells_of(papers, request, settings)
    if detach:
        log = start_detached(replace(request, wait=True), settings)
        display.say(f"driver started; it logs to {log}; see `repro status`")
        return 0
    specs = [spec for runs in cells.values() for spec in runs]
    outcome = drive(specs, cells, papers, settings, Store(settings.store), display,
                    alone=settings.executor == "local", queue_only=not request.wait)
    if outcome.exit_code == 0 and outcome.wish != "queued":
        gc.tidy(settings, display.say)
    return outcome.exit_code


def submit_driver(request: Request, settings: Settings) -> str:
    """Queue a small job that does what `submit` would do and stays until everything has ended;
    return its number. For hosts that end what runs for long."""
    launcher = launcher_of(settings, fleet_of(Store(settings.store)))
    if settings.executor != "slurm":
        raise UserError("submit: --driver-job needs a cluster (--cluster FILE)")
    cells_of([Paper.find(slug, settings.root) for slug in request.papers], request, settings)
    from repro.pipeline.slurm_job import drive_job

    asked = _as_text(replace(request, wait=True), settings)
    return launcher.submit_single("driver", _DRIVER, drive_job, asked)["job_id"]


def attach(slugs: Sequence[str], settings: Settings, display: Display | None = None) -> int:
    """Look after the runs that were asked for last, of some papers or of all, until they have
    ended; return the exit code. Runs whose settings were resolved anew since are left alone."""
    display = display or choose(settings.log_level)
    store = Store(settings.store)
    planned = {run.key: run for run in plans.read(store, slugs or None)}
    papers = {run.paper: Paper.find(run.paper, settings.root) for run in planned.values()}
    suite, found = settings.suite, {}
    for paper, profile in sorted({(run.paper, run.profile) for run in planned.values()}):
        tree = load_tree(papers[paper], profile, suite)
        cells = expand_all(papers[paper], tree, profile, suite.seeds)
        found |= {spec.key: spec for specs in cells.values() for spec in specs}
    specs = [spec for key, spec in found.items() if key in planned]
    if left := len(planned) - len(specs):
        display.say(f"{left} runs of other settings are left alone; see `repro status`")
    if not specs:
        raise UserError("nothing to attach to: `repro submit PAPER` or `dvc repro` first")
    return drive(specs, {}, papers.values(), settings, store, display,
                 alone=settings.executor == "local").exit_code


def cells_of(
    papers: Sequence[Paper], request: Request, settings: Settings
) -> dict[tuple[str, str], list[RunSpec]]:
    """Return the runs asked for by (stage, arm). Raises UserError for an unknown arm or stage."""
    cells: dict[tuple[str, str], list[RunSpec]] = {}
    suite = settings.suite
    for paper in papers:
        for stage in request.stages:
            if stage not in paper.stages:
                raise UserError(f"{paper.slug}: unknown stage {stage!r}"
                                f"{nearest(stage, paper.stages)}")
        for profile in suite.profiles if request.profile is None else [request.profile]:
            tree = load_tree(paper, profile, suite)
            for arm in request.arms:
                paper.arm(arm, profile)
            found = expand_all(paper, tree, profile, suite.seeds)
            for (stage, arm), specs in found.items():
                if arm in (request.arms or (arm,)) and stage in (request.stages or (stage,)):
                    cells.setdefault((stage, arm), []).extend(specs)
    return cells


def start_detached(request: Request, settings: Settings) -> Path:
    """Start a driver that outlives this terminal; return its log file."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    log = settings.root / ".repro" / "drivers" / f"{stamp}-{request.papers[0]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        subprocess.Popen(
            [sys.executable, "-m", "repro.pipeline.submit", _as_text(request, settings)],
            cwd=settings.root, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    return log


def _as_text(request: Request, settings: Settings) -> str:
    return json.dumps({"request": asdict(request), "root": str(settings.root),
                       "flags": settings.flags()})


def run_text(text: str) -> int:
    """Submit what another process put into one argument; return the exit code."""
    asked = json.loads(text)
    try:
        request = Request(**{name: tuple(value) if isinstance(value, list) else value
                             for name, value in asked["request"].items()})
        return submit(request, load(asked["root"], **asked["flags"]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(run_text(sys.argv[1]))
