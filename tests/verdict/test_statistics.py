import math

import numpy as np
import pytest

from repro.verdict import statistics as st


def test_t_interval_against_hand_numbers():
    # mean 3, sd sqrt(2.5), t(0.975, 4) = 2.776445: half width 2.776445 * 1.581139 / sqrt(5).
    found = st.estimate([1, 2, 3, 4, 5])
    assert found.mean == 3 and found.sd == pytest.approx(1.5811388)
    assert (found.low, found.high) == pytest.approx((1.0367568, 4.9632432), abs=1e-6)
    # t = 3 / (1.581139 / sqrt(5)) = 4.242641; two-sided p with 4 degrees of freedom.
    assert found.p == pytest.approx(0.0132355, abs=1e-6)


def test_interval_excludes_zero_exactly_when_p_is_below_five_percent():
    draw = np.random.Generator(np.random.Philox(1))
    for _ in range(200):
        found = st.estimate(list(draw.normal(0.8, 1, 5)))
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_with_no_effect_five_seeds_say_reproduced_at_most_four_percent_of_the_time():
    draws = np.random.Generator(np.random.Philox(7)).normal(0, 1, (4000, 5))
    wrong = sum(st.side_of(st.estimate(list(d)), "greater") == "claimed" for d in draws) / 4000
    assert 0.01 <= wrong <= 0.04


def test_with_an_effect_of_two_sd_five_seeds_find_it_nine_times_in_ten():
    draws = np.random.Generator(np.random.Philox(8)).normal(2, 1, (1000, 5))
    right = sum(st.side_of(st.estimate(list(d)), "greater") == "claimed" for d in draws) / 1000
    assert right > 0.85


def test_equal_values_have_an_interval_of_no_width():
    found = st.estimate([0.1] * 5)
    assert (found.mean, found.sd, found.low, found.high, found.p) == (0.1, 0.0, 0.1, 0.1, 0.0)
    nothing = st.estimate([0.0] * 5)
    assert nothing.p == 1.0 and st.side_of(nothing, "greater") == "neither"


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_no_interval_from_too_few_or_infinite_values(values):
    with pytest.raises(ValueError, match="two or more finite values"):
        st.estimate(values)


def test_side_follows_the_claimed_direction():
    up, down = st.estimate([1.0, 1.1, 0.9, 1, 1]), st.estimate([-1.0, -1.1, -0.9, -1, -1])
    assert st.side_of(up, "greater") == st.side_of(down, "less") == "claimed"
    assert st.side_of(up, "less") == st.side_of(down, "greater") == "other"


def test_equivalence_is_two_one_sided_tests():
    values = [0.01, -0.01, 0.0, 0.02, -0.02]
    # sd 0.0158114, se 0.0070711; t to either margin of 0.03 = 4.242641, one-sided p 0.0066178.
    found = st.equivalence(values, 0.03)
    assert found.p == pytest.approx(0.0066178, abs=1e-6)
    assert st.side_of_margin(found, 0.03) == "claimed"
    assert st.side_of_margin(st.equivalence(values, 0.01), 0.01) == "neither"


def test_equivalence_p_agrees_with_the_interval_inside_the_margin():
    draw = np.random.Generator(np.random.Philox(2))
    for _ in range(200):
        found = st.equivalence(list(draw.normal(0, 1, 5)), 1.5)
        assert (found.p < 0.025) == (st.side_of_margin(found, 1.5) == "claimed")


def test_equivalence_far_away_is_the_other_side_unless_one_sided():
    values = [0.5, 0.51, 0.49, 0.5, 0.5]
    found = st.equivalence(values, 0.1)
    assert st.side_of_margin(found, 0.1) == "other"
    better = st.equivalence(values, 0.1, "greater")
    assert st.side_of_margin(better, 0.1, "greater") == "claimed" and better.p < 1e-6
    worse = st.equivalence([-v for v in values], 0.1, "greater")
    assert st.side_of_margin(worse, 0.1, "greater") == "other" and worse.p > 0.99


def test_slope_by_hand_and_against_numpy():
    assert st.slope([0, 1, 2], [1, 3, 5]) == pytest.approx(2)
    x, y = [1, 2, 4, 8], [0.3, 0.5, 0.4, 0.9]
    assert st.slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])


def test_spearman_by_hand_with_ties_and_without_variation():
    assert st.spearman([1, 2, 3, 4], [10, 20, 30, 25]) == pytest.approx(0.8)
    assert st.spearman([1, 2, 3], [5, 4, 3]) == pytest.approx(-1)
    assert st.spearman([1, 2, 3], [1, 1, 2]) == pytest.approx(math.sqrt(3) / 2)
    assert st.spearman([1, 2, 3], [1, 1, 1]) == 0.0
