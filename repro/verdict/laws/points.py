"""Runs as points: V variables and a value for each of R runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repro.verdict.laws.names import NoFit


@dataclass(frozen=True)
class Points:
    """variables_RV: what places a run (parameters, tokens, ...), all positive; values_R: its loss
    or score."""

    variables_RV: np.ndarray
    values_R: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> "Points":
        """Return points from rows of variables followed by the value."""
        table = np.asarray(rows, dtype=float)
        return cls(table[:, :-1], table[:, -1])

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        return tuple(self.variables_RV.T)

    def column(self, index: int) -> np.ndarray:
        return self.variables_RV[:, index]

    def taken(self, index_R: np.ndarray) -> "Points":
        """Return the points at these places, with repetitions."""
        return Points(self.variables_RV[index_R], self.values_R[index_R])

    def __len__(self) -> int:
        return len(self.values_R)


def positive(**columns: np.ndarray) -> None:
    """Raise NoFit naming a column that is not finite and positive throughout: its logarithm is
    taken."""
    for name, values in columns.items():
        if not (np.isfinite(values).all() and (np.asarray(values) > 0).all()):
            raise NoFit(f"{name}: must be positive and finite")
