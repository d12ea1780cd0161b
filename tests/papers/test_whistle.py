"""What papers/whistle adds to the core, and that its arms are compared on equal terms."""

from functools import partial
from pathlib import Path

import pytest
import torch

from papers.whistle.method import cross_lingual, known_rows
from repro.audio.store import Spelling, write_spelling
from repro.config import resolved
from repro.losses.ctc import CTC
from repro.losses.wav2vec import Contrastive
from repro.nn.conformer import conformer
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
SMALL = partial(conformer, mels=8, stack=2, hidden=16, layers=1, heads=2, intermediate=32, kernel=3)
OLD = ["a", "b", "tʃ"]


def spelling(kind: str, *units: str) -> Spelling:
    return Spelling("new", kind, ("<blank>", *units), {"zz": {}})


def test_known_phones_by_hand() -> None:
    old, new = spelling("phones", *OLD), spelling("phones", "b", "x", "a")
    assert known_rows(old, new) == [(0, 0), (2, 1), (1, 3)]


def test_a_letter_is_not_the_phone_that_looks_like_it() -> None:
    assert known_rows(spelling("phones", *OLD), spelling("subwords", "a", "b")) == [(0, 0)]


@pytest.fixture
def before(tmp_path):
    """The folder of a model pre-trained in phones, and that model."""
    model = CTC(encoder=SMALL).build(spelling("phones", *OLD), Streams(0))
    with torch.no_grad():
        model.lm_head.bias.copy_(torch.arange(4.0))
    model.save_pretrained(tmp_path)
    write_spelling(tmp_path, "seen", "phones", {}, OLD)
    return tmp_path, model


def test_the_encoder_and_the_rows_of_known_phones_are_taken_over(before) -> None:
    folder, old = before
    vocab = spelling("phones", "b", "x", "a")
    fresh = CTC(encoder=SMALL).build(vocab, Streams(1))
    model = CTC(encoder=SMALL).build(vocab, Streams(1))
    cross_lingual(model, folder, vocab)
    for name, tensor in old.base_model.state_dict().items():
        assert torch.equal(tensor, model.base_model.state_dict()[name]), name
    rows = {0: old.lm_head.weight[0], 1: old.lm_head.weight[2], 3: old.lm_head.weight[1],
            2: fresh.lm_head.weight[2]}
    for row, expected in rows.items():
        assert torch.equal(model.lm_head.weight[row], expected), row
    assert model.lm_head.bias.tolist() == [0.0, 2.0, 0.0, 1.0]


def test_without_an_output_layer_before_all_rows_are_new(tmp_path) -> None:
    vocab = spelling("phones", *OLD)
    old = Contrastive(encoder=SMALL, codes=4, width=8).build(vocab, Streams(0)).encoder
    old.save_pretrained(tmp_path)
    write_spelling(tmp_path, "seen", "phones", {}, OLD)
    fresh, model = (CTC(encoder=SMALL).build(vocab, Streams(1)) for _ in range(2))
    cross_lingual(model, tmp_path, vocab)
    assert torch.equal(model.lm_head.weight, fresh.lm_head.weight)
    name = "encoder.layers.0.self_attn.linear_q.weight"
    assert torch.equal(model.base_model.state_dict()[name], old.state_dict()[name])


@pytest.fixture(scope="module")
def mini():
    return resolved.load(ROOT / "papers/whistle/resolved/mini")["arms"]


def test_arms_differ_in_their_supervision_and_in_nothing_else(mini) -> None:
    sections = {arm: mini[arm]["pretrain"]["config"]
                for arm in ("phone_phone", "subword_subword", "w2v_phone")}
    one = sections["phone_phone"]
    for arm, section in sections.items():
        assert section["steps"] == one["steps"] and section["schedule"] == one["schedule"], arm
        assert section["objective"]["encoder"] == one["objective"]["encoder"], arm
        same = {**section["batches"], "units": None} == {**one["batches"], "units": None}
        assert same and section["precision"] == one["precision"], arm
    assert sections["subword_subword"]["objective"] == one["objective"]


def test_fine_tuning_and_decoding_are_the_same_for_all(mini) -> None:
    one = mini["phone_phone"]["finetune"]["config"]
    for arm, stages in mini.items():
        section = stages["finetune"]["config"]
        for name in ("steps", "schedule", "objective", "clip_norm"):
            assert section[name] == one[name], f"{arm}: {name}"
        for task in ("be", "pl"):
            ours, theirs = (found["eval"]["config"]["tasks"][task]
                            for found in (stages, mini["phone_phone"]))
            assert ours == theirs, arm
    sizes = {arm: mini[arm]["finetune"]["config"]["targets"]["be"]["utterances"] for arm in mini}
    for kind in ("few", "all"):
        assert sizes[f"phone_phone_{kind}"] == sizes[f"subword_subword_{kind}"]
