"""The next-token loss against transformers' LlamaForCausalLM, and by hand."""

import math
from functools import partial

import pytest
import torch
import transformers

from repro.losses.causal_lm import CausalLM, next_tokens
from repro.nn.decoders import llama
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

VOCAB = VocabInfo(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
OBJECTIVE = CausalLM(decoder=partial(
    llama, hidden=16, layers=2, heads=2, intermediate=24, max_positions=16))
TOKENS = torch.randint(5, 50, (3, 9), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("padded", [False, True])
def test_loss_and_gradients_are_those_of_transformers(padded):
    keep = torch.ones_like(TOKENS, dtype=torch.bool)
    if padded:
        keep[0, 4:], keep[2, 8:] = False, False
    model = OBJECTIVE.build(VOCAB, Streams(0))
    theirs = transformers.LlamaForCausalLM(model.config)
    theirs.load_state_dict(model.state_dict())
    ours = OBJECTIVE.loss(model, TOKENS, keep, Streams(0), 0)["loss"]
    labels = TOKENS.masked_fill(~keep, -100)
    expected = theirs(input_ids=TOKENS, attention_mask=keep.long(), labels=labels).loss
    torch.testing.assert_close(ours, expected)
    ours.backward()
    expected.backward()
    for (name, one), two in zip(model.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=name)


def test_a_model_that_knows_nothing_is_at_the_entropy_of_the_vocabulary():
    model = OBJECTIVE.build(VOCAB, Streams(0))
    torch.nn.init.zeros_(model.lm_head.weight)
    keep = torch.ones_like(TOKENS, dtype=torch.bool)
    loss = OBJECTIVE.loss(model, TOKENS, keep, Streams(0), 0)["loss"]
    assert loss.item() == pytest.approx(math.log(50))


def test_each_kept_token_is_predicted_from_the_position_before_it():
    model = OBJECTIVE.build(VOCAB, Streams(0))
    keep = torch.ones_like(TOKENS, dtype=torch.bool)
    keep[1, 3:] = False
    hidden, targets = next_tokens(model, TOKENS, keep)
    expected = [*TOKENS[0, 1:], *TOKENS[1, 1:3], *TOKENS[2, 1:]]
    assert targets.tolist() == [int(t) for t in expected]
    assert hidden.shape == (8 + 2 + 8, 16)
    with pytest.raises(ValueError, match="no token to predict"):
        next_tokens(model, TOKENS[:1], keep[:1] & False)
