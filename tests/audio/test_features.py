"""Features against transformers' extractor; SpecAugment; what is read of a text."""

import numpy as np
import pytest
import torch
from transformers import SeamlessM4TFeatureExtractor

from repro.audio.augment import spec_augment
from repro.audio.features import log_mel, normalised
from repro.audio.utterances import at_rate, is_plain, split_of, trimmed, words_of
from repro.errors import UserError

WAVE = np.random.default_rng(0).normal(scale=0.1, size=16000 * 2 + 37).astype(np.float32)


@pytest.mark.parametrize("size", [400, 559, 560, len(WAVE)])
def test_filterbanks_are_those_of_transformers(size) -> None:
    theirs = SeamlessM4TFeatureExtractor()._extract_fbank_features(WAVE[:size])
    ours = log_mel(WAVE[:size])
    assert ours.shape == theirs.shape == (1 + (size - 400) // 160, 80)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_normalisation_is_that_of_transformers() -> None:
    theirs = SeamlessM4TFeatureExtractor(stride=1)(
        WAVE, sampling_rate=16000, pad_to_multiple_of=1, return_tensors="np")
    np.testing.assert_allclose(
        normalised(log_mel(WAVE)), theirs["input_features"][0], rtol=1e-3, atol=1e-3)


def test_a_tone_is_loudest_where_its_mel_channel_is() -> None:
    times = np.arange(16000) / 16000
    loudest = [log_mel(0.5 * np.sin(2 * np.pi * hertz * times)).mean(axis=0).argmax()
               for hertz in (200, 800, 3200)]
    assert loudest == sorted(loudest) and len(set(loudest)) == 3


def test_less_than_a_frame_is_refused() -> None:
    with pytest.raises(UserError, match="399 samples"):
        log_mel(WAVE[:399])


def test_masks_cover_their_share_at_most_and_nothing_else() -> None:
    features = torch.ones(5, 100, 80)
    frames = torch.tensor([100, 100, 60, 20, 100])
    found = spec_augment(features, frames, torch.Generator().manual_seed(1), frequency_masks=1,
                         frequency_width=0.25, time_masks=2, time_width=0.1)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    bands = (found == 0).all(dim=1).sum(dim=1)
    assert (bands <= 20).all() and bands.max() > 0
    times = (found == 0).all(dim=2)
    assert (times.sum(dim=1) <= 2 * 0.1 * frames).all() and times.any()
    assert not times[3, 20:].any(), "padding is not masked"


def test_no_masks_change_nothing() -> None:
    features = torch.rand(2, 30, 8)
    found = spec_augment(features, torch.tensor([30, 20]), torch.Generator(), frequency_masks=0,
                         time_masks=0)
    assert torch.equal(found, features)


def test_masks_depend_on_the_generator_alone() -> None:
    features, frames = torch.rand(2, 30, 8), torch.tensor([30, 30])
    one, two, other = (spec_augment(features, frames, torch.Generator().manual_seed(seed))
                       for seed in (3, 3, 4))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_words_of_a_text() -> None:
    assert words_of("L’Étang — an old-fashioned  pond, 2 frogs!") == [
        "l'étang", "an", "old", "fashioned", "pond", "frogs"]
    assert is_plain("Жаба.") and not is_plain("2 frogs") and not is_plain("...")


def test_translations_share_a_split_and_shares_are_kept() -> None:
    found = [split_of(f"caption {number}", 0.12, 0.04) for number in range(5000)]
    assert abs(found.count("test") / 5000 - 0.12) < 0.015
    assert abs(found.count("dev") / 5000 - 0.04) < 0.01
    assert split_of("A frog.", 0.12, 0.04) == split_of("A frog.", 0.12, 0.04)


def test_resampling_keeps_the_tone_and_trimming_the_speech() -> None:
    times = np.arange(44100) / 44100
    tone = np.stack([np.sin(2 * np.pi * 440 * times)] * 2, axis=1)
    found = at_rate(tone, 44100)
    assert found.dtype == np.float32 and len(found) == 16000
    assert np.abs(np.fft.rfft(found)).argmax() == 440
    silent = np.zeros(8000, np.float32)
    assert len(trimmed(np.concatenate([silent, found, silent]))) == pytest.approx(17600, abs=40)
    assert len(trimmed(silent)) == len(silent)
