"""Learning-rate schedules: the factor on the peak rate for one update.

Each is `schedule(step, total, *, settings)`: step counts updates from 0, total is their number.
The first update already has a positive rate and so has the last: no update is wasted.
"""

import math

from repro.errors import UserError


def constant(
    step: int, total: int, /, *, warmup_fraction: float = 0.0, warmup_steps: int | None = None
) -> float:
    """Return the factor of a linear rise, then 1. warmup_steps wins over warmup_fraction."""
    warmup = _warmup(total, warmup_fraction, warmup_steps)
    return (step + 1) / warmup if step < warmup else 1.0


def linear(
    step: int,
    total: int,
    /,
    *,
    warmup_fraction: float = 0.1,
    warmup_steps: int | None = None,
    floor: float = 0.0,
) -> float:
    """Return the factor of a linear rise over w updates, then a linear fall towards floor.

    (step + 1) / w, then floor + (1 - floor)(total - step) / (total - w).
    """
    warmup = _warmup(total, warmup_fraction, warmup_steps)
    if step < warmup:
        return (step + 1) / warmup
    return floor + (1.0 - floor) * max(0.0, (total - step) / max(1, total - warmup))


def cosine(
    step: int,
    total: int,
    /,
    *,
    warmup_fraction: float = 0.1,
    warmup_steps: int | None = None,
    floor: float = 0.0,
) -> float:
    """Return the factor of a linear rise, then half a cosine down to floor."""
    warmup = _warmup(total, warmup_fraction, warmup_steps)
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def linear_by_epoch(step: int, total: int, /, *, epochs: int) -> float:
    """Return the factor of a linear fall to zero that moves once per epoch, without warm-up.

    Source: Gross et al. 2025, code: the scheduler of the training script is stepped per epoch.
    """
    if epochs < 1:
        raise UserError(f"linear_by_epoch.epochs = {epochs}: expected at least 1")
    return 1.0 - (step * epochs // max(1, total)) / epochs


def _warmup(total: int, fraction: float, steps: int | None) -> int:
    """Return the number of warm-up updates."""
    if not 0.0 <= fraction <= 1.0:
        raise UserError(f"warmup_fraction = {fraction}: expected 0 to 1")
    if steps is not None and steps < 0:
        raise UserError(f"warmup_steps = {steps}: expected 0 or more")
    return round(fraction * total) if steps is None else steps
