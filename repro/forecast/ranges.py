"""Ranges: what is known of a figure that was not measured yet."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """From low to high, both meant."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Range":
        """Return the range that holds all values; at least one."""
        values = list(values)
        return cls(min(values), max(values))

    def __add__(self, other: "Range") -> "Range":
        """Return the range of a sum whose parts are high, or low, together."""
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> "Range":
        return Range(self.low * factor, self.high * factor)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def json(self, factor: float = 1.0) -> list[float]:
        """Return [low, high] times a factor, to four digits."""
        return [float(f"{factor * value:.4g}") for value in (self.low, self.high)]


NOTHING = Range(0.0, 0.0)


def total(ranges: Iterable[Range]) -> Range:
    return sum(ranges, NOTHING)
