"""Video transformers with CTC: against transformers' VideoMAEModel, torch's CTC and its counts."""

import itertools
from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, VideoMAEConfig, VideoMAEModel

from repro.errors import UserError
from repro.losses.video_ctc import VideoCTC, places_of
from repro.nn.video import (
    VideoMAEForCTC,
    log_probabilities,
    outputs_of,
    training_flops,
    tubelet_ctc,
)
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

SMALL = partial(tubelet_ctc, frames=8, image_size=32, places=6, channels=1, hidden=24, layers=2,
                heads=2, intermediate=32, dropout=0.0, strides=(2,), adapter=20, ctc_hidden=16)
VOCAB = VocabInfo(size=5, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))


def video(rows: int = 2, frames: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (rows, frames, 1, 32, 32), dtype=torch.uint8, generator=generator)


def test_outputs_by_hand_and_at_the_papers_scale() -> None:
    assert outputs_of(16, (2,), 1) == 8 and outputs_of(17, (2, 2), 1) == 5
    assert outputs_of(1568, (2, 2, 2, 3), 6) == 11, "as released: too few for a sentence"
    assert outputs_of(1568, (2, 2, 2), 1) == 196


def test_the_model_has_as_many_outputs_as_counted() -> None:
    for strides, pool in (((2,), 1), ((2, 2), 1), ((1, 3), 2)):
        model = SMALL(5, strides=strides, pool=pool, places=1).eval()
        assert log_probabilities(model, video()).shape == (2, outputs_of(16, strides, pool), 5)


def test_too_few_outputs_are_refused_before_training() -> None:
    with pytest.raises(UserError, match="1568 tokens become 11 outputs, and CTC needs places = 90"):
        tubelet_ctc(40, frames=16, image_size=224, places=90, strides=(2, 2, 2, 3), pool=6)
    for wrong in ({"heads": 5}, {"patch": 15}, {"strides": ()}, {"pool": 0}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))} = "):
            SMALL(5, **wrong)


def test_the_encoder_is_transformers_own_with_the_same_weights(tmp_path) -> None:
    model = SMALL(5).eval()
    reference = VideoMAEModel(VideoMAEConfig(
        image_size=32, num_channels=1, num_frames=8, hidden_size=24, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, use_mean_pooling=False)).eval()
    reference.load_state_dict(model.videomae.state_dict())
    pixels = video().float() / 127.5 - 1
    torch.testing.assert_close(model.videomae(pixels).last_hidden_state,
                               reference(pixels).last_hidden_state)
    model.save_pretrained(tmp_path)
    for cls, ours in ((AutoModel, model.videomae), (VideoMAEForCTC, model)):
        loaded = cls.from_pretrained(tmp_path).eval()
        theirs, found = (one(pixels) for one in (loaded, ours))
        if cls is AutoModel:
            theirs, found = theirs.last_hidden_state, found.last_hidden_state
        assert torch.equal(theirs, found)


def test_the_loss_is_ctc_over_all_paths_by_counting() -> None:
    objective = VideoCTC(encoder=SMALL)
    model = objective.build(VOCAB, Streams(0)).eval()
    labels, units = torch.tensor([[1, 1, 3]]), torch.tensor([3])
    log_probs_NV = log_probabilities(model, video(1))[0, :, [0, 1, 3]].double()
    total = torch.zeros((), dtype=torch.float64)
    for path in itertools.product(range(3), repeat=len(log_probs_NV)):
        joined = [unit for unit, before in zip(path, (0, *path), strict=False)
                  if unit not in (0, before)]
        if joined == [1, 1, 2]:
            total += log_probs_NV[torch.arange(len(path)), list(path)].sum().exp()
    loss = objective.loss(model, video(1), labels, units, Streams(0), 0)["loss"]
    assert loss.item() == pytest.approx(-total.log().item() / 3, rel=1e-5)


def test_places_count_blanks_between_equal_units_and_no_padding() -> None:
    labels = torch.tensor([[1, 1, 2, 0, 0], [2, 2, 2, 2, 1], [3, 0, 0, 0, 0]])
    assert places_of(labels, torch.tensor([3, 5, 1])).tolist() == [4, 8, 1]


def test_a_transcript_without_a_path_is_an_error_and_not_passed_over() -> None:
    objective = VideoCTC(encoder=SMALL)
    model = objective.build(VOCAB, Streams(0))
    labels = torch.ones(2, 5, dtype=torch.int64)
    with pytest.raises(UserError, match="needs 9 outputs, the model has 8"):
        objective.loss(model, video(), labels, torch.tensor([5, 5]), Streams(0), 0)


def test_more_units_than_classes_are_refused() -> None:
    class Labels:
        units, size = ("a",) * 7, 7

    with pytest.raises(UserError, match="classes = 5: the labels have 7 units"):
        VideoCTC(encoder=SMALL, classes=5).build(Labels(), Streams(0))


def test_operations_are_those_that_torch_counts() -> None:
    model = SMALL(5).eval()
    model.set_attn_implementation("eager")  # the fused kernel of the CPU is not counted
    with FlopCounterMode(display=False) as counter:
        log_probabilities(model, video(3))
    assert training_flops(model, 3) / 3 == counter.get_total_flops()


def test_a_recogniser_learns_two_clips_by_heart() -> None:
    objective = VideoCTC(encoder=SMALL)
    model = objective.build(VOCAB, Streams(0)).train()
    labels, units = torch.tensor([[1, 2, 3], [4, 2, 0]]), torch.tensor([3, 2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(120):
        loss = objective.loss(model, video(), labels, units, Streams(0), step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
