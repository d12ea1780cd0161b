"""How a compute C = 6 N D is best spent on size and tokens, read off runs without a formula for the
loss. R runs.

Source: Hoffmann et al. 2022, sections 3.1 (envelope) and 3.2 (IsoFLOP profiles).
"""

from dataclasses import dataclass

import numpy as np

from repro.verdict.laws import power
from repro.verdict.laws.names import NoFit
from repro.verdict.laws.points import positive

SAME = 0.03  # compute that differs by less is one budget
LEAST_SIZES, LEAST_BUDGETS = 3, 2


@dataclass(frozen=True)
class Allocation:
    """allocation: exponent a of N ~ C^a; tokens_per_parameter: at the optimum of the largest
    budget; optima: (C, N) of every budget whose optimum lies between its sizes."""

    allocation: float
    tokens_per_parameter: float
    optima: tuple[tuple[float, float], ...]


def isoflop(sizes_R: np.ndarray, tokens_R: np.ndarray, losses_R: np.ndarray) -> Allocation:
    """Return where parabolas of the loss over log N have their lowest point, budget by budget.

    Budgets of three sizes and more count. One whose runs bend downwards, or whose lowest point lies
    outside its sizes, says nothing of the optimum and is left out.
    Raises NoFit when fewer than two budgets remain.
    """
    positive(sizes=sizes_R, tokens=tokens_R)
    optima = []
    for chosen_R in budgets(sizes_R, tokens_R):
        log_n = np.log(sizes_R[chosen_R])
        if len(np.unique(log_n)) < LEAST_SIZES:
            continue
        middle = log_n.mean()
        bend, tilt, _ = np.polyfit(log_n - middle, losses_R[chosen_R], 2)
        lowest = middle - tilt / (2 * bend) if bend > 0 else np.inf
        if log_n.min() <= lowest <= log_n.max():
            compute = 6 * float((sizes_R * tokens_R)[chosen_R].mean())
            optima.append((compute, float(np.exp(lowest))))
    if len(optima) < LEAST_BUDGETS:
        raise NoFit(f"{len(optima)} budgets have their optimum between the sizes trained, "
                    f"{LEAST_BUDGETS} are needed")
    compute, size = np.array(optima).T
    slope = float(np.polyfit(np.log(compute), np.log(size), 1)[0])
    return Allocation(slope, float(compute[-1] / 6 / size[-1] ** 2), tuple(optima))


def budgets(sizes_R: np.ndarray, tokens_R: np.ndarray) -> list[np.ndarray]:
    """Return the places of the runs of each budget, cheapest first."""
    log_c_R = np.log(sizes_R * tokens_R)
    order = np.argsort(log_c_R, kind="stable")
    cuts = np.flatnonzero(np.diff(log_c_R[order]) > SAME) + 1
    return np.split(order, cuts)


def frontier(
    sizes_R: np.ndarray, tokens_R: np.ndarray, losses_R: np.ndarray
) -> power.PowerLaw:
    """Return the power law of the loss in compute, over the runs that no cheaper run beats.

    Runs of one budget count as equally cheap: its best one stands for it.
    """
    positive(sizes=sizes_R, tokens=tokens_R, losses=losses_R)
    compute, best = [], []
    for chosen_R in budgets(sizes_R, tokens_R):
        loss = float(losses_R[chosen_R].min())
        if not best or loss < best[-1]:
            compute.append(6 * float((sizes_R * tokens_R)[chosen_R].mean()))
            best.append(loss)
    return power.fit(np.array(compute), np.array(best))
