"""Positions on plots: linear scales and their ticks, in SVG user units. Arithmetic only."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

HEADROOM = 1.06


@dataclass(frozen=True)
class Scale:
    """A linear map of values [low, high] to positions [start, stop]."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the position of a value, to a hundredth; a scale without extent has one."""
        if self.high == self.low:
            return round((self.start + self.stop) / 2, 2)
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 2)


def around_zero(values: Iterable[float], start: float, stop: float) -> Scale:
    """Return a scale with zero in the middle that shows all values."""
    reach = HEADROOM * max((abs(value) for value in values), default=0.0) or 1.0
    return Scale(-reach, reach, start, stop)


def nice_step(extent: float, parts: int) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that cuts `extent` into `parts` or fewer.
    """
    rough = extent / parts
    power = 10.0 ** math.floor(math.log10(rough))
    # The slack keeps 0.3 / 3 from being "more than" 0.1.
    factor = next(f for f in (1, 2, 5, 10) if f * power >= rough * (1 - 1e-9))
    return factor * power


def ticks(low: float, high: float, parts: int) -> list[float]:
    """Return the multiples of a nice step in [low, high], `parts` + 1 at most."""
    if high <= low:
        return [low]
    step = nice_step(high - low, parts)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.9g}") for index in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Return the text of a tick: as short as it can be said, with a true minus."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        digits, _, exponent = f"{value:.0e}".partition("e")
        return f"{digits}e{int(exponent)}".replace("-", "−")
    return f"{value:g}".replace("-", "−")
