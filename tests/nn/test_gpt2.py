"""GPT-2: transformers' own forward pass, language modelling."""

from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel

from repro.errors import UserError
from repro.losses.next_token import NextToken
from repro.nn import gpt2, published
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

VOCAB = VocabInfo(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
TINY = partial(gpt2.decoder, hidden=16, layers=2, heads=2, max_positions=32, dropout=0.0)
TOKENS = torch.randint(5, 60, (3, 10), generator=torch.Generator().manual_seed(0))
KEEP = torch.ones_like(TOKENS, dtype=torch.bool)


def test_the_states_are_those_of_transformers():
    model = NextToken(decoder=TINY).build(VOCAB, Streams(0)).eval()
    reference = GPT2LMHeadModel(model.config).eval()
    reference.load_state_dict(model.state_dict())
    embedded = model.transformer.wte(TOKENS)
    torch.testing.assert_close(
        gpt2.hidden_states(model, embedded),
        reference.transformer(inputs_embeds=embedded).last_hidden_state)


def test_the_loss_is_that_of_transformers_padded_or_not():
    objective = NextToken(decoder=TINY)
    model = objective.build(VOCAB, Streams(0)).eval()
    reference = GPT2LMHeadModel(model.config).eval()
    reference.load_state_dict(model.state_dict())
    found = objective.loss(model, TOKENS, KEEP, Streams(0), 0)["loss"]
    torch.testing.assert_close(found, reference(TOKENS, labels=TOKENS).loss)
    keep = KEEP.clone()
    keep[0, 6:] = False
    found = objective.loss(model, TOKENS.where(keep, torch.tensor(0)), keep, Streams(0), 0)["loss"]
    labels = TOKENS.where(keep, torch.tensor(-100))
    torch.testing.assert_close(found, reference(TOKENS, labels=labels).loss)


def test_flops_are_those_that_torch_counts():
    objective = NextToken(decoder=TINY)
    model = objective.build(VOCAB, Streams(0))
    with FlopCounterMode(display=False) as counter:
        objective.loss(model, TOKENS, KEEP, Streams(0), 0)["loss"].backward()
    attention = 2 * 3 * 2 * 2 * 10 * 10 * 16 * 3  # not counted on the CPU: 2 layers, 3 rows
    found = objective.training_flops(model, batch_size=3, sequence_length=10)
    assert found == pytest.approx(counter.get_total_flops() + attention, rel=0.1)


def test_its_size_is_gpt2_smalls():
    vocab = VocabInfo(50257, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
    with torch.device("meta"):
        ours, theirs = gpt2.decoder(vocab), GPT2LMHeadModel(GPT2Config())
    assert sum(p.numel() for p in ours.parameters()) == 124_439_808
    assert {n: p.shape for n, p in ours.named_parameters()} == {
        n: p.shape for n, p in theirs.named_parameters()}


def test_weights_of_another_shape_are_refused():
    one, two = TINY(VOCAB), gpt2.decoder(VOCAB, hidden=32, layers=2, heads=2, max_positions=32)
    with pytest.raises(UserError, match="transformer.wte.weight is"):
        published.fill(one, two.state_dict(), "other")
    with pytest.raises(UserError, match="heads = 3"):
        TINY(VOCAB, heads=3)
    with pytest.raises(UserError, match="max_positions = 32"):
        gpt2.hidden_states(one, torch.zeros(1, 33, 16))
