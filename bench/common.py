"""What measurements share: fresh processes, repetitions in turn, ratios, the machine, results."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
CLI = ("-c", "from repro.cli import main; main()")  # the `repro` of this checkout
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def machine() -> dict[str, Any]:
    """Return what numbers depend on: processor, cores, memory in GiB, load now, versions."""
    from repro.pipeline.machine import describe

    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": describe()["cpu"], "features": describe()["features"], "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30), "load": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in
                     ("torch", "transformers", "accelerate", "datasets", "tokenizers", "dvc")},
    }


def environment(
    threads: int = 1, numerics: str | None = None, **others: str
) -> dict[str, str]:
    """Return the environment of a child. numerics: pins of ours; None = nothing is pinned."""
    from repro.train.determinism import NUMERICS_ENV

    pins = {name for known in NUMERICS_ENV.values() for name in known}
    kept = {name: value for name, value in os.environ.items() if name not in pins}
    kept |= dict.fromkeys(_THREADS, str(threads)) | NUMERICS_ENV.get(numerics or "", {})
    kept |= {"HF_HUB_OFFLINE": "1", "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(ROOT)}
    return kept | others


def timed(
    words: Sequence[str | Path], env: Mapping[str, str], cwd: Path = ROOT
) -> tuple[str, dict[str, float]]:
    """Run a program; return what it prints and {seconds, cpu_seconds, peak_mib}, those of the
    programs it waited for included in all but the last. Ends this one if it fails."""
    began = time.perf_counter()
    child = subprocess.Popen([str(word) for word in words], env=dict(env), cwd=cwd, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: exit {child.returncode}\n{said[-3000:]}")
    return said, {"seconds": round(seconds, 3), "peak_mib": round(usage.ru_maxrss / 1024, 1),
                  "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3)}


def worker(script: str, env: Mapping[str, str], **asked: Any) -> dict[str, Any]:
    """Return what `answer` of a script prints in a process of its own."""
    said, _ = timed([sys.executable, script, "--worker", json.dumps(asked)], env)
    return json.loads(next(line for line in reversed(said.splitlines()) if line.startswith("{")))


def answer(work: Callable[..., dict[str, Any]]) -> bool:
    """In a worker: print what it is asked for; return whether this is one."""
    if len(sys.argv) != 3 or sys.argv[1] != "--worker":
        return False
    print(json.dumps(work(**json.loads(sys.argv[2]))))
    return True


def in_turn(
    names: Iterable[str], repetitions: int, measure: Callable[[str], dict[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
    """Return name -> what was measured, once a repetition. Each repetition measures all in turn,
    so that a busy machine slows all alike, and every second one backwards."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for repetition in range(repetitions):
        order = list(found) if repetition % 2 == 0 else list(reversed(found))
        for name in order:
            found[name].append(measure(name))
            print(f"{repetition + 1}/{repetitions} {name}: {found[name][-1]}", flush=True)
    return found


def compared(
    ours: list[dict[str, float]], theirs: list[dict[str, float]], unit: str
) -> dict[str, float]:
    """Return the medians of both, and the median, least and most of ours over theirs, where each
    repetition gives one ratio."""
    ratios = [a[unit] / b[unit] for a, b in zip(ours, theirs, strict=True)]
    return {"ours": statistics.median(one[unit] for one in ours),
            "peer": statistics.median(one[unit] for one in theirs),
            "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def write(name: str, found: dict[str, Any]) -> None:
    """Write results/<name>.json and say so."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(ROOT)}; `python bench/report.py` renders it")
