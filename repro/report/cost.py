"""What a profile's runs cost: time, energy, memory, tokens, FLOPs, measured latencies.

These are not functions of the runs' keys, so they live in `results/<profile>.cost.json` alone,
outside DVC.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.paper import Paper, iterate_cells
from repro.pipeline import files, records
from repro.pipeline.store import MANIFEST, Entry

Run = dict[str, Any]


def path_of(paper: Paper, profile: str) -> Path:
    return paper.dir / "results" / f"{profile}.cost.json"


def runs_of(paper: Paper, profile: str, store: Path) -> list[Run]:
    """Return run.json of every run linked under out/<profile>/ that the store holds and ran itself,
    each with `stage` and `arm` added. A run that several arms share is there once per arm. Raises
    UserError for a damaged record."""
    found = []
    for stage, arm in iterate_cells(paper, profile):
        for key in _keys(paper.dir / "out" / profile / arm / stage):
            run = Entry(store, key).read("run") or {}
            if "seconds" in run:
                found.append({**run, "stage": stage, "arm": arm})
    return found


def _keys(folder: Path) -> Iterator[str]:
    for path in sorted([folder / MANIFEST, *folder.glob(f"seed*/{MANIFEST}")]):
        if (manifest := files.read_json(path)) is not None:
            yield records.check_fields({"key": records.KEY}, manifest, path)["key"]


def gather(runs: list[Run]) -> dict[str, Any]:
    """Return the cost by stage and arm.

    runs: contents of run.json with `stage` and `arm`. Of a stage of an arm seconds, core_seconds,
    gpu_seconds, joules, tokens and flops: mean per run; peak_mb: the largest; measured: means of
    numeric measurements. Totals count a shared run once. None = not recorded by every run.
    energy: joules and by which methods they are known.
    """
    stages: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        stages.setdefault(run["stage"], {}).setdefault(run["arm"], []).append(run)
    unique = list({run["key"]: run for run in runs}.values())
    return {
        "machines": sorted({run[part] for run in runs for part in ("cpu", "gpu") if run.get(part)}),
        "runs": len(unique),
        "total_seconds": round(math.fsum(run.get("seconds", 0) for run in unique), 1),
        "core_seconds": _rounded(_total([run.get("core_seconds") for run in unique]), 1),
        "gpu_seconds": _rounded(_total([run.get("gpu_seconds") for run in unique]), 1),
        "energy": {"joules": _rounded(_total(list(map(_joules, unique))), 1),
                   "methods": sorted({method for run in unique for method in _methods(run)})},
        "peak_mb": max((r.get("peak_memory_mb", 0) for r in runs), default=0),
        "stages": {stage: {arm: _cell(group) for arm, group in arms.items()}
                   for stage, arms in stages.items()},
    }


def _cell(runs: list[Run]) -> dict[str, Any]:
    measured: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _flat(run.get("measurements") or {}):
            measured.setdefault(name, []).append(value)
    return {
        "runs": len(runs),
        "seconds": round(_mean([run.get("seconds", 0) for run in runs]), 2),
        "core_seconds": _mean_of([run.get("core_seconds") for run in runs]),
        "gpu_seconds": _mean_of([run.get("gpu_seconds") for run in runs]),
        "joules": _mean_of(list(map(_joules, runs))),
        "peak_mb": max(run.get("peak_memory_mb", 0) for run in runs),
        "tokens": round(_mean([run.get("tokens", 0) for run in runs])),
        "flops": round(_mean([run.get("flops", 0) for run in runs])),
        "measured": {name: float(f"{_mean(v):.4g}") for name, v in sorted(measured.items())},
    }


def _joules(run: Run) -> float | None:
    return run.get("energy", {}).get("joules")


def _methods(run: Run) -> Iterator[str]:
    for part, found in run.get("energy", {}).items():
        if isinstance(found, dict):
            yield f"{part}: {found['method']}"


def _total(values: list[float | None]) -> float | None:
    return None if None in values else math.fsum(values)


def _mean_of(values: list[float | None]) -> float | None:
    total = _total(values)
    return None if total is None else round(total / len(values), 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def write(paper: Paper, profile: str, runs: list[Run]) -> Path | None:
    """Write cost.json; return its path, or None (and leave a former one) if there are no runs."""
    if not runs:
        return None
    path = path_of(paper, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(gather(runs), indent=1) + "\n", encoding="utf-8")
    return path


def load(paper: Paper, profile: str) -> dict[str, Any] | None:
    """Return the written cost of a profile, None if there is none."""
    path = path_of(paper, profile)
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from error


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _flat(measured: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in measured.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)
