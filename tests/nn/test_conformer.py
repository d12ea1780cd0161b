"""Conformers: shapes, size at the paper's scale, operations as torch counts them."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCTC

from repro.errors import UserError
from repro.nn.conformer import conformer, log_probabilities, outputs_of, stacked, training_flops
from repro.nn.dropout import Dropout


def test_stacking_by_hand() -> None:
    features = torch.arange(10.0).view(1, 5, 2)
    inputs, keep = stacked(features, torch.tensor([3]), 2)
    assert inputs.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]]
    assert keep.tolist() == [[True, True, False]]
    assert outputs_of(torch.tensor([1, 4, 5]), 4).tolist() == [1, 1, 2]


def test_the_papers_size() -> None:
    with torch.device("meta"):
        model = conformer(37, hidden=512, layers=14, heads=4, intermediate=2048, kernel=15)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == pytest.approx(89.98e6, rel=0.02)


def test_probabilities_sum_to_one_at_every_output() -> None:
    model = conformer(7, mels=8, stack=3, hidden=16, layers=1, heads=2, intermediate=32).eval()
    found, outputs = log_probabilities(model, torch.randn(2, 10, 8), torch.tensor([10, 4]))
    assert found.shape == (2, 4, 7) and outputs.tolist() == [4, 2]
    torch.testing.assert_close(found.exp().sum(dim=-1), torch.ones(2, 4))


def test_every_dropout_is_the_cheap_one_at_the_rate_asked_for() -> None:
    model = conformer(7, mels=8, stack=3, hidden=16, layers=2, heads=2, intermediate=32,
                      dropout=0.25)
    found = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert len(found) > 2 * 5 and {type(module) for module in found} == {Dropout}
    assert {module.p for module in found} == {0.25}


def test_an_exported_model_is_loaded_by_name(tmp_path) -> None:
    model = conformer(7, mels=8, stack=3, hidden=16, layers=1, heads=2, intermediate=32).eval()
    model.save_pretrained(tmp_path)
    other = AutoModelForCTC.from_pretrained(tmp_path).eval()
    assert other.config.frame_stack == 3
    speech = torch.randn(1, 9, 8), torch.tensor([9])
    assert torch.equal(log_probabilities(model, *speech)[0], log_probabilities(other, *speech)[0])


def test_operations_are_those_that_torch_counts() -> None:
    model = conformer(7, mels=8, stack=2, hidden=32, layers=2, heads=2, intermediate=64,
                      dropout=0.0).eval()
    with FlopCounterMode(display=False) as counter:
        log_probabilities(model, torch.randn(3, 40, 8), torch.full((3,), 40))
    forward = training_flops(model, 3, 40) / 3
    assert forward == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="heads = 3: must divide hidden = 16"):
        conformer(7, hidden=16, heads=3)
    with pytest.raises(UserError, match="stack = 0"):
        conformer(7, stack=0)
