"""Statistics over seeds: paired differences, equivalence, trends.

Student-t intervals on per-seed values: with 5 seeds and no effect, a one-sided decision by the
95 % interval is wrong 2.5 % of the time (a percentile bootstrap: 8 %).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 0.95
MIN_SEEDS = 5

Side = Literal["claimed", "other", "neither"]


@dataclass(frozen=True)
class Estimate:
    """Of n values: mean, sample sd, the t interval [low, high], and the p value of the test at
    hand (two-sided against 0; for equivalence the larger of the two one-sided ones)."""

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation (0 for a single value)."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    # Equal values have no spread; without this the rounding of the mean would give them one.
    if min(values) == max(values):
        return values[0], 0.0
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Return the t interval of the mean and the two-sided p value against 0.

    values: one per seed. Raises ValueError for fewer than two values or one that is not finite.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise ValueError(f"an interval needs two or more finite values, got {list(values)}")
    from scipy.special import stdtrit  # here: commands that only read verdicts stay quick

    mean, sd = mean_sd(values)
    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * sd / math.sqrt(len(values))
    return Estimate(len(values), mean, sd, mean - half, mean + half, 2 * _tail(values, 0.0, None))


def equivalence(
    values: Sequence[float],
    margin: float,
    direction: Literal["greater", "less"] | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the estimate with the p value of two one-sided tests against -margin and +margin.

    direction: only one of the two, `greater`: the mean is above -margin. Each test runs at
    (1 - confidence) / 2, so p below that and "the interval lies inside the margin" are the same.
    """
    found = estimate(values, confidence)
    above = _tail(values, -margin, "greater")
    below = _tail(values, margin, "less")
    p = {"greater": above, "less": below, None: max(above, below)}[direction]
    return Estimate(found.n, found.mean, found.sd, found.low, found.high, p)


def _tail(values: Sequence[float], null: float, side: Literal["greater", "less"] | None) -> float:
    """Return the one-sided p of the mean against `null`; side None: towards where it lies."""
    from scipy.special import stdtr

    mean, sd = mean_sd(values)
    shift = mean - null
    if side == "less" or (side is None and shift < 0):
        shift = -shift
    if sd == 0:
        return 0.0 if shift > 0 else (0.5 if shift == 0 else 1.0)
    return float(stdtr(len(values) - 1, -shift * math.sqrt(len(values)) / sd))


def side_of(found: Estimate, direction: Literal["greater", "less"]) -> Side:
    """Return on which side of 0 the whole interval lies, seen from the claimed direction."""
    if found.low > 0:
        return "claimed" if direction == "greater" else "other"
    if found.high < 0:
        return "claimed" if direction == "less" else "other"
    return "neither"


def side_of_margin(
    found: Estimate, margin: float, direction: Literal["greater", "less"] | None = None
) -> Side:
    """Return whether the interval lies inside the margin (claimed), outside (other) or neither."""
    too_low = direction != "less" and found.high < -margin
    too_high = direction != "greater" and found.low > margin
    if too_low or too_high:
        return "other"
    inside_low = direction == "less" or found.low > -margin
    inside_high = direction == "greater" or found.high < margin
    return "claimed" if inside_low and inside_high else "neither"


def slope(levels: Sequence[float], values: Sequence[float]) -> float:
    """Return the least-squares slope of values over levels, in the values' unit per level unit."""
    x_mean = math.fsum(levels) / len(levels)
    y_mean = math.fsum(values) / len(values)
    spread = math.fsum((x - x_mean) ** 2 for x in levels)
    both = zip(levels, values, strict=True)
    return math.fsum((x - x_mean) * (y - y_mean) for x, y in both) / spread


def spearman(levels: Sequence[float], values: Sequence[float]) -> float:
    """Return the rank correlation in [-1, 1], ties at their mean rank; 0 where all are tied."""
    x, y = _ranks(levels), _ranks(values)
    x_sd, y_sd = mean_sd(x)[1], mean_sd(y)[1]
    return slope(x, y) * x_sd / y_sd if x_sd and y_sd else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(v) + (ordered.count(v) + 1) / 2 for v in values]
