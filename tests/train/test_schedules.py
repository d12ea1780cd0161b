import pytest

from repro.errors import UserError
from repro.train.schedules import constant, cosine, linear, linear_by_epoch


def factors(schedule, total, **settings):
    return [schedule(step, total, **settings) for step in range(total)]


def test_linear_rises_and_falls():
    assert factors(linear, 6, warmup_steps=2) == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25])
    assert factors(linear, 6, warmup_fraction=1 / 3) == factors(linear, 6, warmup_steps=2)
    assert factors(linear, 4, warmup_steps=0, floor=0.5) == pytest.approx([1, 0.875, 0.75, 0.625])


def test_cosine_is_at_half_in_the_middle_and_ends_at_the_floor():
    assert cosine(5, 10, warmup_steps=0) == pytest.approx(0.5)
    assert cosine(10, 10, warmup_steps=2, floor=0.1) == pytest.approx(0.1)


def test_constant_is_one_after_the_warm_up():
    assert factors(constant, 4) == [1.0] * 4
    assert factors(constant, 4, warmup_steps=2) == [0.5, 1.0, 1.0, 1.0]


def test_by_epoch_moves_once_per_epoch():
    assert factors(linear_by_epoch, 6, epochs=3) == pytest.approx(
        [1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3]
    )
    with pytest.raises(UserError, match="epochs = 0"):
        linear_by_epoch(0, 6, epochs=0)


@pytest.mark.parametrize("schedule", [constant, linear, cosine])
def test_no_update_is_wasted(schedule):
    assert min(factors(schedule, 50, warmup_fraction=0.2)) > 0


@pytest.mark.parametrize("settings", [{"warmup_fraction": 1.5}, {"warmup_steps": -1}])
def test_settings_out_of_range_are_errors(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        linear(0, 10, **settings)
