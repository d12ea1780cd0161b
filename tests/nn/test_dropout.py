import json

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from repro.nn.dropout import Dropout, dropout, make_cheap

SIZES = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 12,
}  # fmt: skip


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_share_and_scale_are_those_of_dropout(p):
    torch.manual_seed(0)
    out = dropout(torch.ones(400, 1001), p)
    zeros = (out == 0).double().mean().item()
    assert zeros == pytest.approx(p, abs=5 * (p * (1 - p) / out.numel()) ** 0.5)
    assert out.max().item() == pytest.approx(1 / (1 - p), rel=1e-4)
    assert out.double().mean().item() == pytest.approx(1.0, abs=0.005)


def test_neighbours_are_dropped_independently():
    """Four elements share one draw."""
    torch.manual_seed(0)
    kept_N4 = (dropout(torch.ones(100_000, 4), 0.5) > 0).double()
    correlation_44 = torch.corrcoef(kept_N4.T) - torch.eye(4, dtype=torch.float64)
    assert correlation_44.abs().max().item() < 0.02


def test_limits_and_seed():
    x = torch.randn(3, 5)
    assert torch.equal(dropout(x, 0.0), x)
    assert not dropout(x, 1.0).any()
    torch.manual_seed(4)
    first = dropout(x, 0.3)
    torch.manual_seed(4)
    assert torch.equal(first, dropout(x, 0.3))
    assert torch.equal(Dropout(0.3).eval()(x), x)


def test_gradient_passes_where_the_value_did():
    x = torch.ones(64, requires_grad=True)
    out = dropout(x, 0.25)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def models(dropout_rate):
    torch.manual_seed(1)
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": dropout_rate}
    plain = BertModel(BertConfig(**SIZES, **rates), add_pooling_layer=False)
    cheap = BertModel(BertConfig(**SIZES, **rates), add_pooling_layer=False)
    cheap.load_state_dict(plain.state_dict())
    return plain, make_cheap(cheap)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("rate", [0.0, 1e-9])
def test_attention_without_dropout_is_that_of_transformers(padded, rate):
    """A rate below the resolution takes the path with dropout and drops nothing."""
    plain, cheap = models(rate)
    tokens_BT = torch.arange(5, 17).view(2, 6)
    mask_BT = torch.ones(2, 6, dtype=torch.long)
    mask_BT[1, 4:] = 0
    settings = {"attention_mask": mask_BT} if padded else {}
    outputs = [model.train()(tokens_BT, **settings).last_hidden_state for model in (plain, cheap)]
    torch.testing.assert_close(*outputs, atol=1e-6, rtol=1e-5)


def test_attention_drops_weights_and_keeps_their_mean():
    plain, cheap = models(0.5)
    tokens_BT = torch.arange(5, 11).view(1, 6)
    torch.manual_seed(0)
    with torch.no_grad():
        mean = torch.stack([cheap.train()(tokens_BT)[0] for _ in range(400)]).mean(0)
        expected = torch.stack([plain.train()(tokens_BT)[0] for _ in range(400)]).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.05, rtol=0)
    assert not torch.equal(cheap(tokens_BT)[0], cheap(tokens_BT)[0])


def test_every_dropout_is_replaced_and_the_export_says_nothing(tmp_path):
    _, cheap = models(0.1)
    kinds = {type(module) for module in cheap.modules() if isinstance(module, nn.Dropout)}
    assert kinds == {Dropout}
    cheap.save_pretrained(tmp_path)
    assert "cheap" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
