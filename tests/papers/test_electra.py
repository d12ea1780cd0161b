"""What papers/electra adds to the core, by hand-made cases."""

import json
import math
from pathlib import Path

import pytest
import torch

from papers.electra.method import (
    AllTokensMLM,
    DetectionAtMasked,
    ReplaceMLM,
    copy_mixture_loss,
)
from repro.config import resolved
from repro.config.build import build
from repro.losses.masked_lm import masked_lm_loss
from repro.losses.replaced_token import ReplacedTokenDetection, replaced_token_loss
from repro.nn import encoders
from repro.nn.heads import gather
from repro.settings import load_params
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
VOCAB = VocabInfo(size=40, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
TOKENS = torch.randint(5, 40, (6, 12), generator=torch.Generator().manual_seed(0))
KEEP = torch.ones_like(TOKENS, dtype=torch.bool)


def encoder(vocab: VocabInfo):
    return encoders.electra(vocab, hidden=16, heads=2, layers=1, intermediate=16, embedding=16,
                            max_positions=16, dropout=0.0, attention_dropout=0.0)


def make(kind):
    objective = kind(encoder=encoder, generator=encoder)
    model = objective.build(VOCAB, Streams(0))
    corruption = objective.corrupt(model, TOKENS, KEEP, Streams(0), 0)
    hidden = encoders.encode(model.encoder, corruption.inputs_BT, None)
    return objective, model, corruption, hidden


def test_the_copy_mixture_by_hand() -> None:
    # Two words, logits (0, 0): softmax 1/2. Gate logit ln 3: copy 3/4.
    logits, gate = torch.zeros(2, 2), torch.full((2,), math.log(3.0))
    inputs, originals = torch.tensor([0, 0]), torch.tensor([0, 1])
    kept, changed = 3 / 4 + 1 / 4 * 1 / 2, 1 / 4 * 1 / 2
    expected = -(math.log(kept) + math.log(changed)) / 2
    found = copy_mixture_loss(logits, gate, inputs, originals)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_a_closed_gate_leaves_plain_cross_entropy_and_an_extreme_one_stays_finite() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    words = torch.tensor([0, 1, 2, 3, 4])
    closed = copy_mixture_loss(logits, torch.full((5,), -60.0), words, words)
    assert closed.item() == pytest.approx(masked_lm_loss(logits, words).item(), rel=1e-6)
    other = (words + 1) % 7
    assert math.isfinite(copy_mixture_loss(logits, torch.full((5,), 80.0), words, other).item())
    with pytest.raises(ValueError, match="no token"):
        copy_mixture_loss(logits[:0], torch.zeros(0), words[:0], words[:0])


def test_electra_15_looks_at_the_masked_positions_only() -> None:
    objective, model, corruption, hidden = make(DetectionAtMasked)
    loss, _ = objective.encoder_loss(model, hidden, corruption)
    at = corruption.positions_M
    expected = replaced_token_loss(
        model.head(hidden).flatten()[at], corruption.is_replaced_BT.flatten()[at])
    assert torch.equal(loss, expected)
    everywhere = ReplacedTokenDetection.encoder_loss(objective, model, hidden, corruption)[0]
    assert not torch.allclose(loss, everywhere)


def test_replace_mlm_never_sees_a_mask_and_asks_for_the_originals() -> None:
    objective, model, corruption, hidden = make(ReplaceMLM)
    assert not (corruption.inputs_BT == VOCAB.mask).any()
    assert torch.equal(TOKENS.flatten()[corruption.positions_M], corruption.targets_M)
    loss, _ = objective.encoder_loss(model, hidden, corruption)
    logits = model.head(gather(hidden, corruption.positions_M))
    assert torch.equal(loss, masked_lm_loss(logits, corruption.targets_M))


def test_every_ablation_corrupts_the_input_in_the_same_way() -> None:
    inputs = [make(kind)[2].inputs_BT for kind in
              (ReplacedTokenDetection, DetectionAtMasked, ReplaceMLM, AllTokensMLM)]
    assert all(torch.equal(inputs[0], other) for other in inputs[1:])


def test_all_tokens_mlm_trains_gate_words_and_encoder() -> None:
    objective, model, _, _ = make(AllTokensMLM)
    objective.loss(model, TOKENS, KEEP, Streams(0), 0)["loss"].backward()
    for part in (model.head.copy, model.head.words.transform, model.encoder, model.generator):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_bert_flops_spends_what_electra_spends() -> None:
    arms = resolved.load(ROOT / "papers/electra/resolved/mini")["arms"]
    spent = {}
    for arm in ("bert", "bert_flops", "electra"):
        config = arms[arm]["pretrain"]["config"]
        objective = build(config["objective"], ROOT)()
        vocab = VocabInfo(size=1024, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
        model = objective.build(vocab, Streams(0))
        step = objective.training_flops(model, **build(config["batches"], ROOT)().shape)
        spent[arm] = config["steps"] * step
    assert spent["bert_flops"] == pytest.approx(spent["electra"], rel=0.005)
    assert spent["bert"] < 0.9 * spent["electra"]


def test_arms_of_a_claim_share_data_tokens_and_tuning() -> None:
    arms = resolved.load(ROOT / "papers/electra/resolved/mini")["arms"]
    for name in ("electra", "electra_15", "replace_mlm", "all_tokens_mlm"):
        for setting in ("batches", "steps", "schedule", "clip_norm"):
            ours, bert = (arms[a]["pretrain"]["config"][setting] for a in (name, "bert"))
            assert ours == bert, f"{name}.{setting}"
        ours, bert = (arms[a]["pretrain"]["config"]["optimizer"] for a in (name, "bert"))
        assert ours | {"lr": 0} == bert | {"lr": 0}
        assert arms[name]["finetune"] == arms["bert"]["finetune"]
        config = arms[name]["pretrain"]["config"]["objective"]
        assert config["encoder"] == arms["bert"]["pretrain"]["config"]["objective"]["encoder"]


def test_each_arm_has_the_better_rate_of_the_grid_that_all_were_tried_on() -> None:
    lines = (ROOT / "papers/electra/tuning.jsonl").read_text("utf-8").splitlines()
    tried: dict[str, dict[float, float]] = {}
    for row in map(json.loads, lines):
        assert row["mean"] == pytest.approx(sum(row["dev"].values()) / len(row["dev"]))
        tried.setdefault(row["arm"], {})[row["value"]] = row["mean"]
    assert len({frozenset(means) for means in tried.values()}) == 1
    arms = resolved.load(ROOT / "papers/electra/resolved/mini")["arms"]
    for name, arm in arms.items():
        if arm["pretrain"]["config"]["steps"]:
            means = tried["bert" if name == "bert_flops" else name]
            assert arm["pretrain"]["config"]["optimizer"]["lr"] == max(means, key=means.get), name
    seeds = {json.loads(line)["seed"] for line in lines}
    assert not seeds & set(load_params(ROOT / "params.yaml").suite.seeds)
