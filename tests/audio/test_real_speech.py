"""On the real archives: recordings with their captions, pronunciations, synthesised speech."""

from itertools import islice

import numpy as np
import pytest

from repro.audio import phones, synthesis, tuxpaint
from repro.audio.espeak import RATE, Prosody, espeak
from repro.audio.features import log_mel
from repro.audio.utterances import words_of
from repro.errors import UserError


def test_captions_are_translations_of_each_other(fetched) -> None:
    fetched("tuxpaint-stamps-default")
    english, belarusian = (
        {one.key: one.text for one in tuxpaint.captions(language)} for language in ("en", "be"))
    assert english["A frog."] == "A frog." and belarusian["A frog."] == "Жаба."
    assert len(tuxpaint.captions("be")) == 881
    with pytest.raises(UserError, match="no caption in language 'qq'"):
        tuxpaint.captions("qq")


def test_recordings_have_speech_of_a_likely_length(fetched) -> None:
    fetched("tuxpaint-stamps-default")
    found = list(islice(tuxpaint.recordings(languages=("ro", "be"), utterances=4), 24))
    assert {(one.language, one.split) for one in found} == {
        (language, split) for language in ("ro", "be") for split in ("train", "dev", "test")}
    for one in found:
        assert 0.2 < len(one.wave) / 16000 < 10 and np.abs(one.wave).max() > 0.01
        assert one.origin == "recorded" and words_of(one.text)


def test_pronunciations_of_four_languages(fetched) -> None:
    fetched("espeakng-loader")
    voice = espeak()
    for language, word, expected in (("es", "rana", "rana"), ("pl", "żaba", "ʒaba"),
                                     ("be", "жаба", "ʐaba"), ("id", "kecil", "k ɛ tʃ i l")):
        found = phones.common(voice.pronounce(word, language))
        assert found == (expected.split() if " " in expected else list(expected))
    with pytest.raises(UserError, match="voice 'qq'"):
        voice.pronounce("a", "qq")


def test_what_is_said_has_its_phones_in_time(fetched) -> None:
    fetched("espeakng-loader")
    wave, said = espeak().say("una rana", "es+m3", Prosody(rate=110))
    assert phones.common([one.name for one in said]) == list("unarana")
    assert all(one.start < one.end for one in said)
    assert [one.end for one in said[:-1]] == [one.start for one in said[1:]]
    assert said[-1].end <= len(wave) / RATE < said[-1].end + 0.1
    slow, _ = espeak().say("una rana", "es+m3", Prosody(rate=80))
    assert len(slow) > len(wave)


def test_test_sentences_are_said_by_voices_of_their_own(fetched) -> None:
    fetched("espeakng-loader", "tuxpaint-stamps-default")
    found = list(synthesis.spoken_captions(languages=("pl",), utterances=40))
    assert len(found) == 40 and {one.origin for one in found} == {"synthesised"}
    voices = {split: {one.speaker for one in found if one.split == split}
              for split in ("train", "test")}
    assert not voices["train"] & voices["test"]
    assert voices["test"] <= {f"pl+{name}" for name in synthesis.TEST_VOICES}
    assert all(len(log_mel(one.wave)) > 20 for one in found)


def test_noise_and_stretch_are_within_their_bounds() -> None:
    tone = np.sin(np.arange(16000) / 10).astype(np.float32)
    found = synthesis.disturbed(tone, np.random.default_rng(0), 0.0)
    noise = found - tone
    ratio = 10 * np.log10(np.mean(tone**2) / np.mean(noise**2))
    assert len(found) == len(tone) and 25 <= ratio <= 35
    sizes = [len(synthesis.disturbed(tone, np.random.default_rng(seed), 0.08))
             for seed in range(20)]
    assert 16000 / 1.09 < min(sizes) < max(sizes) < 16000 / 0.91


def test_phones_near_each_other_in_articulation(fetched) -> None:
    fetched("panphon")
    assert phones.distance("p", "b") < phones.distance("p", "a")
    assert phones.nearest("s", ["z", "ʃ", "t", "s"]) == "z"
    assert 0 < phones.distance("tʃ", "ts") < 0.2
