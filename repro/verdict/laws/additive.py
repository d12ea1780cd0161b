"""The loss as a sum, L(N, D) = E + A / N^alpha + B / D^beta. R runs, P parameters, S starts.

Source: Hoffmann et al. 2022, section 3.3 and appendix D: Huber loss (delta = 1e-3) of the logarithm
of the sum, L-BFGS from a grid of starting points.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import minimize

from repro.verdict.laws.names import NoFit
from repro.verdict.laws.points import positive

DELTA = 1e-3
LEAST_RUNS, LEAST_LEVELS = 6, 3
REFINED = 12  # of the starts, the best ones
# Of the loss at the middle of the runs: which share is the floor, which of the rest is the size's.
FLOORS, SIZE_SHARES = (0.1, 0.4, 0.7, 0.9), (0.2, 0.5, 0.8)
EXPONENTS = (0.1, 0.3, 0.6, 1.0)
BOUNDS = [(None, None)] * 3 + [(0.0, 5.0)] * 2


@dataclass(frozen=True)
class AdditiveLaw:
    """E, A, alpha, B, beta of L(N, D) = E + A / N^alpha + B / D^beta."""

    floor: float
    size_scale: float
    size_exponent: float
    token_scale: float
    token_exponent: float

    def predict(self, sizes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Return the loss of models of these sizes after so many tokens."""
        by_size = self.size_scale / np.asarray(sizes, dtype=float) ** self.size_exponent
        return self.floor + by_size + self.token_scale / (
            np.asarray(tokens, dtype=float) ** self.token_exponent)

    @property
    def allocation(self) -> float:
        """The exponent a of the best size for a compute C = 6 N D, N ~ C^a: beta / (alpha + beta).

        Hoffmann et al., equation 4. D grows as C^(1 - a).
        """
        return self.token_exponent / (self.size_exponent + self.token_exponent)

    def optimum(self, compute: float) -> tuple[float, float]:
        """Return the size and the tokens that give the lowest loss for C = 6 N D."""
        alpha, beta = self.size_exponent, self.token_exponent
        ratio = (alpha * self.size_scale / (beta * self.token_scale)) ** (1 / (alpha + beta))
        size = ratio * (compute / 6) ** self.allocation
        return size, compute / 6 / size


def fit(
    sizes_R: np.ndarray, tokens_R: np.ndarray, losses_R: np.ndarray, *, refined: int = REFINED
) -> AdditiveLaw:
    """Return the law with the least Huber loss of log L. Exponents lie in [0, 5].

    refined: from how many of the grid's best starts the minimum is sought.
    Raises NoFit for fewer than 6 runs, 3 sizes or 3 numbers of tokens, or an exponent that ends at
    zero: then the runs do not tell its term from the floor.
    """
    positive(sizes=sizes_R, tokens=tokens_R, losses=losses_R)
    levels = min(len(np.unique(sizes_R)), len(np.unique(tokens_R)))
    if len(losses_R) < LEAST_RUNS or levels < LEAST_LEVELS:
        raise NoFit(f"the additive law needs {LEAST_RUNS} runs, {LEAST_LEVELS} sizes and "
                    f"{LEAST_LEVELS} numbers of tokens")
    # Centred: each term's coefficient is then its part of the loss in the middle of the runs, and
    # the same starts serve any range of sizes.
    log_n_R, log_d_R, log_l_R = np.log(sizes_R), np.log(tokens_R), np.log(losses_R)
    middle_n, middle_d = log_n_R.mean(), log_d_R.mean()
    runs = log_n_R - middle_n, log_d_R - middle_d, log_l_R
    starts = sorted(_starts(log_l_R.mean()), key=lambda start_P: _objective(start_P, *runs)[0])
    found = min((_refined(start_P, runs) for start_P in starts[:refined]), key=lambda f: f.fun)
    e, a, b, alpha, beta = found.x
    if min(alpha, beta) < 1e-4:
        raise NoFit("the additive law's exponents cannot be told from zero")
    return AdditiveLaw(float(np.exp(e)), float(np.exp(a + alpha * middle_n)), float(alpha),
                       float(np.exp(b + beta * middle_d)), float(beta))


def _starts(middle: float) -> list[np.ndarray]:
    """Return starting points (e, a, b, alpha, beta), logarithms of the three terms and exponents.
    """
    found = []
    for floor, share, alpha, beta in product(FLOORS, SIZE_SHARES, EXPONENTS, EXPONENTS):
        parts = np.array([floor, (1 - floor) * share, (1 - floor) * (1 - share)])
        found.append(np.array([*(middle + np.log(parts)), alpha, beta]))
    return found


def _refined(start_P: np.ndarray, runs: tuple[np.ndarray, ...]):
    options = {"maxiter": 2000, "ftol": 1e-13, "gtol": 1e-10, "maxcor": 20}
    return minimize(_objective, start_P, args=runs, jac=True, method="L-BFGS-B", bounds=BOUNDS,
                    options=options)


def _objective(
    parameters_P: np.ndarray, n_R: np.ndarray, d_R: np.ndarray, log_l_R: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the sum of Huber losses over delta, and its gradient."""
    e, a, b, alpha, beta = parameters_P
    terms_3R = np.stack([np.full_like(n_R, e), a - alpha * n_R, b - beta * d_R])
    highest_R = terms_3R.max(axis=0)
    found_R = highest_R + np.log(np.exp(terms_3R - highest_R).sum(axis=0))
    residual_R = found_R - log_l_R
    size_R = np.abs(residual_R)
    loss_R = np.where(size_R <= DELTA, residual_R**2 / (2 * DELTA), size_R - DELTA / 2)
    slope_R = np.clip(residual_R / DELTA, -1, 1)
    pull_3R = np.exp(terms_3R - found_R) * slope_R
    gradient_P = np.array([*pull_3R.sum(axis=1), -(pull_3R[1] * n_R).sum(),
                           -(pull_3R[2] * d_R).sum()])
    return float(loss_R.sum()), gradient_P
