"""Scaling laws: fitted to runs drawn from known ones, and held against published coefficients."""

import numpy as np
import pytest

from repro.verdict.laws import additive, allocation, bootstrap, power, steps
from repro.verdict.laws.names import LAWS, NoFit
from repro.verdict.laws.points import Points
from repro.verdict.laws.table import quantities

# Hoffmann et al. 2022, equation 10: what the survey quotes.
CHINCHILLA = additive.AdditiveLaw(1.69, 406.4, 0.34, 410.7, 0.28)
SIZES = np.array([2.5e4, 5e4, 1e5, 2e5, 4e5])
TOKENS = np.array([1.25e5, 2.5e5, 5e5, 1e6, 2e6])


def grid(sizes=SIZES, tokens=TOKENS, law=CHINCHILLA, noise=0.0, seed=0):
    """Runs of every size on every number of tokens: their losses under the law, with noise."""
    n, d = (axis.ravel() for axis in np.meshgrid(sizes, tokens))
    scatter = np.random.default_rng(seed).normal(scale=noise, size=len(n)) if noise else 0.0
    return n, d, law.predict(n, d) * np.exp(scatter)


def test_a_power_law_by_hand():
    # (8 / x)^(1/3): 2 at x = 1, 1 at x = 8, 0.5 at x = 64.
    found = power.fit(np.array([1.0, 8.0, 64.0]), np.array([2.0, 1.0, 0.5]))
    assert found.exponent == pytest.approx(1 / 3) and found.scale == pytest.approx(8)
    assert found.r2 == pytest.approx(1) and found.predict(512) == pytest.approx(0.25)


def test_kaplans_law_comes_back_from_its_own_losses():
    # L(N) = (8.8e13 / N)^0.076, Kaplan et al. 2020, equation 1.1.
    n = np.logspace(3, 9, 7)
    found = power.fit(n, (8.8e13 / n) ** 0.076)
    assert found.exponent == pytest.approx(0.076) and found.scale == pytest.approx(8.8e13)


def test_r2_falls_with_what_the_line_leaves():
    found = power.fit(np.exp([0.0, 1.0, 2.0]), np.exp([0.0, 1.0, 0.0]))
    assert found.r2 == pytest.approx(0) and found.exponent == pytest.approx(0, abs=1e-12)


def test_chinchillas_coefficients_come_back_from_their_own_losses():
    found = additive.fit(*grid(np.logspace(8, 10.5, 6), np.logspace(9.5, 12, 6)))
    for name in ("floor", "size_scale", "size_exponent", "token_scale", "token_exponent"):
        assert getattr(found, name) == pytest.approx(getattr(CHINCHILLA, name), rel=0.02), name


def test_the_law_comes_back_at_the_scale_of_mini_with_another_law():
    law = additive.AdditiveLaw(1.2, 30.0, 0.3, 90.0, 0.4)
    found = additive.fit(*grid(law=law))
    assert found.allocation == pytest.approx(law.allocation, abs=0.01)
    assert found.floor == pytest.approx(law.floor, rel=0.05)


def test_the_huber_loss_passes_over_a_run_that_went_wrong():
    n, d, losses = grid()
    spoilt = losses.copy()
    spoilt[7] *= 1.3
    found = additive.fit(n, d, spoilt)
    assert np.abs(found.predict(n, d) / losses - 1).max() < 5e-3


def test_the_gradient_is_the_derivative():
    generator = np.random.default_rng(1)
    runs = generator.normal(size=8), generator.normal(size=8), generator.normal(size=8) * 0.1
    for delta in (1e-3, 1.0):
        at = generator.normal(size=5) * (0.3 if delta == 1.0 else 1.0)
        gradient = additive._objective(at, *runs)[1]
        for place in range(5):
            step = np.zeros(5)
            step[place] = 1e-7
            ahead, behind = (additive._objective(at + s, *runs)[0] for s in (step, -step))
            assert gradient[place] == pytest.approx((ahead - behind) / 2e-7, rel=1e-3, abs=1e-4)


def test_the_optimum_is_that_of_a_search_and_grows_as_the_allocation_says():
    for compute in (1e18, 1e21):
        size, tokens = CHINCHILLA.optimum(compute)
        tried = size * np.exp(np.linspace(-1, 1, 2001))
        best = tried[CHINCHILLA.predict(tried, compute / 6 / tried).argmin()]
        assert best == pytest.approx(size, rel=2e-3) and 6 * size * tokens == pytest.approx(compute)
    assert CHINCHILLA.allocation == pytest.approx(0.28 / 0.62)


def test_isoflop_finds_the_allocation_of_a_symmetric_law_to_be_a_half():
    # Equal exponents and coefficients: at equal compute, the best size is the square root of N D.
    law = additive.AdditiveLaw(1.0, 50.0, 0.3, 50.0, 0.3)
    n = np.concatenate([np.sqrt(c) * 2.0 ** np.arange(-2, 3) for c in (1e10, 4e10, 1.6e11)])
    d = np.repeat([1e10, 4e10, 1.6e11], 5) / n
    found = allocation.isoflop(n, d, law.predict(n, d))
    assert found.allocation == pytest.approx(0.5, abs=1e-6)
    assert found.tokens_per_parameter == pytest.approx(1.0, rel=1e-6)
    assert [compute for compute, _ in found.optima] == pytest.approx([6e10, 2.4e11, 9.6e11])


def test_isoflop_agrees_with_the_closed_form_of_the_law_that_made_the_runs():
    n = np.concatenate([CHINCHILLA.optimum(c)[0] * 2.0 ** np.arange(-1, 2) for c in (1e18, 1e20)])
    d = np.repeat([1e18, 1e20], 3) / 6 / n
    found = allocation.isoflop(n, d, CHINCHILLA.predict(n, d))
    assert found.allocation == pytest.approx(CHINCHILLA.allocation, abs=0.01)


def test_budgets_without_an_optimum_inside_are_left_out():
    n = np.array([1.0, 2.0, 4.0, 1.0, 2.0, 4.0])
    d = np.array([4.0, 2.0, 1.0, 16.0, 8.0, 4.0])
    with pytest.raises(NoFit, match="1 budgets"):
        allocation.isoflop(n, d, np.array([2.0, 1.0, 2.0, 3.0, 2.0, 0.9]))


def test_the_frontier_is_made_of_runs_that_no_cheaper_one_beats():
    n, d = np.array([1.0, 2.0, 4.0, 8.0, 8.0]), np.ones(5)
    losses = np.array([1.0, 0.5, 0.7, 0.125, 0.9])
    found = allocation.frontier(n, d, losses)
    # (1, 1), (2, 1/2), (8, 1/8): the loss falls as 1 / C.
    assert found.exponent == pytest.approx(1) and found.r2 == pytest.approx(1)


def test_an_even_climb_and_a_jump():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert steps.largest_share(x, 0.1 * x) == pytest.approx(0.25)
    assert steps.largest_share(x, np.array([0.0, 0.0, 0.0, 1.0, 1.0])) == 1
    assert steps.largest_share(x, -np.array([0.0, 0.1, 0.1, 0.9, 1.0])) == pytest.approx(0.8)
    assert steps.largest_share(x[::-1], x[::-1]) == pytest.approx(0.25)


def test_the_error_of_a_prediction_is_that_on_the_runs_ahead():
    n, d, losses = grid()
    ahead = n * d > 1.5e11
    points, held_out = (Points(np.stack([n, d], 1)[which], losses[which])
                        for which in (~ahead, ahead))
    assert quantities("prediction", points, held_out)["relative_error"] < 1e-3
    wrong = Points(held_out.variables_RV, held_out.values_R * 1.1)
    assert quantities("prediction", points, wrong)["relative_error"] == pytest.approx(
        1 - 1 / 1.1, abs=1e-3)


def test_every_law_returns_the_quantities_it_is_said_to():
    n, d, losses = grid(law=additive.AdditiveLaw(1.0, 50.0, 0.3, 200.0, 0.35))
    both = Points(np.stack([n, d], 1), losses)
    line = Points(SIZES[:, None], SIZES**-0.1)
    for name, law in LAWS.items():
        points = line if law.variables == 1 else both
        found = quantities(name, points, points if law.predicts else None)
        assert tuple(found) == law.quantities, name
        assert all(np.isfinite(value) for value in found.values()), name


def test_bootstrap_intervals_hold_the_truth_about_as_often_as_they_say():
    x, held = np.logspace(4, 6, 12), 0
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(scale=0.02, size=12)
        points = Points(x[:, None], (1e6 / x) ** 0.1 * np.exp(noise))
        low, high = bootstrap.intervals(
            points, lambda some: quantities("power", some), draws=80, seed=seed)["exponent"]
        held += low < 0.1 < high
    assert 48 <= held <= 60  # 95 % of 60 is 57; the percentile bootstrap is a little narrow


def test_bootstrap_of_exact_runs_has_no_width_and_one_that_cannot_be_fitted_says_so():
    points = Points(SIZES[:, None], SIZES**-0.1)
    low, high = bootstrap.intervals(points, lambda some: quantities("power", some))["exponent"]
    assert low == pytest.approx(0.1) and high == pytest.approx(0.1)
    with pytest.raises(NoFit, match="samples of the runs"):
        bootstrap.intervals(Points(SIZES[:3, None], SIZES[:3]),
                            lambda some: quantities("power", some))


@pytest.mark.parametrize(("fit", "message"), [
    (lambda: power.fit(np.array([1.0, 1.0, 2.0]), np.ones(3)), "3 different x"),
    (lambda: power.fit(SIZES, np.ones(5)), "differ"),
    (lambda: power.fit(SIZES, -SIZES), "y: must be positive"),
    (lambda: additive.fit(SIZES, SIZES, SIZES), "6 runs"),
    (lambda: additive.fit(np.repeat(SIZES[:2], 5), np.tile(TOKENS, 2), np.ones(10)), "3 sizes"),
    (lambda: additive.fit(*grid()[:2], np.full(25, 3.0)), "told from zero"),
    (lambda: steps.largest_share(SIZES, np.ones(5)), "same at both ends"),
    (lambda: steps.largest_share(np.ones(4), SIZES[:4]), "different x"),
])
def test_what_the_runs_do_not_determine_is_not_fitted(fit, message):
    with pytest.raises(NoFit, match=message):
        fit()
