"""Contrastive losses: by hand, at their limits, and against transformers' CLIP loss."""

import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from repro.errors import UserError
from repro.losses import contrastive
from repro.losses.contrastive import ImageText, info_nce, multi_positive
from repro.nn import flops
from repro.nn.clip import clip
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams
from repro.vision.colours import MEAN, STD

VOCAB = VocabInfo(size=40, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
TINY = partial(clip, image_size=16, patch=8, hidden=16, layers=1, heads=2, intermediate=32,
               text_hidden=12, text_layers=1, text_heads=3, text_intermediate=20,
               max_positions=10, projection=8)
ONE = torch.tensor(1.0)


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=-1)


def batch(texts: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8, generator=generator)
    tokens = torch.randint(5, 40, (4, texts, 6), generator=generator)
    tokens[..., 0], tokens[..., -1] = VOCAB.cls, VOCAB.sep
    return images, tokens


def test_two_pairs_by_hand():
    left, right = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # Logits at scale 2: ((2, 1.2), (0, 1.6)); rows, then columns.
    rows = math.log(1 + math.exp(-0.8)) + math.log(1 + math.exp(-1.6))
    columns = math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(-0.4))
    found = info_nce(left, right, torch.tensor(2.0))
    assert found.item() == pytest.approx((rows + columns) / 4, rel=1e-6)


def test_vectors_that_are_all_alike_cost_the_logarithm_of_their_number():
    same = vectors(1, 8).expand(5, 8)
    assert info_nce(same, same, ONE).item() == pytest.approx(math.log(5), rel=1e-6)


def test_several_positives_are_the_mean_of_the_losses_of_each():
    images, texts = vectors(5, 8), vectors(5, 3, 8, seed=1)
    each = [info_nce(images, texts[:, k], ONE) for k in range(3)]
    torch.testing.assert_close(multi_positive(images, texts, ONE), sum(each) / 3)


def test_texts_of_the_same_image_are_no_negatives_of_each_other():
    images, text = vectors(5, 8), vectors(5, 1, 8, seed=1)
    torch.testing.assert_close(
        multi_positive(images, text.expand(5, 4, 8), ONE), multi_positive(images, text, ONE))


def test_one_text_is_the_loss_of_transformers():
    objective = ImageText(model=TINY)
    model = objective.build(VOCAB, Streams(0))
    images, tokens = batch(texts=1)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    theirs = model(input_ids=tokens[:, 0], pixel_values=(images / 255 - mean) / std,
                   return_loss=True).loss
    ours = objective.loss(model, images, tokens, Streams(0), 0)["loss"]
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
                 for loss in (ours, theirs)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=5e-6)  # float32 sums


def test_operations_are_those_that_torch_counts():
    objective = ImageText(model=TINY)
    model = objective.build(VOCAB, Streams(0))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        objective.loss(model, *batch(), Streams(0), 0)
    said = objective.training_flops(model, batch_size=4, texts=2, sequence_length=6)
    assert flops.training(counter.get_total_flops()) == said


def test_temperatures_stay_in_their_range_and_nothing_else_changes():
    model = ImageText(model=TINY).build(VOCAB, Streams(0))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    contrastive.clamp_scales(model, None, 1)
    assert model.logit_scale.item() == pytest.approx(math.log(100))
    with torch.no_grad():
        model.logit_scale.fill_(-1.0)
    contrastive.clamp_scales(model, None, 2)
    assert model.logit_scale.item() == 0.0
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters()
               if name != "logit_scale")
    with pytest.raises(UserError, match="most = 1.0"):
        contrastive.clamp_scales(model, None, 3, most=1.0)
