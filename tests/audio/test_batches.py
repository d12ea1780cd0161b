"""Batches of speech: epochs, few-shot subsets, padding; what all arms of a claim share."""

import numpy as np
import pytest
import torch

from repro.audio.batches import SpeechRows, batches_of_epoch
from repro.audio.store import Speech
from repro.errors import UserError
from repro.train.streams import Streams


def rows(**settings) -> SpeechRows:
    return SpeechRows(**{"group": "seen", "units": "phones", "batch_size": 4, "max_frames": 100,
                         "mels": 8, **settings})


def test_an_epoch_visits_every_utterance_once() -> None:
    frames = np.random.default_rng(0).integers(20, 300, size=103)
    found = batches_of_epoch(frames, 8, np.random.default_rng(1))
    assert len(found) == 12 and all(len(batch) == 8 for batch in found)
    assert len(set(np.concatenate(found).tolist())) == 96
    spread = np.mean([np.ptp(frames[batch]) for batch in found])
    assert spread < 0.5 * np.ptp(frames), "like lengths together"


def test_a_batch_is_what_the_artefact_holds(prepare) -> None:
    folder = prepare()
    spelling, batch = rows().open(folder, Streams(0))
    speech = Speech(folder)
    features, frames, labels, units = batch(1)
    assert features.shape == (4, int(frames.max()), 8) and labels.shape == (4, int(units.max()))
    lengths = {entry.frames for entry in speech.chosen(("xx", "yy"), "train")}
    assert set(frames.tolist()) <= lengths
    for row in range(4):
        assert not features[row, frames[row]:].any() and not labels[row, units[row]:].any()
        assert (labels[row, : units[row]] > 0).all(), "the blank is no label"


def test_batches_are_a_function_of_the_index(prepare) -> None:
    folder = prepare()
    one, two = (rows().open(folder, Streams(5))[1] for _ in range(2))
    for index in (9, 0):
        two(index)
    for index in (0, 7, 2):
        assert all(torch.equal(a, b) for a, b in zip(one(index), two(index), strict=True))
    other = rows().open(folder, Streams(6))[1]
    assert not all(torch.equal(one(i)[0], other(i)[0]) for i in range(3))


def test_arms_hear_the_same_speech_whatever_the_units(prepare) -> None:
    folder = prepare()
    phones, pieces = (rows(units=kind).open(folder, Streams(0))[1]
                      for kind in ("phones", "subwords"))
    for index in range(4):
        assert torch.equal(phones(index)[0], pieces(index)[0])
        assert not torch.equal(phones(index)[2], pieces(index)[2])


def test_smaller_subsets_are_part_of_larger_ones_in_every_language(prepare) -> None:
    speech = Speech(prepare())
    found = {}
    for count in (1, 3, None):
        entries = rows(utterances=count).chosen(speech, "train")
        found[count] = {entry.id for entry in entries}
        assert len(entries) == 2 * (count or 6)
    assert found[1] < found[3] < found[None]
    assert len(rows(utterances=1).chosen(speech, "test")) == 4, "only training is cut"


def test_fewer_utterances_than_a_batch_are_one_batch(prepare) -> None:
    _, batch = rows(group="zz", utterances=3).open(prepare(), Streams(0))
    assert len(batch(0)[1]) == len(batch(11)[1]) == 3


def test_the_example_of_a_dry_run_has_the_largest_shape() -> None:
    features, frames, labels, units = rows().example(None)
    assert features.shape == (4, 100, 8) and frames.tolist() == [100] * 4
    assert rows().tokens == 400 and rows().files == ("seen.phones.json",)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size = 0"):
        rows(batch_size=0)
    with pytest.raises(UserError, match="utterances = 0"):
        rows(utterances=0)
