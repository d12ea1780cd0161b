"""A fault on purpose: a run that ends itself once, at a given point, to show that it resumes."""

import os
import signal
from collections.abc import Callable
from typing import Any

from repro.pipeline.store import Entry

SIGNALS = ("SIGKILL", "SIGTERM")


def plan(entry: Entry, fraction: float, name: str) -> None:
    """Make the next start of a run send itself a signal when it has done this share of its steps
    (0 to 1). It happens once: the start after that is left alone."""
    if name not in SIGNALS or not 0 <= fraction < 1:
        raise ValueError(f"{name} at {fraction}: expected one of {SIGNALS}, a fraction below 1")
    entry.dir.mkdir(parents=True, exist_ok=True)
    entry.write("drill", {"fraction": fraction, "signal": name})


def carried_out(entry: Entry, report: Callable[..., None]) -> Callable[..., None]:
    """Return `report`, which also carries out what was planned for the run, if anything was."""
    planned = entry.read("drill")
    if planned is None:
        return report
    number = getattr(signal, planned["signal"])

    def reporting(*, step: int, total: int, **values: Any) -> None:
        report(step=step, total=total, **values)
        if planned and planned["fraction"] * total <= step < total:
            planned.clear()
            entry.clear("drill")
            os.kill(os.getpid(), number)

    return reporting
