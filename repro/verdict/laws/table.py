"""The laws' fits under the names of `repro.verdict.laws.names`: points -> quantities."""

from collections.abc import Callable

import numpy as np

from repro.verdict.laws import additive, allocation, power, steps
from repro.verdict.laws.points import Points

Quantities = dict[str, float]


QUICK = 1  # of the starts, for the many refits of a bootstrap


def quantities(
    law: str, points: Points, held_out: Points | None = None, *, quick: bool = False
) -> Quantities:
    """Return the quantities of a law fitted to the points. quick: with less search.

    Raises NoFit where the points do not determine the law.
    """
    refined = QUICK if quick else additive.REFINED
    if law == "additive":
        return _additive(points, refined)
    if law == "prediction":
        return _prediction(points, held_out, refined)
    return _FITS[law](points)


def _power(points: Points) -> Quantities:
    found = power.fit(points.column(0), points.values_R)
    return {"exponent": found.exponent, "r2": found.r2}


def _frontier(points: Points) -> Quantities:
    found = allocation.frontier(*points.columns, points.values_R)
    return {"exponent": found.exponent, "r2": found.r2}


def _additive(points: Points, refined: int) -> Quantities:
    found = additive.fit(*points.columns, points.values_R, refined=refined)
    return {"floor": found.floor, "size_exponent": found.size_exponent,
            "token_exponent": found.token_exponent, "allocation": found.allocation}


def _prediction(points: Points, held_out: Points, refined: int) -> Quantities:
    law = additive.fit(*points.columns, points.values_R, refined=refined)
    found_R = law.predict(*held_out.columns)
    return {"relative_error": float(np.mean(np.abs(found_R / held_out.values_R - 1)))}


def _isoflop(points: Points) -> Quantities:
    found = allocation.isoflop(*points.columns, points.values_R)
    return {"allocation": found.allocation, "tokens_per_parameter": found.tokens_per_parameter}


def _steps(points: Points) -> Quantities:
    return {"largest_share": steps.largest_share(points.column(0), points.values_R)}


_FITS: dict[str, Callable[[Points], Quantities]] = {
    "power": _power,
    "frontier": _frontier,
    "isoflop": _isoflop,
    "steps": _steps,
}
