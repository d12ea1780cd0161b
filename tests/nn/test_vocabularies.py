"""Decoders whose vocabulary stands apart from their body."""

from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from repro.errors import UserError
from repro.nn.decoders import hidden_states, llama
from repro.nn.vocabularies import attention_dropout, own_vocabulary
from repro.text.tokenizer import VocabInfo

TINY = partial(llama, hidden=64, layers=2, heads=2, intermediate=24, max_positions=32)


def vocab(size, pad=0):
    return VocabInfo(size, pad=pad, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))


def built(size, **settings):
    torch.manual_seed(7)
    return own_vocabulary(vocab(size), decoder=TINY, **settings)


def test_the_body_does_not_depend_on_the_vocabulary():
    small, large = (dict(built(size).named_parameters()) for size in (20, 300))
    apart = {name for name in small if small[name].shape != large[name].shape}
    assert apart == {"model.embed_tokens.weight", "lm_head.weight"}
    assert all(torch.equal(small[name], large[name]) for name in small.keys() - apart)


def test_embedding_and_head_are_as_torch_begins_them():
    model = built(4000, embedding_std=1.0)
    assert model.model.embed_tokens.weight.std().item() == pytest.approx(1.0, rel=0.01)
    head = model.lm_head.weight  # uniform within 1 / sqrt(64)
    assert head.abs().max().item() == pytest.approx(1 / 8, rel=0.01)
    assert head.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=0.01)
    small = built(4000, embedding_std=0.02)
    assert small.model.embed_tokens.weight.std().item() == pytest.approx(0.02, rel=0.01)
    # Also that of a padding token: it may be a word in one of two phases.
    assert model.model.embed_tokens.weight[0].abs().sum() > 0


def test_transformers_own_class_says_the_same(tmp_path):
    model = built(50).eval()
    model.save_pretrained(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(theirs) is LlamaForCausalLM and theirs.config.vocab_size == 50
    tokens = torch.randint(0, 50, (3, 20))
    ours = model.lm_head(hidden_states(model, tokens))
    torch.testing.assert_close(ours, theirs(tokens).logits, rtol=1e-5, atol=1e-6)


def test_attention_weights_are_dropped_in_training_only():
    def decoder(info):
        return attention_dropout(info, decoder=TINY, rate=0.5)

    torch.manual_seed(0)
    model, tokens = own_vocabulary(vocab(50), decoder=decoder), torch.randint(0, 50, (2, 20))
    assert model.config.attention_dropout == 0.5
    assert not torch.equal(hidden_states(model, tokens), hidden_states(model, tokens))
    model.eval()
    assert torch.equal(hidden_states(model, tokens), hidden_states(model, tokens))


def test_settings_out_of_range_are_errors():
    with pytest.raises(UserError, match="tied"):
        own_vocabulary(vocab(20), decoder=partial(TINY, tied=True))
    with pytest.raises(UserError, match="embedding_std = 0"):
        own_vocabulary(vocab(20), decoder=TINY, embedding_std=0)
    with pytest.raises(UserError, match="rate = 1"):
        attention_dropout(vocab(20), decoder=TINY, rate=1)
