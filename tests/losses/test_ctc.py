"""CTC against every path written out, torch, and the loss of transformers' own class."""

import itertools
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from repro.errors import UserError
from repro.losses.ctc import CTC, ctc_loss
from repro.nn.conformer import conformer, log_probabilities, stacked
from repro.train.streams import Streams

SMALL = partial(conformer, mels=8, stack=2, hidden=16, layers=2, heads=2, intermediate=32,
                kernel=3, dropout=0.0)
VOCAB = SimpleNamespace(size=6)


def log_probs(rows: int, outputs: int, units: int) -> torch.Tensor:
    return torch.randn(rows, outputs, units,
                       generator=torch.Generator().manual_seed(outputs)).log_softmax(dim=-1)


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(unit for unit, _ in itertools.groupby(path) if unit)


@pytest.mark.parametrize("labels", [(1,), (1, 2), (2, 2), (1, 2, 1)])
def test_probability_is_the_sum_over_all_paths(labels) -> None:
    table = log_probs(1, 4, 3)
    total = sum(
        math.exp(sum(table[0, place, unit].item() for place, unit in enumerate(path)))
        for path in itertools.product(range(3), repeat=4) if collapsed(path) == labels)
    found = ctc_loss(table, torch.tensor([4]), torch.tensor([labels]), torch.tensor([len(labels)]))
    assert found.item() == pytest.approx(-math.log(total) / len(labels), rel=1e-5)


def test_utterances_and_units_by_hand() -> None:
    table = log_probs(2, 5, 4)
    labels, units = torch.tensor([[1, 2, 3], [3, 0, 0]]), torch.tensor([3, 1])
    outputs = torch.tensor([5, 2])
    each = F.ctc_loss(table.transpose(0, 1), labels, outputs, units, reduction="none")
    assert ctc_loss(table, outputs, labels, units).item() == pytest.approx(each.sum().item() / 4)


def test_labels_that_no_path_fits_count_as_nothing() -> None:
    table = log_probs(2, 3, 4)
    labels, units = torch.tensor([[1, 1, 1], [2, 0, 0]]), torch.tensor([3, 1])
    alone = F.ctc_loss(table[1:].transpose(0, 1), labels[1:], torch.tensor([3]), units[1:],
                       reduction="sum")
    found = ctc_loss(table, torch.tensor([3, 3]), labels, units)
    assert found.item() == pytest.approx(alone.item() / 4)


def test_no_unit_is_an_error() -> None:
    with pytest.raises(ValueError, match="no unit"):
        ctc_loss(log_probs(1, 3, 3), torch.tensor([3]), torch.zeros(1, 1, dtype=torch.long),
                 torch.tensor([0]))


def batch():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 21, 8, generator=generator)
    frames = torch.tensor([21, 14, 9])
    for row, size in enumerate(frames):
        features[row, size:] = 0
    return features, frames, torch.tensor([[1, 2, 3], [4, 4, 0], [5, 0, 0]]), \
        torch.tensor([3, 2, 1])


def test_the_objective_is_the_loss_of_transformers_own_class() -> None:
    objective = CTC(encoder=SMALL, frequency_masks=0, time_masks=0)
    model = objective.build(VOCAB, Streams(0)).eval()
    features, frames, labels, units = batch()
    inputs, keep = stacked(features, frames, 2)
    theirs = model(input_features=inputs, attention_mask=keep,
                   labels=labels.masked_fill(labels == 0, -100)).loss
    ours = objective.loss(model, features, frames, labels, units, Streams(0), 0)["loss"]
    assert ours.item() == pytest.approx(theirs.item() / 6, rel=1e-5)


def test_padding_changes_nothing() -> None:
    model = CTC(encoder=SMALL).build(VOCAB, Streams(0)).eval()
    features, frames, *_ = batch()
    with torch.no_grad():
        together, outputs = log_probabilities(model, features, frames)
        alone, _ = log_probabilities(model, features[2:, :9], frames[2:])
    assert outputs.tolist() == [11, 7, 5]
    torch.testing.assert_close(together[2, :5], alone[0], rtol=1e-4, atol=1e-5)


def test_all_arms_of_a_seed_share_masks_and_first_weights() -> None:
    objective = CTC(encoder=SMALL)
    one, two = (objective.build(VOCAB, Streams(3)) for _ in range(2))
    losses = [objective.loss(model.eval(), *batch(), Streams(3), 5)["loss"] for model in (one, two)]
    assert torch.equal(*losses)
    other = objective.loss(one, *batch(), Streams(3), 6)["loss"]
    assert not torch.equal(losses[0], other)


def test_an_inventory_must_hold_the_labels() -> None:
    vocab = SimpleNamespace(size=6, units="012345")
    assert CTC(encoder=SMALL, classes=9).build(vocab, Streams(0)).lm_head.out_features == 9
    with pytest.raises(UserError, match="classes = 5: the labels have 6"):
        CTC(encoder=SMALL, classes=5).build(vocab, Streams(0))
