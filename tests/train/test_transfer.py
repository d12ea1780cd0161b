"""Phases of training in sequence: what is taken over from the model of the phase before."""

from functools import partial

import pytest
import torch

from repro.errors import UserError
from repro.nn.decoders import llama
from repro.nn.vocabularies import own_vocabulary
from repro.text.tokenizer import VocabInfo
from repro.train.transfer import VOCABULARY, carry_over

TINY = partial(llama, hidden=16, layers=2, heads=2, intermediate=24, max_positions=32)


def vocab(size):
    return VocabInfo(size, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))


def built(size, seed, decoder=TINY):
    torch.manual_seed(seed)
    return own_vocabulary(vocab(size), decoder=decoder)


def weights(model):
    return {name: value.clone() for name, value in model.named_parameters()}


@pytest.fixture
def earlier(tmp_path):
    model = built(20, seed=1)
    model.save_pretrained(tmp_path)
    return tmp_path, weights(model)


def test_everything_but_the_vocabulary_is_taken_over(earlier):
    folder, before = earlier
    model = built(50, seed=2)
    first = weights(model)
    carry_over(model, folder)
    for name, value in model.named_parameters():
        assert torch.equal(value, (first if name in VOCABULARY else before)[name]), name
        assert value.requires_grad


@pytest.mark.parametrize(("part", "layers"), [("self_attn", 8), ("mlp", 6)])
def test_parts_are_begun_anew_by_name(earlier, part, layers):
    folder, before = earlier
    model = built(50, seed=2)
    first = weights(model)
    carry_over(model, folder, fresh=(*VOCABULARY, f".*{part}.*"))
    anew = [n for n, value in model.named_parameters() if torch.equal(value, first[n])
            and not (n in before and torch.equal(value, before[n]))]
    assert {name for name in anew if part in name or name in VOCABULARY} == set(anew)
    assert len(anew) == layers + 2


def test_what_does_not_fit_is_an_error(earlier, tmp_path):
    folder, _ = earlier
    with pytest.raises(UserError, match="no parameter is called 'model.wte'"):
        carry_over(built(50, seed=2), folder, fresh=("model.wte",))
    with pytest.raises(UserError, match=r"lm_head.weight is \(50, 16\), in the phase before \(20"):
        carry_over(built(50, seed=2), folder, fresh=VOCABULARY[:1])
    deeper = partial(TINY, layers=3)
    with pytest.raises(UserError, match="model.layers.2.*in the phase before missing"):
        carry_over(built(50, seed=2, decoder=deeper), folder)
    with pytest.raises(UserError, match="no readable model of the phase before"):
        carry_over(built(50, seed=2), tmp_path / "nothing")
