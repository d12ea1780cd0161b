"""The Edgeworth accountant: what EW-Tune calibrates its noise with.

One step of DP-SGD is told from the same step without one example by the log-likelihood ratio of
P = N(0, 1) and Q = (1 - p) N(0, 1) + p N(1 / sigma, 1); over m steps the ratios X (under P) and Y
(under Q) add up. delta(eps) = 1 - F_Y(eps) - e^eps (1 - F_X(eps)) for removing the example, and
the same with P and Q exchanged for adding it. Their CDFs F are expanded around the normal one.
Source: Wang et al. 2022, Analytical Composition of Differential Privacy via the Edgeworth
Accountant; Behnia et al. 2022, section II-B.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from repro.errors import UserError

GRID = 20001
REACH = 12.0
LARGEST = 700.0  # of an exponent: beyond it a float overflows, and every tail is 0
BERRY_ESSEEN = 0.4748  # Shevtsova 2011, sums of independent identically distributed variables


@dataclass(frozen=True)
class Cumulants:
    """Of one step's log-likelihood ratio: mean, variance, third and fourth cumulant, and
    rho = E|ratio - mean|^3 / variance^1.5."""

    mean: float
    variance: float
    third: float
    fourth: float
    rho: float

    def flipped(self) -> "Cumulants":
        """Return those of the negative variable."""
        return Cumulants(-self.mean, self.variance, -self.third, self.fourth, self.rho)


@lru_cache(maxsize=4096)
def ratios(noise: float, rate: float) -> tuple[Cumulants, Cumulants]:
    """Return the cumulants of log dQ/dP of one step under P and under Q, by quadrature."""
    shift = 1.0 / noise
    x = np.linspace(-REACH, shift + REACH, GRID)
    normal = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    moved = np.exp(-0.5 * (x - shift) ** 2) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore"):  # a full batch has rate 1: the first term is then 0
        ratio = np.logaddexp(np.log1p(-rate), np.log(rate) + shift * x - 0.5 * shift**2)
    return tuple(_cumulants(x, ratio, density) for density in
                 (normal, (1 - rate) * normal + rate * moved))


def _cumulants(x: np.ndarray, values: np.ndarray, density: np.ndarray) -> Cumulants:
    weights = density * (x[1] - x[0])  # trapezes: the ends carry nothing
    weights /= weights.sum()
    mean = float(weights @ values)
    centred = values - mean
    variance, third, fourth = (float(weights @ centred**k) for k in (2, 3, 4))
    rho = float(weights @ np.abs(centred) ** 3) / variance**1.5
    return Cumulants(mean, variance, third, fourth - 3 * variance**2, rho)


def tail(values: np.ndarray, one: Cumulants, steps: int, order: int) -> np.ndarray:
    """Return P(sum of `steps` ratios > values) by the expansion; order 0 is the normal one.

    1 - Phi(z) + phi(z) [g/6 (z^2-1) + h/24 (z^3-3z) + g^2/72 (z^5-10z^3+15z)] with
    g = third / (sqrt(m) variance^1.5) and h = fourth / (m variance^2); order 1 has the first term.
    """
    z = (values - steps * one.mean) / np.sqrt(steps * one.variance)
    g = one.third / (np.sqrt(steps) * one.variance**1.5)
    h = one.fourth / (steps * one.variance**2)
    terms = [g / 6 * (z**2 - 1),
             h / 24 * (z**3 - 3 * z) + g**2 / 72 * (z**5 - 10 * z**3 + 15 * z)]
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return special.ndtr(-z) + density * sum(terms[:order], np.zeros_like(z))


def estimate(epsilon: np.ndarray, noise: float, rate: float, steps: int, order: int) -> np.ndarray:
    """Return the estimate of delta at each epsilon: the larger of the two directions."""
    under_p, under_q = ratios(noise, rate)
    growth = np.exp(np.minimum(epsilon, LARGEST))
    removed = tail(epsilon, under_q, steps, order) - growth * tail(epsilon, under_p, steps, order)
    added = tail(epsilon, under_p.flipped(), steps, order) - growth * tail(
        epsilon, under_q.flipped(), steps, order)
    return np.maximum(removed, added)


def interval(
    epsilon: np.ndarray, noise: float, rate: float, steps: int, order: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high) of delta at each epsilon: the truth lies between them at any `steps`.

    Berry-Esseen: the normal CDF is off by at most b = 0.4748 rho / sqrt(steps), the expansion by
    at most b + the largest value that its own terms take there. Uniform in epsilon, so never below
    b: no delta under some per cent can be certified in this way.
    """
    under_p, under_q = ratios(noise, rate)
    sides = ((under_q, under_p), (under_p.flipped(), under_q.flipped()))
    growth = np.exp(np.minimum(epsilon, LARGEST))
    lows, highs = [], []
    for gain, loss in sides:
        (gain_low, gain_high), (loss_low, loss_high) = (
            _enclosed(epsilon, one, steps, order) for one in (gain, loss))
        lows.append(gain_low - growth * loss_high)
        highs.append(gain_high - growth * loss_low)
    return np.clip(np.maximum(*lows), 0, 1), np.clip(np.maximum(*highs), 0, 1)


def _enclosed(
    values: np.ndarray, one: Cumulants, steps: int, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds on the true tail around the expansion."""
    middle = tail(values, one, steps, order)
    far = BERRY_ESSEEN * one.rho / np.sqrt(steps) + np.abs(middle - tail(values, one, steps, 0))
    return np.clip(middle - far, 0, 1), np.clip(middle + far, 0, 1)


def edgeworth(
    noise: float, rate: float, steps: int, delta: float, /, *, order: int = 2,
    certified: bool = False,
) -> float:
    """Return the epsilon at which the estimate of delta falls to the one asked for.

    It is the largest such epsilon, to 1e-6. certified: by the upper end of `interval` in place of
    the estimate, which alone is no guarantee; inf where no epsilon is certified.
    Raises UserError for another order than 1 or 2.
    """
    if order not in (1, 2):
        raise UserError(f"edgeworth.order = {order}: expected 1 or 2")

    def excess(epsilon: np.ndarray) -> np.ndarray:
        if certified:
            return interval(epsilon, noise, rate, steps, order)[1] - delta
        return estimate(epsilon, noise, rate, steps, order) - delta

    low, high = 0.0, _horizon(noise, rate, steps)
    if excess(np.array([high]))[0] > 0:
        return float("inf")
    for _ in range(4):
        grid = np.linspace(low, high, 2001)
        above = np.flatnonzero(excess(grid) > 0)
        if not len(above):
            return float(low)
        low, high = grid[above[-1]], grid[above[-1] + 1]
    return float(high)


def _horizon(noise: float, rate: float, steps: int) -> float:
    """Return an epsilon beyond which no sum of ratios reaches, but for 40 standard deviations."""
    found = ratios(noise, rate)
    return max(steps * abs(one.mean) + 40 * np.sqrt(steps * one.variance) for one in found)
