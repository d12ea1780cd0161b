"""The schedule of the Transformer."""

import pytest

from repro.errors import UserError
from repro.train.noam import inverse_sqrt


def test_it_is_noam_at_its_peak_rate() -> None:
    """d^-0.5 min(s^-0.5, s w^-1.5), divided by its peak; s counts updates from 1."""
    width, warmup = 512, 20000
    peak = width**-0.5 * warmup**-0.5
    assert peak == pytest.approx(3.125e-4)
    for step in (1, 500, 20000, 20001, 80000):
        noam = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert inverse_sqrt(step - 1, 10**6, warmup_steps=warmup) == pytest.approx(noam / peak)


def test_warmup_is_needed() -> None:
    with pytest.raises(UserError, match="warmup_steps = 0"):
        inverse_sqrt(0, 10, warmup_steps=0)
