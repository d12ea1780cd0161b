"""The schedule of Vaswani et al. 2017: a linear rise, then the inverse square root of the step."""

from repro.errors import UserError


def inverse_sqrt(step: int, total: int, /, *, warmup_steps: int) -> float:
    """Return the factor min((step + 1) / w, sqrt(w / (step + 1))) on the peak rate, which is
    reached after w updates and, as "Noam", d^-0.5 w^-0.5 at width d; total is not looked at.

    Raises UserError for less than one update of warm-up.
    """
    if warmup_steps < 1:
        raise UserError(f"warmup_steps = {warmup_steps}: expected at least 1")
    return min((step + 1) / warmup_steps, (warmup_steps / (step + 1)) ** 0.5)
