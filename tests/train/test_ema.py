import pytest
import torch
from torch import nn

from repro.errors import UserError
from repro.train.ema import ExponentialMovingAverage


def model_at(value):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_average_follows_by_hand():
    model = model_at(1.0)
    average = ExponentialMovingAverage(model, 0.75)
    for value in (5.0, 9.0):
        nn.init.constant_(model.weight, value)
        average.update()
    assert model.weight.item() == 9.0
    average.copy_to_model()
    assert model.weight.item() == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 5) + 0.25 * 9)


def test_decay_zero_is_no_averaging():
    model = model_at(1.0)
    average = ExponentialMovingAverage(model, 0.0)
    nn.init.constant_(model.weight, 4.0)
    average.update()
    average.copy_to_model()
    assert model.weight.item() == 4.0


def test_averages_come_back_from_a_checkpoint():
    model = model_at(1.0)
    average = ExponentialMovingAverage(model, 0.5)
    average.load({"weight": torch.tensor([[3.0]])})
    average.copy_to_model()
    assert model.weight.item() == 3.0


def test_decay_out_of_range_is_an_error():
    with pytest.raises(UserError, match="ema_decay = 1.0"):
        ExponentialMovingAverage(model_at(1.0), 1.0)
