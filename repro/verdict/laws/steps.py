"""How suddenly a score changes along a ladder. R runs."""

import numpy as np

from repro.verdict.laws.names import NoFit

LEAST = 3


def largest_share(x_R: np.ndarray, y_R: np.ndarray) -> float:
    """Return which share of the change from the smallest x to the largest one step makes: 1 is a
    jump, 1 / (R - 1) an even climb.

    Steps against the direction of the whole change count as negative, so the share may exceed 1.
    Raises NoFit for fewer than three different x, and where the ends do not differ.
    """
    order = np.argsort(x_R, kind="stable")
    if len(np.unique(x_R)) < LEAST or len(np.unique(x_R)) < len(x_R):
        raise NoFit(f"steps need {LEAST} or more runs with different x")
    change = np.diff(np.asarray(y_R, dtype=float)[order])
    total = change.sum()
    if total == 0:
        raise NoFit("the score is the same at both ends of the ladder")
    return float((change / total).max())
