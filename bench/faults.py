"""Random histories of a small DAG on a cluster where everything fails, compared byte by byte.

    python bench/faults.py [--schedules 200] [--out bench/results/faults.json]

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
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "pipeline"))

from fault_schedules import Bench, History  # noqa: E402


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all it has started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(schedules: int, folder: Path) -> dict[str, object]:
    """Return what came of all schedules."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    bench = Bench(folder)
    undisturbed = bench.history(None)
    histories: list[History] = []
    for number in range(schedules):
        history = bench.history(number)
        histories.append(history)
        if history.wrong or history.bytes != undisturbed.bytes:
            print(f"schedule {number}: {history.wrong or 'other bytes'}", flush=True)
    return {
        "schedules": schedules,
        "runs_each": len(undisturbed.bytes),
        "identical": sum(one.bytes == undisturbed.bytes for one in histories),
        "lost": sum("lost" in one.bytes.values() for one in histories),
        "promises_broken": sum(bool(one.wrong) for one in histories),
        "faults": dict(sorted(Counter(kind for one in histories for kind in one.met).items())),
        "killed_or_full_at_a_step": sum(": kill at" in line or ": full at" in line
                                        for one in histories for line in one.faults),
        "processes": sum(one.starts for one in histories),
        "drivers": sum(one.drivers for one in histories),
        "simulated_hours": round(sum(one.seconds for one in histories) / 3600, 1),
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(cpu_seconds() - cpu, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "faults.json")
    asked = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        found = run(asked.schedules, Path(folder))
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return int(found["identical"] != asked.schedules or bool(found["promises_broken"]))


if __name__ == "__main__":
    sys.exit(main())
