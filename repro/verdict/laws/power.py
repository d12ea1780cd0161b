"""Power laws without a floor, y = (scale / x)^exponent. R runs.

Source: Kaplan et al. 2020, equations 1.1 to 1.3.
"""

from dataclasses import dataclass

import numpy as np

from repro.verdict.laws.names import NoFit
from repro.verdict.laws.points import positive

LEAST = 3


@dataclass(frozen=True)
class PowerLaw:
    """scale, exponent: of y = (scale / x)^exponent, positive where y falls; r2: share of log y's
    variance that the line explains."""

    scale: float
    exponent: float
    r2: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (self.scale / np.asarray(x, dtype=float)) ** self.exponent


def fit(x_R: np.ndarray, y_R: np.ndarray) -> PowerLaw:
    """Return the least-squares line of log y over log x.

    Raises NoFit for fewer than three different x, values that are not positive, and a flat y.
    """
    positive(x=x_R, y=y_R)
    if len(np.unique(x_R)) < LEAST:
        raise NoFit(f"a power law needs {LEAST} different x, got {len(np.unique(x_R))}")
    log_x_R, log_y_R = np.log(x_R), np.log(y_R)
    total = float(((log_y_R - log_y_R.mean()) ** 2).sum())
    if total == 0:
        raise NoFit("a power law needs values that differ")
    slope, height = np.polyfit(log_x_R, log_y_R, 1)
    left = float(((log_y_R - slope * log_x_R - height) ** 2).sum())
    # y = exp(height) x^slope = (scale / x)^-slope, so log scale = -height / slope.
    scale = float(np.exp(-height / slope)) if slope else 0.0
    return PowerLaw(scale, float(-slope), 1 - left / total)
