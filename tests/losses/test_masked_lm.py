"""Legend: B sequences, T positions, M chosen positions, V words."""

import math
from functools import partial

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertForMaskedLM, ElectraForMaskedLM

from repro.data.masking import mask_tokens
from repro.errors import UserError
from repro.losses.masked_lm import MaskedLM, masked_lm_loss
from repro.nn.encoders import bert, electra
from repro.nn.heads import masked_lm_weights
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

VOCAB = VocabInfo(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SMALL = {"hidden": 16, "layers": 2, "heads": 2, "intermediate": 24, "max_positions": 12}
PLAIN = SMALL | {"dropout": 0.0, "attention_dropout": 0.0}
FACTORIES = {
    "bert": (partial(bert, **PLAIN), BertForMaskedLM),
    "electra": (partial(electra, embedding=8, **PLAIN), ElectraForMaskedLM),
}


def batch(rows: int = 4, length: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    tokens_BT = torch.randint(5, VOCAB.size, (rows, length), generator=generator)
    tokens_BT[:, 0], tokens_BT[:, -1] = VOCAB.cls, VOCAB.sep
    return tokens_BT, torch.ones(rows, length, dtype=torch.bool)


def test_loss_is_the_mean_surprise_of_the_targets():
    logits_MV = torch.tensor([[0.0, math.log(3.0)], [math.log(7.0), 0.0]])
    expected = -(math.log(3 / 4) + math.log(1 / 8)) / 2
    assert masked_lm_loss(logits_MV, torch.tensor([1, 1])).item() == pytest.approx(expected)


def test_uniform_scores_cost_the_logarithm_of_the_vocabulary():
    loss = masked_lm_loss(torch.zeros(6, 50), torch.arange(6))
    assert loss.item() == pytest.approx(math.log(50))


def test_no_chosen_position_is_an_error():
    with pytest.raises(ValueError, match="no position"):
        masked_lm_loss(torch.zeros(0, 50), torch.zeros(0, dtype=torch.long))


@pytest.mark.parametrize("family", FACTORIES)
@pytest.mark.parametrize("padded", [False, True])
def test_loss_and_gradient_are_those_of_transformers(family, padded):
    factory, reference_class = FACTORIES[family]
    objective, streams = MaskedLM(encoder=factory), Streams(5)
    model = objective.build(VOCAB, streams)
    torch.nn.init.normal_(model.head.bias)
    tokens_BT, keep_BT = batch()
    if padded:
        tokens_BT[1, 7:], keep_BT[1, 7:] = VOCAB.pad, False
    reference = reference_class(model.encoder.config)
    reference.load_state_dict(masked_lm_weights(model.encoder, model.head), strict=True)
    reference.tie_weights()
    masked = mask_tokens(tokens_BT, keep_BT, VOCAB, streams.generator("mask", 9))
    labels_N = torch.full((tokens_BT.numel(),), -100)
    labels_N[masked.positions] = masked.targets
    theirs = reference(
        input_ids=masked.inputs_BT, attention_mask=keep_BT.long(), labels=labels_N.view(4, 12)
    ).loss
    ours = objective.loss(model, tokens_BT, keep_BT, streams, 9)["loss"]
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(
        model.encoder.get_input_embeddings().weight.grad,
        reference.get_input_embeddings().weight.grad,
        atol=1e-6,
        rtol=1e-5,
    )


def test_tokens_under_padding_do_not_touch_the_loss():
    objective, streams = MaskedLM(encoder=FACTORIES["bert"][0]), Streams(5)
    model = objective.build(VOCAB, streams)
    tokens_BT, keep_BT = batch()
    keep_BT[0, 8:] = False
    first = objective.loss(model, tokens_BT, keep_BT, streams, 0)["loss"]
    tokens_BT[0, 8:] = 7
    second = objective.loss(model, tokens_BT, keep_BT, streams, 0)["loss"]
    assert first.item() == second.item()


def test_the_same_seed_builds_the_same_model_and_another_member_does_not():
    objective = MaskedLM(encoder=FACTORIES["electra"][0])
    first, again, member = (objective.build(VOCAB, Streams(5, m)) for m in (0, 0, 1))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    weights = [m.encoder.get_input_embeddings().weight for m in (first, member)]
    assert not torch.equal(*weights)


def test_a_sequence_longer_than_the_positions_is_an_error():
    objective, streams = MaskedLM(encoder=FACTORIES["bert"][0]), Streams(5)
    model = objective.build(VOCAB, streams)
    with pytest.raises(UserError, match="max_positions = 12"):
        objective.loss(model, *batch(length=13), streams, 0)


@pytest.mark.parametrize("family", FACTORIES)
def test_flops_are_those_that_torch_counts(family):
    objective, streams = MaskedLM(encoder=FACTORIES[family][0], probability=0.3), Streams(5)
    model = objective.build(VOCAB, streams)
    # The counter does not know the CPU's fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective.loss(model, *batch(), streams, 0)["loss"].backward()
    counted = counter.get_total_flops()
    assert objective.training_flops(model, 4, 12) == counted
