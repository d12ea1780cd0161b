"""Pre-training runs of all papers, each killed once at a random step: the same bytes at the end?

    python bench/kills.py [--kills 100] [--steps 48] [--out bench/results/kills.json]

The smoke profile with more steps, so that there is something to interrupt: arms and seeds in turn.
Each run is the body of a real job in a process of its own (repro/pipeline/forks.py): made once
undisturbed; then two side by side, each ended at a step drawn from its key, by SIGKILL or SIGTERM,
and resumed by another process. Compared: all files of the artefact, and the last checkpoint
(weights, optimiser, history). Drivers and schedulers are killed elsewhere: faults.py, `repro
verify`, tests/slurm.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path

from repro import settings
from repro.config.resolve import resolve
from repro.paper import Paper
from repro.pipeline import drill, machine, verify
from repro.pipeline.progress import Lines
from repro.pipeline.spec import RunSpec, expand_all

HERE = Path(__file__).resolve().parent
EVERY = 7  # updates between checkpoints: seldom at the step of the kill
MOST_SEEDS = 100


def training_runs(paper: Paper, steps: int) -> list[RunSpec]:
    """Return distinct pre-training runs of the smoke profile, seed by seed, of `steps` updates."""
    found = settings.load(paper.root)
    tree = resolve(paper, "smoke", numerics=found.numerics(paper.slug), epoch=found.suite.epoch,
                   seeds=found.suite.seeds).tree
    for stages in tree["arms"].values():
        if stages.get("pretrain", {}).get("config", {}).get("steps"):
            stages["pretrain"]["config"] |= {"steps": steps, "checkpoint_every": EVERY,
                                             "log_every": 1}
    runs = {}
    for seed in range(MOST_SEEDS):
        for (stage, _), specs in expand_all(paper, tree, "smoke", [seed]).items():
            if stage == "pretrain" and specs[0].config["steps"]:
                runs |= {spec.key: spec for spec in specs if killed_after(spec, steps)}
    return list(runs.values())


def killed_after(run: RunSpec, steps: int) -> int | None:
    """Return the update after which a run is ended; None if that were only after its last."""
    fraction, _ = verify.fault_of(run)
    return next((step for step in range(1, steps) if step >= fraction * steps), None)


def choose(papers: list[Paper], kills: int, steps: int) -> list[RunSpec]:
    """Return as many runs as kills, of the papers in turn."""
    in_turn = zip_longest(*(training_runs(paper, steps) for paper in papers))
    return list(islice((run for some in in_turn for run in some if run is not None), kills))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "kills.json")
    asked = parser.parse_args()
    started = time.perf_counter()
    papers = Paper.all(HERE.parent)
    runs = choose(papers, asked.kills, asked.steps)
    found = replace(settings.load(HERE.parent), workers=2)
    with tempfile.TemporaryDirectory(prefix="repro-kills-") as home:
        alone, disturbed = (
            verify.make(way, Path(home) / way.name, papers, runs, found, Lines())
            for way in (verify.ALONE, verify.DISTURBED))
    accounts = [{
        "run": run.label,
        "ended": disturbed[run.key]["ended"],
        "after_update": killed_after(run, asked.steps),
        "differs": verify.differences({run.key: alone[run.key]}, disturbed, "disturbed"),
    } for run in runs]
    wrong = [one for one in accounts if one["differs"] or one["ended"] is None]
    summary = {
        **machine.describe(),
        "kills": len(accounts),
        "identical": len(accounts) - len(wrong),
        "by_signal": {name: sum(one["ended"] == name for one in accounts)
                      for name in drill.SIGNALS},
        "updates": asked.steps,
        "checkpoint_every": EVERY,
        "updates_killed_after": len({one["after_update"] for one in accounts}),
        "by_arm": dict(sorted(Counter(one["run"].split()[0] for one in accounts).items())),
        "wrong": wrong,
        "seconds": round(time.perf_counter() - started, 1),
        "load": round(os.getloadavg()[0], 1),
        "all": accounts,
    }
    asked.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in summary.items() if name != "all"}, indent=1))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
