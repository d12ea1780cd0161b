"""Latency of encoders, one example at a time. Milliseconds: a measurement, never a row."""

import statistics
import time
from collections.abc import Callable, Sequence

from repro.errors import UserError

WARM_UP = 5


def probe(calls: Sequence[Callable[[], object]], *, repeats: int = 30) -> dict[str, float]:
    """Return the median milliseconds of calling every member in turn, and of one member.

    calls: one per member, each a forward pass on one example. After WARM_UP rounds, each of
    `repeats` rounds calls the members interleaved. "latency_ms_sequential": the members one after
    the other; "latency_ms_member": the slowest member alone, what a committee that runs in parallel
    would need.
    Raises UserError without a member or a repeat.
    """
    if not calls or repeats < 1:
        raise UserError(f"latency: {len(calls)} members, {repeats} repeats; expected at least 1")
    rounds = [[_milliseconds(call) for call in calls] for _ in range(WARM_UP + repeats)][WARM_UP:]
    members = [statistics.median(times) for times in zip(*rounds, strict=True)]
    return {
        "latency_ms_sequential": statistics.median(sum(times) for times in rounds),
        "latency_ms_member": max(members),
    }


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)
