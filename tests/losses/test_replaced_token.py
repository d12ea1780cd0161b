"""Legend: B sequences, T positions, M chosen positions, V words."""

import math
from functools import partial

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import ElectraForMaskedLM, ElectraForPreTraining

from repro.errors import UserError
from repro.losses.masked_lm import MaskedLM
from repro.losses.replaced_token import (
    ReplacedTokenDetection,
    detection_report,
    replaced_labels,
    replaced_token_loss,
    sample_tokens,
)
from repro.nn.encoders import electra
from repro.nn.heads import gather, masked_lm_weights
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

VOCAB = VocabInfo(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
PLAIN = {"layers": 2, "heads": 2, "intermediate": 24, "max_positions": 12, "embedding": 8}
PLAIN |= {"dropout": 0.0, "attention_dropout": 0.0}
LARGE = partial(electra, hidden=16, **PLAIN)
SMALL = partial(electra, hidden=12, **PLAIN)
KEPT = torch.ones(1, 4, dtype=torch.bool)


def batch(rows: int = 4, length: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    tokens_BT = torch.randint(5, VOCAB.size, (rows, length), generator=generator)
    tokens_BT[:, 0], tokens_BT[:, -1] = VOCAB.cls, VOCAB.sep
    return tokens_BT, torch.ones(rows, length, dtype=torch.bool)


def test_a_correct_guess_is_labelled_original_and_padding_never_replaced():
    original_BT = torch.tensor([[5, 6, 7, 0]])
    corrupted_BT = torch.tensor([[5, 6, 9, 8]])  # position 1 was sampled, and sampled right
    keep_BT = torch.tensor([[True, True, True, False]])
    assert replaced_labels(original_BT, corrupted_BT, keep_BT).tolist() == [
        [False, False, True, False]
    ]


def test_loss_is_the_mean_surprise_over_kept_tokens():
    logits_BT = torch.tensor([[math.log(3.0), 0.0, -math.log(4.0), 99.0]])
    labels_BT = torch.tensor([[True, False, False, False]])
    keep_BT = torch.tensor([[True, True, True, False]])
    expected = -(math.log(3 / 4) + math.log(1 / 2) + math.log(4 / 5)) / 3
    loss = replaced_token_loss(logits_BT, labels_BT, keep_BT)
    assert loss.item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="no token is kept"):
        replaced_token_loss(logits_BT, labels_BT, torch.zeros_like(keep_BT))


def test_a_detector_without_knowledge_costs_one_bit():
    assert replaced_token_loss(torch.zeros(1, 4), ~KEPT).item() == pytest.approx(math.log(2))


def test_report_tells_a_detector_from_the_base_rate():
    labels_BT = torch.tensor([[True, False, False, False]])
    perfect = detection_report(torch.tensor([[2.0, 1.0, 0.0, -1.0]]), labels_BT)
    assert perfect["replaced_rate"].item() == 0.25
    assert perfect["base_entropy"].item() == pytest.approx(
        -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    )
    assert perfect["detection_auc"].item() == 1.0
    middling = detection_report(torch.tensor([[1.0, 2.0, 0.0, -1.0]]), labels_BT)
    assert middling["detection_auc"].item() == pytest.approx(2 / 3)
    none = detection_report(torch.zeros(1, 4), ~KEPT)
    assert none["base_entropy"].item() == 0.0 and none["detection_auc"].item() == 0.5


@pytest.mark.parametrize("words", [5, 128, 300])
def test_sampler_follows_the_softmax(words):
    generator = torch.Generator().manual_seed(0)
    logits_V = torch.randn(words, generator=generator)
    draws = 60_000
    sampled = sample_tokens(logits_V.expand(draws, words), generator)
    frequency_V = torch.bincount(sampled, minlength=words) / draws
    probability_V = logits_V.softmax(0)
    spread_V = (probability_V * (1 - probability_V) / draws).sqrt()
    assert ((frequency_V - probability_V).abs() < 5 * spread_V).all()


def test_sampler_at_temperature_two_flattens_and_near_zero_takes_the_best():
    logits_MV = torch.tensor([0.0, math.log(9.0)]).expand(40_000, 2)
    flat = sample_tokens(logits_MV, torch.Generator().manual_seed(0), 2.0)
    assert flat.double().mean().item() == pytest.approx(0.75, abs=0.01)
    cold = sample_tokens(logits_MV, torch.Generator().manual_seed(0), 1e-3)
    assert cold.min().item() == 1
    with pytest.raises(UserError, match="temperature"):
        sample_tokens(logits_MV, torch.Generator(), 0.0)


def test_sampler_never_draws_an_impossible_word():
    logits_MV = torch.full((50_000, 200), -torch.inf)
    logits_MV[:, [7, 130]] = 0.0
    drawn = sample_tokens(logits_MV, torch.Generator().manual_seed(1))
    assert set(drawn.tolist()) == {7, 130}


def test_loss_is_that_of_transformers_generator_and_discriminator():
    objective, streams = ReplacedTokenDetection(encoder=LARGE, generator=SMALL), Streams(5)
    model = objective.build(VOCAB, streams)
    tokens_BT, keep_BT = batch()
    tokens_BT[1, 7:], keep_BT[1, 7:] = VOCAB.pad, False
    corruption = objective.corrupt(model, tokens_BT, keep_BT, streams, 3)
    generator = ElectraForMaskedLM(model.generator.config)
    weights = masked_lm_weights(model.generator, model.generator_head)
    generator.load_state_dict(weights, strict=True)
    discriminator = ElectraForPreTraining(model.encoder.config)
    discriminator.electra.load_state_dict(model.encoder.state_dict(), strict=True)
    discriminator.discriminator_predictions.load_state_dict(model.head.state_dict(), strict=True)

    masked_N, labels_N = tokens_BT.flatten().clone(), torch.full((48,), -100)
    masked_N[corruption.positions_M] = VOCAB.mask
    labels_N[corruption.positions_M] = corruption.targets_M
    mask_BT = keep_BT.long()
    mlm = generator(masked_N.view(4, 12), attention_mask=mask_BT, labels=labels_N.view(4, 12)).loss
    labels_BT = (corruption.inputs_BT != tokens_BT).long()
    rtd = discriminator(corruption.inputs_BT, attention_mask=mask_BT, labels=labels_BT).loss

    parts = objective.loss(model, tokens_BT, keep_BT, streams, 3)
    assert parts["generator_loss"].item() == pytest.approx(mlm.item(), abs=1e-6)
    assert parts["encoder_loss"].item() == pytest.approx(rtd.item(), abs=1e-6)
    assert parts["loss"].item() == pytest.approx((mlm + 50 * rtd).item(), rel=1e-6)
    assert labels_BT.sum() > 0 and not labels_BT[1, 7:].any()


def test_no_gradient_passes_the_sampler():
    objective = ReplacedTokenDetection(
        encoder=LARGE, generator=SMALL, generator_weight=0.0, tie_embeddings=False
    )
    streams = Streams(5)
    model = objective.build(VOCAB, streams)
    objective.loss(model, *batch(), streams, 0)["loss"].backward()
    for name, parameter in model.generator.named_parameters():
        assert parameter.grad is None or not parameter.grad.any(), name
    assert model.encoder.get_input_embeddings().weight.grad.any()


def test_without_the_discriminator_the_generator_learns_as_a_masked_lm():
    streams = Streams(5)
    settings = {"discriminator_weight": 0.0, "tie_embeddings": False}
    joint = ReplacedTokenDetection(encoder=LARGE, generator=SMALL, **settings)
    alone = MaskedLM(encoder=SMALL, mask_share=0.85, random_share=0.0)
    ours, baseline = joint.build(VOCAB, streams), alone.build(VOCAB, streams)
    baseline.encoder.load_state_dict(ours.generator.state_dict())
    baseline.head.load_state_dict(ours.generator_head.state_dict())
    joint.loss(ours, *batch(), streams, 2)["loss"].backward()
    alone.loss(baseline, *batch(), streams, 2)["loss"].backward()
    expected = dict(baseline.encoder.named_parameters())
    for name, parameter in ours.generator.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=0, atol=0)
    assert not ours.head.dense.weight.grad.any()


def test_the_encoder_starts_as_that_of_the_baseline():
    streams = Streams(5)
    electra_model = ReplacedTokenDetection(encoder=LARGE, generator=SMALL).build(VOCAB, streams)
    mlm_model = MaskedLM(encoder=LARGE).build(VOCAB, streams)
    for name, value in mlm_model.encoder.state_dict().items():
        assert torch.equal(value, electra_model.encoder.state_dict()[name]), name


def test_tied_embeddings_are_one_tensor_and_untied_are_two():
    tied = ReplacedTokenDetection(encoder=LARGE, generator=SMALL).build(VOCAB, Streams(1))
    assert tied.generator.embeddings is tied.encoder.embeddings
    assert tied.generator_head.decoder is tied.encoder.get_input_embeddings().weight
    untied = ReplacedTokenDetection(encoder=LARGE, generator=SMALL, tie_embeddings=False)
    model = untied.build(VOCAB, Streams(1))
    assert model.generator.embeddings is not model.encoder.embeddings
    assert model.generator_head.decoder is model.generator.get_input_embeddings().weight
    other = partial(electra, hidden=16, **(PLAIN | {"embedding": 6}))
    with pytest.raises(UserError, match="tie_embeddings: embedding sizes differ"):
        ReplacedTokenDetection(encoder=LARGE, generator=other).build(VOCAB, Streams(1))


class ChosenOnly(ReplacedTokenDetection):
    """ELECTRA 15 %: the detector is asked at chosen positions only."""

    def encoder_loss(self, model, hidden_BTD, corruption):
        logits_M = model.head(gather(hidden_BTD, corruption.positions_M))
        labels_M = corruption.is_replaced_BT.flatten()[corruption.positions_M]
        return replaced_token_loss(logits_M, labels_M), {}


def test_another_task_on_the_corrupted_input_is_a_small_subclass():
    streams = Streams(5)
    objective = ChosenOnly(encoder=LARGE, generator=SMALL)
    model = objective.build(VOCAB, streams)
    tokens_BT, keep_BT = batch()
    corruption = objective.corrupt(model, tokens_BT, keep_BT, streams, 0)
    hidden_BTD = model.encoder(corruption.inputs_BT).last_hidden_state
    chosen_BT = torch.zeros(48, dtype=torch.bool).index_fill(0, corruption.positions_M, True)
    expected = replaced_token_loss(
        model.head(hidden_BTD), corruption.is_replaced_BT, chosen_BT.view(4, 12)
    )
    found = objective.loss(model, tokens_BT, keep_BT, streams, 0)["encoder_loss"]
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_flops_are_those_that_torch_counts():
    objective, streams = ReplacedTokenDetection(encoder=LARGE, generator=SMALL), Streams(5)
    model = objective.build(VOCAB, streams)
    tokens_BT, keep_BT = batch()
    # The counter does not know the CPU's fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective.loss(model, tokens_BT, keep_BT, streams, 0)["loss"].backward()
    with FlopCounterMode(display=False) as sampling:
        sample_tokens(torch.zeros(8, VOCAB.size), torch.Generator())
    counted = counter.get_total_flops() - sampling.get_total_flops()
    assert objective.training_flops(model, 4, 12) == counted
