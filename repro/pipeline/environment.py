"""The environment of a job: what numerics need must be there before Python starts."""

import os
from pathlib import Path

from repro.pipeline.jobs import Pack
from repro.train.determinism import NUMERICS_ENV, THREADS

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def variables(pack: Pack, assets: Path | None) -> dict[str, str | None]:
    """Return what a job must find in its environment; None = not set."""
    found: dict[str, str | None] = {
        name: None for pinned in NUMERICS_ENV.values() for name in pinned
    }
    found |= NUMERICS_ENV[pack.numerics] if pack.numerics else {}
    found |= dict.fromkeys(_THREAD_VARIABLES, str(THREADS))
    found |= {"RAYON_NUM_THREADS": str(pack.need.cpus), "PYTHONHASHSEED": "0"}
    found["PYTHONPATH"] = os.pathsep.join(
        part for part in (pack.root, os.environ.get("PYTHONPATH", "")) if part
    )
    if assets is not None:
        found["REPRO_ASSETS"] = str(assets)
    return found
