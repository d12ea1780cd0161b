"""What papers/dreamlip adds to the core: hand-made cases, limits, and what equals what."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from papers.dreamlip.grounding import box_shares
from papers.dreamlip.method import (
    DreamLIP,
    SubCaptions,
    grouped,
    grouping_loss,
    weights,
)
from repro.check.footprint import measure
from repro.config import resolved
from repro.config.build import build
from repro.errors import UserError
from repro.losses.contrastive import ImageText, clamp_scales, info_nce
from repro.nn.clip import clip
from repro.paper import Paper
from repro.text.tokenizer import VocabInfo
from repro.train.optimizers import adamw
from repro.train.streams import Streams
from repro.vision.batches import ImageTexts
from repro.vision.texts import RAW, SENTENCES

ROOT = Path(__file__).parents[2]
VOCAB = VocabInfo(size=40, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
TINY = partial(clip, image_size=16, patch=4, hidden=16, layers=1, heads=2, intermediate=32,
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


def test_weights_by_hand():
    # Likeness 1, 0.5, 0 to the text: stretched they stay, and sum to 1.5.
    patches = torch.tensor([[[1.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 1.0]]])
    text = torch.tensor([[[1.0, 0.0]]])
    expected = torch.tensor([[[2 / 3, 1 / 3, 0.0]]])
    torch.testing.assert_close(weights(patches, text, 0.0), expected)
    # At a threshold of 0.6 only the first is left; 1/P = 1/3 lets the second in.
    torch.testing.assert_close(weights(patches, text, 0.6), torch.tensor([[[1.0, 0.0, 0.0]]]))
    torch.testing.assert_close(weights(patches, text, None), expected)


def test_weights_are_shares_whatever_the_patches():
    found = weights(vectors(3, 9, 8), vectors(3, 4, 8, seed=1), 0.2)
    assert found.shape == (3, 4, 9) and (found >= 0).all()
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(3, 4))
    alike = weights(vectors(1, 1, 8).expand(2, 9, 8), vectors(2, 4, 8), 0.0)
    assert alike.isfinite().all() and (alike.sum(dim=-1) <= 1).all()


def test_a_group_is_the_patch_that_alone_is_like_the_text():
    patches, text = torch.eye(4)[None], torch.eye(4)[None, 2:3]
    torch.testing.assert_close(grouped(patches, text, 0.0), text)


def test_negatives_are_all_other_texts_of_the_batch():
    patches, texts = vectors(3, 9, 8), vectors(3, 2, 8, seed=1)
    rows = grouped(patches, texts, 0.0).flatten(0, 1)
    expected = info_nce(rows, texts.flatten(0, 1), ONE)
    torch.testing.assert_close(grouping_loss(patches, texts, ONE, 0.0), expected)
    within = torch.stack([grouping_loss(patches[i : i + 1], texts[i : i + 1], ONE, 0.0)
                          for i in range(3)]).mean()
    assert not torch.allclose(expected, within)


def test_each_group_is_made_of_its_own_image():
    patches, texts = vectors(3, 9, 8), vectors(3, 2, 8, seed=1)
    changed = patches.clone()
    changed[0] = vectors(9, 8, seed=5)
    before, after = grouped(patches, texts, 0.0), grouped(changed, texts, 0.0)
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:], after[1:])


def test_without_the_grouping_loss_it_is_several_positives():
    plain, method = ImageText(model=TINY), DreamLIP(model=TINY, local_weight=0.0)
    models = [objective.build(VOCAB, Streams(0)) for objective in (plain, method)]
    losses = [objective.loss(model, *batch(), Streams(0), 0)["loss"]
              for objective, model in zip((plain, method), models, strict=True)]
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)  # two orders of float32 sums
    for loss in losses:
        loss.backward()
    for (name, one), other in zip(models[0].named_parameters(), models[1].clip.parameters(),
                                  strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=5e-6, msg=name)


def test_both_temperatures_learn_and_stay_in_range():
    objective = DreamLIP(model=TINY)
    model = objective.build(VOCAB, Streams(0))
    parts = objective.loss(model, *batch(), Streams(0), 0)
    torch.testing.assert_close(parts["loss"], parts["global"] + parts["local"])
    parts["loss"].backward()
    scales = {"clip.logit_scale", "local_logit_scale"}
    assert all(p.grad.abs() > 0 for n, p in model.named_parameters() if n in scales)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(9.0) if name in scales else None
    clamp_scales(model, None, 1)
    assert {round(p.exp().item()) for n, p in model.named_parameters() if n in scales} == {100}


def test_what_is_exported_has_no_second_temperature():
    objective = DreamLIP(model=TINY)
    model = objective.build(VOCAB, Streams(0))
    assert not [n for n, _ in objective.exported(model).named_parameters() if "local" in n]
    plain = ImageText(model=TINY).build(VOCAB, Streams(0))
    assert all(torch.equal(a, b) for a, b in zip(
        objective.exported(model).parameters(), plain.parameters(), strict=True))


def test_sentences_are_drawn_without_repetition_and_raw_is_one_of_the_texts():
    rng = np.random.default_rng(0)
    choice = SubCaptions(count=4)
    seen = set()
    for _ in range(300):
        places = choice(SENTENCES + 6, rng)
        assert len(places) == choice.number == 5
        assert places[0] == RAW and len(set(places)) == 5
        seen |= set(places[1:])
    assert seen == set(range(SENTENCES, SENTENCES + 6)), "each sentence, the last one too"


def test_too_few_sentences_are_drawn_again_and_none_is_an_error():
    rng = np.random.default_rng(0)
    assert len(SubCaptions(count=5, with_raw=False)(SENTENCES + 2, rng)) == 5
    with pytest.raises(UserError, match="no sentence"):
        SubCaptions(count=1)(SENTENCES, rng)
    with pytest.raises(UserError, match="count = 0"):
        SubCaptions(count=0)


def test_box_shares_by_hand():
    seen = np.zeros((8, 8), dtype=bool)
    seen[2, 3] = seen[5, 4] = True  # the box: rows 2 to 5, columns 3 and 4
    # 2 x 2 patches of 4 x 4 pixels: each holds two rows and one column of it.
    assert box_shares(seen, 2).tolist() == [2 / 16] * 4
    assert box_shares(np.ones((8, 8), dtype=bool), 2).tolist() == [1.0] * 4


def test_arms_of_a_claim_share_all_but_their_texts_and_loss():
    paper = Paper.find("dreamlip", ROOT)
    arms = resolved.load(paper.dir / "resolved" / "mini")["arms"]
    kept = {}
    for name in ("clip_raw", "clip_long", "clip_onesub", "multipos", "dreamlip"):
        config = arms[name]["pretrain"]["config"]
        rest = {key: value for key, value in config.items() if key not in ("batches", "objective")}
        rest["batches"] = {key: value for key, value in config["batches"].items()
                           if key not in ("texts", "sequence_length")}
        rest["model"] = config["objective"]["model"]
        kept[name] = rest
    assert all(rest == kept["dreamlip"] for rest in kept.values())


def test_the_control_spends_as_many_operations_as_the_method():
    for profile in ("paper", "mini"):
        arms = resolved.load(ROOT / "papers" / "dreamlip" / "resolved" / profile)["arms"]
        spent = {name: _operations(arms[name]["pretrain"]["config"])
                 for name in ("clip_raw_equal_flops", "dreamlip")}
        ratio = spent["clip_raw_equal_flops"] / spent["dreamlip"]
        assert ratio == pytest.approx(1, abs=0.01), profile


def _operations(config: dict) -> int:
    objective, batches = (build(config[name], ROOT)() for name in ("objective", "batches"))
    with torch.device("meta"):
        model = objective.build(VOCAB, Streams(0))
    return config["steps"] * objective.training_flops(model, **batches.shape)


def test_a_dry_run_knows_its_memory():
    batches = ImageTexts(pictures="train", batch_size=4, image_size=16, sequence_length=8,
                         texts=SubCaptions(count=2))
    found, _ = measure(DreamLIP(model=TINY), partial(adamw, lr=1e-3), batches, VOCAB, bf16=True)
    assert found.working and found.trained == found.exported + 1
