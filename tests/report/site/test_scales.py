import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.report.site.scales import Scale, around_zero, nice_step, tick_text, ticks


def test_a_scale_is_linear_and_a_point_stands_in_its_middle():
    scale = Scale(-2, 2, 100, 300)
    assert [scale(v) for v in (-2, 0, 1, 2)] == [100, 200, 250, 300]
    assert Scale(3, 3, 100, 300)(3) == 200


def test_zero_is_in_the_middle_whatever_the_values():
    assert around_zero([-0.155, -0.056], 10, 350)(0) == 180
    assert around_zero([], 10, 350)(0) == 180
    assert around_zero([0.0, 0.0], 10, 350)(0) == 180


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_every_value_lies_inside_its_scale(values):
    scale = around_zero(values, 10, 350)
    assert all(10 <= scale(value) <= 350 for value in values)


@pytest.mark.parametrize(("extent", "parts", "step"), [
    (1.0, 2, 0.5), (0.16, 2, 0.1), (9.0, 3, 5.0), (0.3, 3, 0.1), (1000, 4, 500)])
def test_steps_are_one_two_or_five(extent, parts, step):
    assert nice_step(extent, parts) == pytest.approx(step)


def test_ticks_are_multiples_inside_the_range():
    assert ticks(0, 0.16, 2) == [0, 0.1]
    assert ticks(-0.3, 0.3, 3) == [-0.2, 0, 0.2]
    assert ticks(4.1, 6.2, 4) == [5, 6]
    assert ticks(2, 2, 4) == [2]


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e5), st.integers(1, 6))
def test_there_are_never_more_ticks_than_asked_for(low, extent, parts):
    found = ticks(low, low + extent, parts)
    assert len(found) <= parts + 1
    assert all(low - 1e-6 * extent <= tick <= low + extent * (1 + 1e-6) + 1e-6 for tick in found)


def test_tick_texts_are_short_with_a_true_minus():
    assert [tick_text(v) for v in (-0.1, 0.0, 1000, 2e6, -5e-5)] == [
        "−0.1", "0", "1000", "2e6", "−5e−5"]
