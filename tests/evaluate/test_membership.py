"""The loss threshold attack: by hand, at its limits, and against the bound of its definition."""

import numpy as np
import pytest

from repro.errors import UserError
from repro.evaluate import membership
from repro.train.streams import Streams


def test_the_best_threshold_by_hand() -> None:
    # Members 1, 2, 5; others 3, 4, 6: up to 2 two of three members and nobody else are called.
    assert membership.threshold(np.array([1.0, 2, 5]), np.array([3.0, 4, 6])) == 2.5
    assert membership.threshold(np.array([5.0, 6]), np.array([1.0, 2])) == -np.inf
    assert membership.threshold(np.array([1.0, 1]), np.array([1.0, 1])) == -np.inf


def test_perfect_and_useless_losses() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.uniform(0, 1, 200), rng.uniform(2, 3, 300)
    assert membership.advantage(low, high, Streams(0)) == 1.0
    assert membership.advantage(np.ones(50), np.ones(60), Streams(0)) == 0.0
    same = [membership.advantage(rng.normal(size=400), rng.normal(size=400), Streams(seed))
            for seed in range(40)]
    assert abs(np.mean(same)) < 0.02  # choosing and trying on the same half would give 0.07


def test_a_known_shift_is_found() -> None:
    # N(0, 1) against N(1, 1): the best gap is 2 Phi(1/2) - 1 = 0.383.
    rng = np.random.default_rng(1)
    found = membership.advantage(rng.normal(size=20000), rng.normal(1, 1, 20000), Streams(0))
    assert found == pytest.approx(0.383, abs=0.02)


def test_what_privacy_bounds() -> None:
    assert membership.bound(0.0, 0.0) == 0.0
    assert membership.bound(np.log(3), 0.0) == pytest.approx(0.5)
    assert membership.bound(0.0, 0.1) == pytest.approx(0.1)


def test_losses_that_cannot_be_attacked_are_refused() -> None:
    with pytest.raises(UserError, match="1 members"):
        membership.advantage(np.ones(1), np.ones(5), Streams(0))
    with pytest.raises(UserError, match="others is not finite"):
        membership.advantage(np.ones(5), np.array([1.0, np.nan]), Streams(0))
