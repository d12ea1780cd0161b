"""The contrastive loss against transformers' Wav2Vec2ForPreTraining on the same tensors."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from repro.losses.ctc import CTC
from repro.losses.wav2vec import Contrastive, contrastive_loss, masked_spans, negatives
from repro.nn.conformer import conformer
from repro.train.streams import Streams

SMALL = partial(conformer, mels=8, stack=2, hidden=16, layers=1, heads=2, intermediate=32,
                kernel=3, dropout=0.0)
VOCAB = SimpleNamespace(size=6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masks_are_spans_inside_the_utterance() -> None:
    outputs = torch.tensor([40, 12, 3, 2])
    mask = masked_spans(outputs, 0.1, 5, generator())
    assert mask.shape == (4, 40) and (mask.sum(dim=1) >= 2).all()
    assert not any(mask[row, size:].any() for row, size in enumerate(outputs))
    assert mask[0].sum() <= 20 and mask[1].sum() == 5 and mask[2].sum() == 3


def test_negatives_are_other_masked_places_of_the_same_utterance() -> None:
    mask = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0]], dtype=torch.bool)
    index = negatives(mask, 50, generator())
    assert index.shape == (5, 50)
    assert [set(row.tolist()) for row in index] == [{1, 2}, {0, 2}, {0, 1}, {4}, {3}]


def test_loss_by_hand() -> None:
    predicted = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    quantised = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    loss, accuracy = contrastive_loss(predicted, quantised, torch.tensor([[1], [0]]), 0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    assert accuracy.item() == 1


def test_a_negative_equal_to_the_target_does_not_count() -> None:
    same = torch.ones(2, 3)
    loss, _ = contrastive_loss(torch.randn(2, 3), same, torch.tensor([[1], [0]]), 0.1)
    assert loss.item() == 0


class _Stub(nn.Module):
    """Stands for the encoder of the reference: gives the tensors it was given."""

    def __init__(self, **found) -> None:
        super().__init__()
        self.found = SimpleNamespace(**found, hidden_states=None, attentions=None)

    def forward(self, *_, **__):
        return self.found


def test_the_objective_is_that_of_transformers(monkeypatch) -> None:
    objective = Contrastive(encoder=SMALL, probability=0.2, span=3, negatives=4, codes=6, width=8)
    model = objective.build(VOCAB, Streams(0)).eval()
    features, frames = torch.randn(2, 30, 8, generator=generator(1)), torch.tensor([30, 22])
    ours = objective.loss(model, features, frames, None, None, Streams(0), 0)

    draw = Streams(0).generator("mask", 0)
    mask = masked_spans(torch.tensor([15, 11]), 0.2, 3, draw)
    index = negatives(mask, 4, draw)
    inputs = features.view(2, 15, 16)
    keep = torch.arange(15) < torch.tensor([[15], [11]])
    heard = model.encoder(input_features=inputs, attention_mask=keep, mask_time_indices=mask)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16,), conv_stride=(1,), conv_kernel=(1,), num_feat_extract_layers=1,
        codevector_dim=8, proj_codevector_dim=8, num_codevectors_per_group=6,
        diversity_loss_weight=0.1, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    theirs = Wav2Vec2ForPreTraining(config).eval()
    theirs.quantizer.load_state_dict(model.quantizer.state_dict())
    theirs.project_q.load_state_dict(model.project_codes.state_dict())
    theirs.project_hid.load_state_dict(model.project_hidden.state_dict())
    theirs.wav2vec2 = _Stub(last_hidden_state=heard.last_hidden_state,
                            extract_features=heard.extract_features)
    places = mask.flatten().nonzero()[:, 0]
    sampled = torch.zeros(2, 15, 4, dtype=torch.long)
    sampled[mask] = places[index]
    found = theirs(torch.zeros(2, 15), mask_time_indices=mask, sampled_negative_indices=sampled)
    count = mask.sum()
    assert ours["contrastive"].item() == pytest.approx(
        (found.contrastive_loss / count).item(), rel=1e-4)
    assert ours["loss"].item() == pytest.approx((found.loss / count).item(), rel=1e-4)
    assert ours["codes"].item() == pytest.approx(found.codevector_perplexity.item(), rel=1e-4)


def test_the_encoder_begins_as_that_of_ctc() -> None:
    supervised = CTC(encoder=SMALL).build(VOCAB, Streams(4)).base_model
    alone = Contrastive(encoder=SMALL, codes=4, width=8).build(VOCAB, Streams(4)).encoder
    for name, tensor in supervised.state_dict().items():
        assert torch.equal(tensor, alone.state_dict()[name]), name


def test_labels_are_not_looked_at() -> None:
    objective = Contrastive(encoder=SMALL, codes=4, width=8)
    model = objective.build(VOCAB, Streams(0)).eval()
    features, frames = torch.randn(2, 20, 8, generator=generator()), torch.tensor([20, 20])
    one, two = (objective.loss(model, features, frames, labels, None, Streams(0), 0)["loss"]
                for labels in (torch.ones(2, 3), None))
    assert torch.equal(one, two)
