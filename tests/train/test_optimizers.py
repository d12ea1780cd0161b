from functools import partial

import pytest
import torch
from torch import nn

from repro.errors import UserError
from repro.losses.replaced_token import ReplacedTokenDetection
from repro.nn.encoders import bert, electra
from repro.text.tokenizer import VocabInfo
from repro.train.optimizers import (
    adamw,
    layer_scales,
    load_named_state,
    named_state,
    set_factor,
)
from repro.train.streams import Streams

VOCAB = VocabInfo(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SMALL = {"hidden": 16, "layers": 3, "heads": 2, "intermediate": 24, "max_positions": 12}


class Classifier(nn.Module):
    def __init__(self, factory):
        super().__init__()
        self.encoder = factory(VOCAB, **SMALL)
        self.classifier = nn.Linear(16, 2)


def rates(model, optimizer):
    of = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize("factory", [bert, partial(electra, embedding=8)])
def test_rates_fall_layer_by_layer_towards_the_input(factory):
    model = Classifier(factory)
    found = rates(model, adamw(model, lr=1.0, layer_decay=0.5))
    assert found["classifier.weight"] == 1.0
    layer = "encoder.encoder.layer.{}.output.dense.weight"
    assert [found[layer.format(i)] for i in range(3)] == [0.5**4, 0.5**3, 0.5**2]
    assert found["encoder.embeddings.word_embeddings.weight"] == 0.5**5
    assert found.get("encoder.embeddings_project.weight", 0.5**5) == 0.5**5


def test_without_layer_decay_every_rate_is_the_peak():
    model = Classifier(bert)
    assert set(rates(model, adamw(model, lr=0.3)).values()) == {0.3}


def test_two_encoders_count_their_own_layers():
    names = ["a.encoder.layer.0.x", "b.encoder.layer.0.x", "b.encoder.layer.1.x", "pooler.x"]
    names += ["a.embeddings.x", "a.pooler.dense.weight"]
    assert layer_scales(names, 0.5) == {
        "a.encoder.layer.0.x": 0.5**2,
        "b.encoder.layer.0.x": 0.5**3,
        "b.encoder.layer.1.x": 0.5**2,
        "a.embeddings.x": 0.5**3,
        "a.pooler.dense.weight": 0.5,
        "pooler.x": 1.0,
    }


def test_vectors_are_not_decayed_and_tied_weights_appear_once():
    tied = ReplacedTokenDetection(
        encoder=partial(electra, **SMALL, embedding=8),
        generator=partial(electra, **SMALL, embedding=8),
    ).build(VOCAB, Streams(0))
    optimizer = adamw(tied, lr=1e-3, weight_decay=0.1)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
    listed = [id(p) for g in optimizer.param_groups for p in g["params"]]
    assert len(listed) == len(set(listed)) == len(list(tied.parameters()))


def test_one_step_is_adam_with_decoupled_decay():
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(2.0)
    optimizer = adamw(layer, lr=0.1, weight_decay=0.5, eps=1e-12)
    layer.weight.grad, layer.bias.grad = torch.full((1, 1), 3.0), torch.full((1,), -3.0)
    optimizer.step()
    assert layer.weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5) - 0.1)
    assert layer.bias.item() == pytest.approx(2.0 + 0.1)


def test_a_schedule_keeps_the_ratios_between_layers():
    model = Classifier(bert)
    optimizer = adamw(model, lr=0.2, layer_decay=0.5)
    set_factor(optimizer, 0.9)
    set_factor(optimizer, 0.5)
    found = rates(model, optimizer)
    assert found["classifier.weight"] == pytest.approx(0.1)
    assert found["encoder.encoder.layer.2.output.dense.weight"] == pytest.approx(0.1 * 0.5**2)


def test_state_travels_by_parameter_name():
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    second.load_state_dict(first.state_dict())
    optimizers = [adamw(model, lr=0.1) for model in (first, second)]

    def step(model, optimizer):
        model.zero_grad()
        model(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    step(first, optimizers[0])
    second.load_state_dict(first.state_dict())
    saved = {name: tensor.clone() for name, tensor in named_state(optimizers[0], first).items()}
    assert {"exp_avg/weight", "exp_avg_sq/weight", "step/bias"} <= saved.keys()
    load_named_state(optimizers[1], second, saved)
    step(first, optimizers[0])
    step(second, optimizers[1])
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)
    with pytest.raises(UserError, match="unknown parameter 'other'"):
        load_named_state(optimizers[1], second, {"exp_avg/other": torch.ones(1)})


@pytest.mark.parametrize("settings", [{"lr": 0.0}, {"lr": 1.0, "layer_decay": 1.5}])
def test_settings_out_of_range_are_errors(settings):
    with pytest.raises(UserError, match="adamw"):
        adamw(nn.Linear(1, 1), **settings)
