"""`repro submit --local`: the whole DAG of one or more papers on all workers, ahead of DVC.

DVC runs one stage at a time; this fills every worker. A later `dvc repro` only links and records.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from repro.errors import UserError
from repro.paper import Paper
from repro.pipeline.progress import Display, choose
from repro.pipeline.spec import RunSpec, expand_all
from repro.pipeline.stage import drive, load_tree
from repro.pipeline.store import Store
from repro.settings import Settings, load


def submit_local(
    papers: Sequence[Paper],
    profile: str | None,
    settings: Settings,
    detach: bool = False,
    display: Display | None = None,
    arms: Sequence[str] = (),
) -> int:
    """Finish every run of some papers; runs they share are made once. Return the exit code.

    profile: None = those of params.yaml. arms: only these and what they read; none = all. detach:
    start a driver of its own session, say where it logs, return 0 at once.
    """
    display = display or choose(settings.log_level)
    profiles = settings.suite.profiles if profile is None else [profile]
    cells: dict[tuple[str, str], list[RunSpec]] = {}
    for paper in papers:
        for one in profiles:
            tree = load_tree(paper, one)
            for arm in arms:
                paper.arm(arm, one)
            found = expand_all(paper, tree, one, settings.suite.seeds, settings.suite.epoch)
            for (stage, arm), specs in found.items():
                if not arms or arm in arms:
                    cells.setdefault((stage, arm), []).extend(specs)
    if detach:
        log = start_detached([paper.slug for paper in papers], profile, settings, arms)
        display.say(f"driver started; it logs to {log}; see `repro status`")
        return 0
    specs = [spec for runs in cells.values() for spec in runs]
    return drive(specs, cells, papers, settings, Store(settings.store), display).exit_code


def start_detached(
    slugs: list[str], profile: str | None, settings: Settings, arms: Sequence[str] = ()
) -> Path:
    """Start a driver that outlives this terminal; return its log file."""
    log = settings.root / ".repro" / "drivers" / f"{time.strftime('%Y%m%d-%H%M%S')}-{slugs[0]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = {"executor": settings.executor, "workers": settings.workers,
             "store": str(settings.store), "assets": str(settings.assets),
             "log_level": settings.log_level}
    asked = json.dumps({"papers": slugs, "profile": profile, "root": str(settings.root),
                        "flags": flags, "arms": list(arms)})
    with open(log, "ab") as file:
        subprocess.Popen(
            [sys.executable, "-m", "repro.pipeline.submit", asked], cwd=settings.root,
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    return log


def main() -> int:
    """Body of the detached driver: one JSON argument."""
    asked = json.loads(sys.argv[1])
    try:
        settings = load(asked["root"], **asked["flags"])
        papers = [Paper.find(slug, settings.root) for slug in asked["papers"]]
        return submit_local(papers, asked["profile"], settings, arms=asked["arms"])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
