"""Fits of a paper's laws to its rows: a quantity per seed, and its interval over the runs."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from repro.schema import Claim, Fit
from repro.verdict import statistics
from repro.verdict.laws.names import NoFit

DRAWS = 50
Value = Callable[[str, int, str, str], float]


def arms(fit: Fit) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*fit.points, *fit.held_out]))


def tasks(fit: Fit) -> tuple[str, ...]:
    groups = [*fit.points.values(), *fit.held_out.values()]
    return tuple(dict.fromkeys(task for group in groups for task in group))


def compared(
    claim: Claim, fits: dict[str, Fit], seeds: list[int], value: Value
) -> tuple[list[float], dict[str, Any]]:
    """Return the claim's quantity less its reference per seed, and both sides as a report holds
    them, with `over_runs`: the bootstrap interval of the quantity on the seeds' mean losses.

    value(arm, seed, task, metric): a row's value. Raises NoFit naming fit and seed.
    """
    method = _per_seed(claim.fit, fits[claim.fit], claim.quantity, seeds, value)
    name = f"{claim.fit}: {claim.quantity}"
    sides = {"method": _described(name, method)}
    if claim.baseline_fit:
        other = claim.baseline_fit
        baseline = _per_seed(other, fits[other], claim.quantity, seeds, value)
        sides["baseline"] = _described(f"{other}: {claim.quantity}", baseline)
    else:
        baseline = [claim.reference] * len(seeds)
        sides["baseline"] = _described("reference", baseline)
    values = [m - b for m, b in zip(method, baseline, strict=True)]
    interval = _over_runs(fits[claim.fit], claim.quantity, seeds, value)
    return values, {"baseline": sides["baseline"], "method": sides["method"],
                    "over_runs": interval}


def _per_seed(
    name: str, fit: Fit, quantity: str, seeds: list[int], value: Value
) -> list[float]:
    found = []
    for seed in seeds:
        try:
            found.append(dict(_quantities(*_rows(fit, [seed], value), fit.law))[quantity])
        except NoFit as error:
            raise NoFit(f"{name}, seed {seed}: {error}") from error
    return found


Rows = tuple[tuple[float, ...], ...]


def _rows(fit: Fit, seeds: list[int], value: Value) -> tuple[Rows, Rows]:
    """Return the fitted and the held-out runs: their variables and their value, means over seeds.
    """
    def rows(chosen: dict[str, tuple[str, ...]]) -> Rows:
        names = (*fit.variables, fit.metric)
        return tuple(
            tuple(statistics.mean_sd([value(arm, seed, task, name) for seed in seeds])[0]
                  for name in names)
            for arm, some in chosen.items() for task in some)

    return rows(fit.points), rows(fit.held_out)


@lru_cache(maxsize=256)  # several claims ask the same fit
def _quantities(points: Rows, held_out: Rows, law: str) -> tuple[tuple[str, float], ...]:
    from repro.verdict.laws.points import Points  # here: commands that read verdicts stay quick
    from repro.verdict.laws.table import quantities

    ahead = Points.of(held_out) if held_out else None
    return tuple(quantities(law, Points.of(points), ahead).items())


def _over_runs(
    fit: Fit, quantity: str, seeds: list[int], value: Value
) -> dict[str, float] | None:
    """Return the interval over the fitted runs; None where too few samples determine the law."""
    found = dict(_intervals(*_rows(fit, seeds, value), fit.law))
    return {"low": found[quantity][0], "high": found[quantity][1]} if found else None


@lru_cache(maxsize=64)
def _intervals(
    points: Rows, held_out: Rows, law: str
) -> tuple[tuple[str, tuple[float, float]], ...]:
    from repro.verdict.laws import bootstrap
    from repro.verdict.laws.points import Points
    from repro.verdict.laws.table import quantities

    ahead = Points.of(held_out) if held_out else None
    try:
        found = bootstrap.intervals(
            Points.of(points), lambda some: quantities(law, some, ahead, quick=True), draws=DRAWS)
    except NoFit:
        return ()
    return tuple(found.items())


def _described(name: str, values: list[float]) -> dict[str, Any]:
    mean, sd = statistics.mean_sd(values)
    return {"arm": name, "mean": mean, "sd": sd}
