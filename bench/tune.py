"""Which value of a setting is best for each arm: the same grid for all, on a seed that no result
uses. Judged by the mean dev score over the tasks where the paper fine-tunes, else by one
measurement of its eval stage. Written to papers/<slug>/tuning.jsonl.

    python bench/tune.py electra --values 1e-3 3e-3
    python bench/tune.py sltrain --arms full lowrank --judge held_out nll
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from filelock import FileLock

from repro import settings
from repro.config.build import build
from repro.config.resolve import resolve
from repro.config.resolved import canonical
from repro.context import RunContext
from repro.paper import Paper
from repro.phases import EVAL, trains
from repro.pipeline import arithmetic
from repro.pipeline.environment import pinned

SEED = 100
DEV_EXAMPLES = 1000  # more than the paper's own: nothing is trained on them
ROOT = Path(__file__).resolve().parents[1]


def trial(slug: str, arm: str, setting: str, value: str, judge: list[str], work: Path) -> dict:
    """Make the stages of one arm with one value; return what is said of it."""
    arithmetic.configure(settings.load(ROOT).numerics(slug))
    paper = Paper.find(slug, ROOT)
    bindings = [f"{arm}/{setting} = {value}"]
    if paper.stages.get("finetune") == "repro.evaluate.finetuning.finetune":
        bindings.append(f"finetuning.finetune.dev_examples = {DEV_EXAMPLES}")
    arms = resolve(paper, "mini", overrides=bindings).tree["arms"]
    stages = [stage for stage in paper.stages if (trains(stage) or stage == EVAL)
              and paper.provider(arm, stage)]
    if not judge:
        stages.remove("eval")
    earlier: dict[str, list[Path]] = {}
    for stage in stages:
        maker = arm if stage in arms[arm] else str(paper.provider(arm, stage))
        source = paper.provider(maker, "data")
        data = paper.dir / "out" / "mini" / str(source) / "data"
        out = _made(paper, stage, maker, arms[maker][stage]["config"],
                    {"data": [data], **earlier}, work)
        earlier = {stage: [out]}
    tuned = "pretrain" if paper.provider(arm, "pretrain") else "finetune"
    row = {"arm": arm, "setting": setting, "value": float(value), "seed": SEED,
           "steps": arms[str(paper.provider(arm, tuned))][tuned]["config"]["steps"]}
    return row | (_measured(out, *judge) if judge else _dev_scores(out))


def _made(paper: Paper, stage: str, arm: str, config: dict, inputs: dict, work: Path) -> Path:
    """Return the artefact of a stage; trials that agree on it share it."""
    text = canonical([stage, config, {name: list(map(str, of)) for name, of in inputs.items()}])
    folder = work / hashlib.sha256(text.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "done").exists():
            (folder / "out").mkdir(exist_ok=True)
            build(config, ROOT)(RunContext(stage, arm, SEED, folder / "out",
                                           folder / "checkpoints", inputs=inputs))
            (folder / "done").touch()
    return folder / "out"


def _dev_scores(out: Path) -> dict:
    tasks = json.loads((out / "tasks.json").read_text("utf-8"))
    dev = {name: info["dev"] for name, info in tasks.items()}
    return {"dev": dev, "mean": sum(dev.values()) / len(dev)}


def _measured(out: Path, task: str, metric: str) -> dict:
    lines = (out / "rows.jsonl").read_text("utf-8").splitlines()
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
        row = trial(asked.paper, arm, asked.setting, value, asked.judge, asked.work)
        _note(asked, arm, value).write_text(json.dumps(row), encoding="utf-8")
        return
    paper = Paper.find(asked.paper, ROOT)
    stages = resolve(paper, "mini").tree["arms"]
    arms = asked.arms or [arm for arm in paper.arms_of("mini")
                          if stages[arm].get("pretrain", {}).get("config", {}).get("steps")]
    asked.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        new = list(pool.map(lambda pair: _run(asked, *pair), product(arms, asked.values)))
    path = paper.dir / "tuning.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    tried = {(row["arm"], row["setting"], row["value"]): row
             for row in [*map(json.loads, lines), *new]}
    text = "".join(json.dumps(row) + "\n" for _, row in sorted(tried.items()))
    path.write_text(text, encoding="utf-8")
    print(text, end="")


def _run(asked: argparse.Namespace, arm: str, value: str) -> dict:
    """Return the row of one trial, made in a process of its own unless it is there already."""
    note = _note(asked, arm, value)
    if not note.is_file():
        subprocess.run(
            [sys.executable, __file__, asked.paper, "--setting", asked.setting,
             *(["--judge", *asked.judge] if asked.judge else []),
             "--work", str(asked.work), "--trial", arm, value],
            env=pinned(settings.load(ROOT).numerics(asked.paper)), check=True)
    return json.loads(note.read_text("utf-8"))


def _note(asked: argparse.Namespace, arm: str, value: str) -> Path:
    return asked.work / f"{arm}-{asked.setting.replace('/', '-')}-{value}.json"


if __name__ == "__main__":
    main()
