"""Accountants against published numbers, closed forms, and each other."""

import math

import numpy as np
import pytest

from papers.ew_tune import method
from repro.errors import UserError
from repro.privacy import accountants
from repro.privacy.accountants import Regime

DELTA = 1e-5


def test_the_gaussian_mechanism_by_integration() -> None:
    # delta = integral of max(0, q - e^eps p) for p = N(0, 1) and q = N(mu, 1).
    mu, epsilon = 1.3, 0.7
    x = np.linspace(-12, 14, 400001)
    p, q = (np.exp(-0.5 * (x - m) ** 2) / math.sqrt(2 * math.pi) for m in (0.0, mu))
    expected = float(np.maximum(q - math.exp(epsilon) * p, 0).sum() * (x[1] - x[0]))
    assert accountants.gaussian_delta(epsilon, mu) == pytest.approx(expected, rel=1e-6)
    assert accountants.gaussian_epsilon(mu, expected) == pytest.approx(epsilon, rel=1e-5)
    assert accountants.gaussian_epsilon(1e-3, 0.01) == 0.0


def test_without_subsampling_the_expansion_is_exact() -> None:
    # Sums of Gaussian log-likelihood ratios are Gaussian: nothing is left to expand.
    for noise, steps in ((4.0, 10), (20.0, 500)):
        truth = accountants.gaussian_epsilon(math.sqrt(steps) / noise, DELTA)
        for order in (1, 2):
            found = method.edgeworth(noise, 1.0, steps, DELTA, order=order)
            assert found == pytest.approx(truth, rel=1e-5)


def test_the_interval_contains_the_truth_where_it_is_known() -> None:
    noise, steps = 20.0, 500
    epsilon = np.linspace(0.0, 8.0, 41)
    truth = np.array([accountants.gaussian_delta(e, math.sqrt(steps) / noise) for e in epsilon])
    low, high = method.interval(epsilon, noise, 1.0, steps)
    assert (low <= truth).all() and (truth <= high).all()
    assert (high - low).max() < 1.0 and high[-1] < 1.0


def test_the_interval_certifies_no_small_delta() -> None:
    # Berry-Esseen alone is off by more than 1e-5 at any number of steps that anybody takes.
    assert method.edgeworth(2.0, 0.03, 5000, DELTA, certified=True) == math.inf


def test_cumulants_by_hand() -> None:
    # At rate 1 the ratio is x / sigma - 1 / (2 sigma^2): mean -1/(2 sigma^2), variance 1/sigma^2.
    under_p, under_q = method.ratios(2.0, 1.0)
    assert under_p.mean == pytest.approx(-1 / 8) and under_q.mean == pytest.approx(1 / 8)
    assert under_p.variance == pytest.approx(1 / 4) and under_p.third == pytest.approx(0, abs=1e-12)
    assert under_p.fourth == pytest.approx(0, abs=1e-9)
    # E|z|^3 of a normal variable is sqrt(8 / pi).
    assert under_q.rho == pytest.approx(math.sqrt(8 / math.pi), rel=1e-6)
    # E_P[dQ/dP] = 1 whatever the rate: the first moments of the ratio itself, by its cumulants.
    under_p, under_q = method.ratios(1.5, 0.02)
    assert under_p.mean < 0 < under_q.mean
    assert under_p.flipped().third == -under_p.third


def test_published_epsilon_of_the_moments_accountant() -> None:
    # Abadi et al. 2016: q = 0.01, sigma = 4, 10,000 steps, delta = 1e-5: epsilon 1.26 by moments of
    # integer order and the older conversion; newer conversions may only be lower.
    epsilon = accountants.rdp(4.0, 0.01, 10000, DELTA)
    assert accountants.gdp(4.0, 0.01, 10000, DELTA) < epsilon <= 1.26


def test_the_expansion_meets_numerical_composition_where_it_is_good() -> None:
    # Many steps, large noise: within one per cent of opacus' PRV (whose bound is 0.01 wide).
    noise, rate, steps = 2.0, 0.02, 3000
    tight = accountants.prv(noise, rate, steps, DELTA)
    assert accountants.gdp(noise, rate, steps, DELTA) < tight
    assert tight < accountants.rdp(noise, rate, steps, DELTA)
    assert method.edgeworth(noise, rate, steps, DELTA) == pytest.approx(tight, rel=0.01)


def test_the_expansion_breaks_the_budget_at_few_steps() -> None:
    # The finding of papers/ew_tune: at 201 steps and rate 0.015 its noise is no (8, 1e-5)-DP.
    run = Regime(examples=67349, batch_size=1000, epochs=3, epsilon=8.0, delta=DELTA)
    noise = run.noise(method.edgeworth)
    assert noise == pytest.approx(0.489, abs=0.003)
    assert run.spent(accountants.prv, noise) > 10


def test_noise_for_sst2_by_each_accountant() -> None:
    # Computed independently with 673 steps (papers/ew_tune card): 0.807 by the second order.
    found = accountants.smallest_noise(method.edgeworth, 2000 / 67349, 673, 8.0, DELTA)
    assert found == pytest.approx(0.807, abs=0.002)
    gdp = accountants.smallest_noise(accountants.gdp, 2000 / 67349, 673, 8.0, DELTA)
    assert gdp == pytest.approx(0.759, abs=0.002)
    renyi = accountants.smallest_noise(accountants.rdp, 2000 / 67349, 673, 8.0, DELTA)
    assert found < renyi < 0.846


@pytest.mark.parametrize("accountant", [method.edgeworth, accountants.rdp, accountants.gdp])
def test_more_steps_less_noise_or_a_smaller_delta_cost_epsilon(accountant) -> None:
    base = accountant(1.2, 0.02, 1000, DELTA)
    assert accountant(1.2, 0.02, 2000, DELTA) > base
    assert accountant(1.0, 0.02, 1000, DELTA) > base
    assert accountant(1.2, 0.02, 1000, 1e-6) > base
    assert accountant(1.2, 0.04, 1000, DELTA) > base


def test_both_directions_count() -> None:
    epsilon = np.array([1.0, 3.0])
    under_p, under_q = method.ratios(0.8, 0.03)
    removed = method.tail(epsilon, under_q, 660, 2) - np.exp(epsilon) * method.tail(
        epsilon, under_p, 660, 2)
    added = method.tail(epsilon, under_p.flipped(), 660, 2) - np.exp(epsilon) * method.tail(
        epsilon, under_q.flipped(), 660, 2)
    assert not np.allclose(removed, added, rtol=1e-3)
    assert (method.estimate(epsilon, 0.8, 0.03, 660, 2) == np.maximum(removed, added)).all()


def test_smallest_noise_is_found_from_above() -> None:
    found = accountants.smallest_noise(lambda noise, *_: 3.0 / noise, 0.1, 10, 2.0, DELTA)
    assert 1.5 <= found <= 1.5 * (1 + 2e-4)
    with pytest.raises(UserError, match="no noise"):
        accountants.smallest_noise(lambda *_: 9.0, 0.1, 10, 2.0, DELTA)
    with pytest.raises(UserError, match="too large a budget"):
        accountants.smallest_noise(lambda *_: 0.1, 0.1, 10, 2.0, DELTA)


def test_a_regime_refuses_what_is_no_privacy() -> None:
    run = Regime(examples=1050, batch_size=100, epochs=3, epsilon=2.0)
    assert (run.rate, run.steps, run.failure) == (100 / 1050, 30, 1 / 1050)
    for wrong in ({"delta": 1e-2}, {"delta": 0.0}, {"epsilon": 0.0}, {"batch_size": 2000},
                  {"epochs": 0}):
        with pytest.raises(UserError, match=f"^{next(iter(wrong))} = "):
            Regime(**({"examples": 1050, "batch_size": 100, "epochs": 3, "epsilon": 2.0} | wrong))
    with pytest.raises(UserError, match="edgeworth.order = 3"):
        method.edgeworth(1.0, 0.1, 1, DELTA, order=3)
