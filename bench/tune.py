"""Which value of a setting is best for each arm: the same grid for all, on a seed that no result
uses. Judged by the mean dev score over the tasks where the paper fine-tunes, else by one
measurement of its eval stage. Written to papers/<slug>/tuning.jsonl.

    python bench/tune.py electra --values 1e-3 3e-3
    python bench/tune.py sltrain --arms full lowrank --judge held_out nll
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from repro.config.resolve import resolve
from repro.context import RunContext
from repro.paper import Paper
from repro.train.determinism import NUMERICS_ENV

SEED = 100
DEV_EXAMPLES = 1000  # more than the paper's own: nothing is trained on them
ROOT = Path(__file__).resolve().parents[1]


def trial(slug: str, arm: str, setting: str, value: str, judge: list[str], work: Path) -> None:
    """Make the stages of one arm with one value; leave row.json in `work`."""
    from repro.config.build import build
    from repro.train import determinism

    determinism.configure("portable")
    paper = Paper.find(slug, ROOT)
    bindings = [f"{arm}/{setting} = {value}"]
    if "finetune" in paper.stages:
        bindings.append(f"finetuning.finetune.dev_examples = {DEV_EXAMPLES}")
    stages = resolve(paper, "mini", overrides=bindings).tree["arms"][arm]
    data = paper.dir / "out" / "mini" / str(paper.provider(arm, "data")) / "data"
    inputs = {"data": [data]}
    made = [stage for stage in ("pretrain", "finetune", "eval") if stage in stages]
    for stage in made[: made.index("finetune") + 1] if "finetune" in made else made:
        out = work / stage
        out.mkdir(parents=True, exist_ok=True)
        build(stages[stage]["config"], ROOT)(
            RunContext(stage, arm, SEED, out, work / f"{stage}.checkpoints", inputs=inputs)
        )
        inputs = {"data": [data], stage: [out]}
    row = {"arm": arm, "setting": setting, "value": float(value), "seed": SEED,
           "steps": stages["pretrain"]["config"].get("steps")}
    row |= _dev_scores(work) if "finetune" in made else _measured(work, *judge)
    (work / "row.json").write_text(json.dumps(row), encoding="utf-8")


def _dev_scores(work: Path) -> dict:
    tasks = json.loads((work / "finetune" / "tasks.json").read_text("utf-8"))
    dev = {name: info["dev"] for name, info in tasks.items()}
    return {"dev": dev, "mean": sum(dev.values()) / len(dev)}


def _measured(work: Path, task: str, metric: str) -> dict:
    lines = (work / "eval" / "rows.jsonl").read_text("utf-8").splitlines()
    rows = {(row["task"], row["metric"]): row["value"] for row in map(json.loads, lines)}
    return {"task": task, "metric": metric, "measured": rows[task, metric]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paper")
    parser.add_argument("--setting", default="optimizers.adamw.lr")
    parser.add_argument("--values", nargs="+", default=["1e-3", "3e-3"])
    parser.add_argument("--arms", nargs="+", help="default: those that pre-train with steps")
    parser.add_argument("--judge", nargs=2, metavar=("TASK", "METRIC"), default=[],
                        help="the measurement that judges a paper without fine-tuning")
    parser.add_argument("--work", type=Path, default=ROOT / ".repro" / "tune")
    parser.add_argument("--trial", nargs=2, metavar=("ARM", "VALUE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.trial:
        arm, value = asked.trial
        trial(asked.paper, arm, asked.setting, value, asked.judge,
              asked.work / f"{arm}-{value}")
        return
    paper = Paper.find(asked.paper, ROOT)
    stages = resolve(paper, "mini").tree["arms"]
    arms = asked.arms or [arm for arm in paper.arms_of("mini")
                          if stages[arm].get("pretrain", {}).get("config", {}).get("steps")]

    def run(arm: str, value: str) -> dict:
        folder = asked.work / f"{arm}-{value}"
        if not (folder / "row.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run(
                [sys.executable, __file__, asked.paper, "--setting", asked.setting,
                 *(["--judge", *asked.judge] if asked.judge else []),
                 "--work", str(asked.work), "--trial", arm, value],
                env=os.environ | NUMERICS_ENV["portable"] | {"OMP_NUM_THREADS": "1"}, check=True)
        return json.loads((folder / "row.json").read_text("utf-8"))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(lambda pair: run(*pair), product(arms, asked.values)))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (paper.dir / "tuning.jsonl").write_text(lines, encoding="utf-8")
    print(lines, end="")


if __name__ == "__main__":
    main()
