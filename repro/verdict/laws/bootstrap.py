"""Percentile intervals of a law's quantities, by drawing the runs anew with replacement."""

from collections.abc import Callable

import numpy as np

from repro.verdict.laws.names import NoFit
from repro.verdict.laws.points import Points

MOST_FAILURES = 0.2


def intervals(
    points: Points,
    fit: Callable[[Points], dict[str, float]],
    *,
    draws: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return quantity -> (low, high) over refits to resampled runs.

    It describes how far a fit hangs on single runs of one seed; claims are decided by the interval
    over seeds. Samples that do not determine the law are drawn anew; raises NoFit when more than a
    fifth do not.
    """
    generator = np.random.default_rng(seed)
    found: list[dict[str, float]] = []
    for _ in range(int(draws / (1 - MOST_FAILURES))):
        try:
            found.append(fit(points.taken(generator.integers(len(points), size=len(points)))))
        except NoFit:
            continue
        if len(found) == draws:
            break
    if len(found) < draws:
        raise NoFit(f"only {len(found)} of {draws} samples of the runs determine the law")
    outside = 100 * (1 - confidence) / 2
    return {name: tuple(np.percentile([one[name] for one in found], (outside, 100 - outside)))
            for name in found[0]}
