"""Speech made by espeak-ng: captions in many voices, with noise, unseen voices in the test set."""

import random
from collections.abc import Iterator

import numpy as np
from scipy.signal import resample_poly

from repro.audio import espeak as speech
from repro.audio import tuxpaint
from repro.audio.utterances import Utterance, at_rate, split_of

VOICES = ("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "f4")
TEST_VOICES = ("m7", "m8", "f5")


def spoken_captions(
    *,
    languages: tuple[str, ...],
    utterances: int,
    seed: int = 0,
    stretch: float = 0.08,
    espeak: str = speech.VERSION,
    captions: str = tuxpaint.VERSION,
) -> Iterator[Utterance]:
    """Yield the captions of Tux Paint as espeak says them, up to `utterances` a language.

    Split as the recordings are. Test sentences are said by voices of their own. Speed 100 to 130
    words a minute, pitch and its range 30 to 70; then formants and pitch together moved by up to
    `stretch` (resampling), and white noise 25 to 35 dB below the speech.
    """
    said = speech.espeak(espeak)
    for language in languages:
        found = tuxpaint.captions(language, captions)
        draw = random.Random(f"{seed}/{language}")
        for index, caption in enumerate(draw.sample(found, min(utterances, len(found)))):
            split = split_of(caption.key, tuxpaint.TEST, tuxpaint.DEV)
            variant = draw.choice(TEST_VOICES if split == "test" else VOICES)
            prosody = speech.Prosody(
                draw.randint(100, 130), draw.randint(30, 70), draw.randint(30, 70))
            wave, _ = said.say(caption.text, f"{language}+{variant}", prosody)
            rng = np.random.default_rng(draw.getrandbits(64))
            wave = disturbed(at_rate(wave, speech.RATE), rng, stretch)
            yield Utterance(f"{language}/said-{index}", language, f"{language}+{variant}",
                            caption.text, wave, split, "synthesised")


def disturbed(wave: np.ndarray, rng: np.random.Generator, stretch: float) -> np.ndarray:
    """Return wave resampled by a factor in 1 +- stretch, with white noise at 25 to 35 dB SNR."""
    factor = round(100 * rng.uniform(1 - stretch, 1 + stretch))
    wave = resample_poly(wave, 100, factor).astype(np.float32)
    power = float(np.mean(wave**2))
    noise = rng.normal(scale=np.sqrt(power / 10 ** (rng.uniform(2.5, 3.5))), size=len(wave))
    return (wave + noise).astype(np.float32)
