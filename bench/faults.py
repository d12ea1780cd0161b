"""Random histories of a small DAG on a cluster where everything fails, compared byte by byte.

    python bench/faults.py [--schedules 200] [--workers 1] [--out bench/results/faults.json]

Each schedule is a number: preemptions, lost nodes, killed drivers, a silent controller and the rest
(tests/pipeline/fault_schedules.py) befall real processes on real files in simulated time. At the
end the artefacts must be those of the undisturbed history, every run done, none done twice.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "pipeline"))

from fault_schedules import Bench, History  # noqa: E402


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all it has started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def histories(numbers: Sequence[int | None]) -> list[History]:
    """Return how schedules went, without their logs; in a process and folder of their own."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        bench = Bench(Path(folder))
        return [replace(bench.history(number), log=[]) for number in numbers]


def run(schedules: int, workers: int) -> dict[str, object]:
    """Return what came of all schedules."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    parts = [[None, *range(first, schedules, workers)] for first in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        found = [part for part in pool.map(histories, parts)]
    undisturbed = found[0][0]
    met = [history for part in found for history in part[1:]]
    for history in sorted(met, key=lambda one: one.number):
        if history.wrong or history.bytes != undisturbed.bytes:
            print(f"schedule {history.number}: {history.wrong or 'other bytes'}", flush=True)
    return {
        "schedules": schedules,
        "runs_each": len(undisturbed.bytes),
        "identical": sum(one.bytes == undisturbed.bytes for one in met),
        "lost": sum("lost" in one.bytes.values() for one in met),
        "promises_broken": sum(bool(one.wrong) for one in met),
        "faults": dict(sorted(Counter(kind for one in met for kind in one.met).items())),
        "killed_or_full_at_a_step": sum(": kill at" in line or ": full at" in line
                                        for one in met for line in one.faults),
        "processes": sum(one.starts for one in met),
        "drivers": sum(one.drivers for one in met),
        "simulated_hours": round(sum(one.seconds for one in met) / 3600, 1),
        "workers": workers,
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(cpu_seconds() - cpu, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "faults.json")
    asked = parser.parse_args()
    found = run(asked.schedules, asked.workers)
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return int(found["identical"] != asked.schedules or bool(found["promises_broken"]))


if __name__ == "__main__":
    sys.exit(main())
