"""Privacy accountants by one signature, and the smallest noise that keeps a budget.

An accountant is `accountant(noise, rate, steps, delta, *, settings) -> epsilon`: what is spent by
`steps` sums of contributions of norm at most 1, each example in a sum with probability `rate`
(Poisson sampling), each sum with Gaussian noise of standard deviation `noise`. Neighbouring data
sets differ by one example added or removed. numpy, scipy and opacus compute; nothing is drawn.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize, special

from repro.errors import UserError

Accountant = Callable[[float, float, int, float], float]
TOLERANCE = 1e-4
FACTOR = 1.25
LEAST, MOST = 0.05, 1e6


@dataclass(frozen=True, kw_only=True)
class Regime:
    """A training run as an accountant sees it: how much data, how long, and the budget.

    delta: None = 1 / examples. steps: whole batches of an epoch, times the epochs.
    """

    examples: int
    batch_size: int
    epochs: int
    epsilon: float
    delta: float | None = None

    def __post_init__(self) -> None:
        for name in ("examples", "batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} = {getattr(self, name)}: expected at least 1")
        if self.batch_size > self.examples:
            raise UserError(f"batch_size = {self.batch_size}: expected at most the number of "
                            f"private examples, {self.examples}")
        if not self.epsilon > 0:
            raise UserError(f"epsilon = {self.epsilon}: expected a positive number")
        if self.delta is not None and not 0 < self.delta <= 1 / self.examples:
            raise UserError(f"delta = {self.delta}: expected above 0 and at most 1 / examples = "
                            f"{1 / self.examples:.3g}: a larger one may publish a whole example")

    @property
    def rate(self) -> float:
        """The probability with which an example is in a batch."""
        return self.batch_size / self.examples

    @property
    def steps(self) -> int:
        return self.epochs * (self.examples // self.batch_size)

    @property
    def failure(self) -> float:
        """delta, or 1 / examples."""
        return 1 / self.examples if self.delta is None else self.delta

    def spent(self, accountant: Accountant, noise: float) -> float:
        """Return the epsilon that this run spends with so much noise."""
        return accountant(noise, self.rate, self.steps, self.failure)

    def noise(self, accountant: Accountant) -> float:
        """Return the smallest noise that keeps the budget, see `smallest_noise`."""
        return smallest_noise(accountant, self.rate, self.steps, self.epsilon, self.failure)


def smallest_noise(
    accountant: Accountant, rate: float, steps: int, epsilon: float, delta: float
) -> float:
    """Return the smallest noise for which the accountant says at most epsilon, from above.

    Relative error at most 1e-4, on the safe side: the noise returned was itself found to keep the
    budget. Raises UserError when none up to 1e6 does, or even 0.05 is more than is needed.
    """

    def fits(noise: float) -> bool:
        return accountant(noise, rate, steps, delta) <= epsilon

    high = 1.0
    while not fits(high):
        high *= FACTOR
        if high > MOST:
            raise UserError(f"epsilon = {epsilon}: no noise up to {MOST:g} keeps it "
                            f"({steps} steps, delta {delta:g})")
    low = high / FACTOR
    while fits(low):
        low, high = low / FACTOR, low
        if high < LEAST:
            raise UserError(f"epsilon = {epsilon}: kept with noise {LEAST}: too large a budget")
    while high - low > TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def rdp(
    noise: float, rate: float, steps: int, delta: float, /, *,
    orders: tuple[float, ...] | None = None,
) -> float:
    """Return epsilon by Renyi DP (the moments accountant) with opacus' conversion.

    orders: of the Renyi divergence; None = opacus' own, 1.1 to 63.
    Source: Mironov et al. 2019; conversion: Balle et al. 2020, Theorem 21.
    """
    from opacus.accountants import RDPAccountant

    found = RDPAccountant()
    found.history = [(noise, rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # opacus warns while the search tries noises far off
        return float(found.get_epsilon(delta, alphas=list(orders) if orders else None))


def prv(
    noise: float, rate: float, steps: int, delta: float, /, *, error: float = 0.01
) -> float:
    """Return an upper bound on epsilon by numerical composition of privacy loss variables.

    error: by which the bound may exceed the truth. The direction is removal, the worse one for
    the subsampled Gaussian at every epsilon above 0.
    Source: Gopi et al. 2021, as opacus has it.
    """
    from opacus.accountants import PRVAccountant

    found = PRVAccountant()
    found.history = [(noise, rate, steps)]
    return float(found.get_epsilon(delta, eps_error=error))


def gdp(noise: float, rate: float, steps: int, delta: float, /) -> float:
    """Return epsilon by the central limit theorem of Gaussian DP: no bound at finite steps.

    mu = rate sqrt(steps (exp(1 / noise^2) - 1)). Source: Bu et al. 2020, Corollary 4.
    """
    mu = rate * math.sqrt(steps * math.expm1(noise**-2))
    return gaussian_epsilon(mu, delta)


def gaussian_delta(epsilon: float, mu: float) -> float:
    """Return the exact delta of mu-Gaussian DP: k full-batch steps have mu = sqrt(k) / noise.

    Phi(mu / 2 - eps / mu) - e^eps Phi(-mu / 2 - eps / mu). Source: Balle and Wang 2018, Theorem 8.
    """
    gain = special.log_ndtr(mu / 2 - epsilon / mu)
    loss = epsilon + special.log_ndtr(-mu / 2 - epsilon / mu)
    return float(math.exp(gain) * -math.expm1(min(0.0, loss - gain)))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the exact epsilon of mu-Gaussian DP, 0 where delta alone allows it."""
    if gaussian_delta(0.0, mu) <= delta:
        return 0.0
    high = 1.0
    while gaussian_delta(high, mu) > delta:
        high *= 2
    return float(optimize.brentq(lambda eps: gaussian_delta(eps, mu) - delta, 0.0, high,
                                 xtol=1e-10))
