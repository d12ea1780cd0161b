"""Thousands of damaged files: settings, resolved trees, checkpoints, shards, stores, remotes.

    python bench/fuzz.py [--cases 200] [--seed 0] [--only gin] [--out bench/results/fuzz.json]

cases: of each target (tests/fuzz). Each must give what the sound file gave, or one line that names
the file: never a trace, never a silently different result.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "fuzz"))

import campaign  # noqa: E402


def run(cases: int, seed: int, only: str | None) -> dict[str, object]:
    """Return what came of all cases, by target."""
    began, rows, defects = time.perf_counter(), {}, []
    for name, make in campaign.MADE.items():
        if only not in (None, name):
            continue
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            for target in make(Path(folder)):
                start = time.perf_counter()
                found = campaign.run(target.begin(), cases, seed)
                defects += [f"{target.name}: {case}" for case in found if case.is_defect]
                outcomes = Counter("defect" if case.is_defect else case.outcome for case in found)
                rows[target.name] = {"cases": len(found), **dict(sorted(outcomes.items())),
                                     "seconds": round(time.perf_counter() - start, 1)}
                print(f"{target.name}: {rows[target.name]}", flush=True)
                for case in found:
                    if case.is_defect:
                        print(f"  {case}", flush=True)
    return {"cases": sum(row["cases"] for row in rows.values()), "seed": seed, "targets": rows,
            "defects": defects, "seconds": round(time.perf_counter() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(campaign.MADE))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = run(asked.cases, asked.seed, asked.only)
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return bool(found["defects"])


if __name__ == "__main__":
    raise SystemExit(main())
