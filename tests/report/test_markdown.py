import pytest

from repro.report import markdown


@pytest.mark.parametrize("value, text", [
    (0.12345, "0.123"), (0.0, "0.000"), (-0.00012, "-1.2e-04"), (123.456, "123.5"),
    (2.5e9, "2.500e+09"), (None, "–"),
])
def test_numbers_keep_three_or_four_digits(value, text):
    assert markdown.number(value) == text


def test_intervals_carry_signs():
    found = {"mean": 0.05, "low": -0.01, "high": 0.11}
    assert markdown.interval(found) == "+0.050 [-0.010, +0.110]"


@pytest.mark.parametrize("seconds, text", [
    (0.5, "0.5 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"),
])
def test_durations_read_as_people_say_them(seconds, text):
    assert markdown.duration(seconds) == text


@pytest.mark.parametrize("joules, text", [
    (None, "–"), (6, "0.00167 Wh"), (57_960, "16.1 Wh"), (8_280_000, "2.3 kWh"),
])
def test_energy_is_in_watt_hours(joules, text):
    assert markdown.energy(joules) == text


@pytest.mark.parametrize("value, text", [(0, "0"), (999, "999"), (1234, "1.23 k"), (8e9, "8 G")])
def test_counts_carry_a_prefix(value, text):
    assert markdown.count(value) == text


def test_cells_are_one_line():
    assert markdown.cell("a\n|b") == "a \\|b"
    assert markdown.cell([0.9, 0.999, True, None]) == "0.9, 0.999, true, –"
