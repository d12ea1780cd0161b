"""The environment of a job: what numerics need must be there before Python starts."""

import os
from pathlib import Path

from repro.train.determinism import NUMERICS_ENV, THREADS

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def variables(
    numerics: str | None, cpus: int, root: Path | str, assets: Path | None
) -> dict[str, str | None]:
    """Return what a job must find in its environment; None = not set."""
    found = _pins(numerics)
    found |= {"RAYON_NUM_THREADS": str(cpus), "PYTHONHASHSEED": "0"}
    found["PYTHONPATH"] = os.pathsep.join(
        part for part in (str(root), os.environ.get("PYTHONPATH", "")) if part
    )
    if assets is not None:
        found["REPRO_ASSETS"] = str(assets)
    return found


def pinned(numerics: str | None) -> dict[str, str]:
    """Return the environment of this process with a job's numerics and threads."""
    return merged(_pins(numerics))


def merged(changes: dict[str, str | None]) -> dict[str, str]:
    """Return the environment of this process with changes; None = not set."""
    kept = {name: value for name, value in os.environ.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


def _pins(numerics: str | None) -> dict[str, str | None]:
    found: dict[str, str | None] = {
        name: None for known in NUMERICS_ENV.values() for name in known
    }
    found |= NUMERICS_ENV[numerics] if numerics else {}
    return found | dict.fromkeys(_THREAD_VARIABLES, str(THREADS))
