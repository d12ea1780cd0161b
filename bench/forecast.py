"""How far a calibration of seconds is from what whole runs then took, in core-seconds.

    python bench/forecast.py tiny_lm [STORE]

For each arm: what `repro cost PAPER --calibrate 2` says of its pre-training (a few updates of each
shape, on this machine), and what its runs recorded, in a store or in results/mini.cost.json. Writes
bench/results/forecast.json.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from repro.paper import Paper
from repro.pipeline.store import Store
from repro.report import cost

ROOT = Path(__file__).parents[1]
SECONDS = "2"


def recorded(paper: Paper, store: Path | None) -> dict[str, list[float]]:
    """Return arm -> core-seconds of its pre-training runs, or their mean where only git has it."""
    found: dict[str, list[float]] = {}
    if store is None:
        cells = (cost.load(paper, "mini") or {"stages": {}})["stages"].get("pretrain", {})
        return {arm: [cell["core_seconds"]] * cell["runs"] for arm, cell in cells.items()
                if cell["tokens"] and cell.get("core_seconds")}
    for entry in Store(store).entries():
        run = entry.read("run") if entry.is_done else None
        start = f"{paper.slug}/pretrain@mini-"
        if run and run.get("tokens") and run["label"].startswith(start) and "core_seconds" in run:
            arm = run["label"].removeprefix(start).partition(" ")[0]
            found.setdefault(arm, []).append(run["core_seconds"])
    return found


def forecast(slug: str) -> dict[str, list[float]]:
    """Return arm -> [low, high] seconds of a run, by a calibration and no finished run."""
    with tempfile.TemporaryDirectory() as nothing:
        command = ["repro", "cost", slug, "--profile", "mini", "--calibrate", SECONDS, "--json"]
        done = subprocess.run(
            [sys.executable, "-c", "from repro.cli import main; main()", *command[1:]], cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "REPRO_STORE": f"{nothing}/store"}, text=True,
            stdout=subprocess.PIPE, check=True)
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}
    return {row["arm"]: row["seconds_a_run"] for row in stages["pretrain"]["arms"]
            if row["from"].startswith("calibration")}


def main() -> None:
    paper = Paper.find(sys.argv[1], ROOT)
    taken = recorded(paper, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    said = forecast(paper.slug)
    rows, sums = [], [0.0, 0.0]
    for arm in sorted(taken.keys() & said.keys()):
        mean, middle = math.fsum(taken[arm]) / len(taken[arm]), sum(said[arm]) / 2
        sums = [sums[0] + middle * len(taken[arm]), sums[1] + math.fsum(taken[arm])]
        rows.append({"arm": arm, "runs": len(taken[arm]), "forecast": said[arm],
                     "recorded": [round(side, 1) for side in (min(taken[arm]), max(taken[arm]))],
                     "mean": round(mean, 1), "error": round(middle / mean - 1, 3)})
    found = {"paper": paper.slug, "unit": "core-seconds a run", "arms": rows,
             "runs": sum(row["runs"] for row in rows), "recorded": round(sums[1], 1),
             "forecast": round(sums[0], 1), "error": round(sums[0] / sums[1] - 1, 3)}
    target = ROOT / "bench" / "results" / "forecast.json"
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
