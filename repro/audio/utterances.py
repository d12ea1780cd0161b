"""What a reader of speech yields, and how text and splits are decided for all of them."""

import hashlib
import re
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from repro.audio.features import RATE

_WORD = re.compile(r"[^\W\d_]+(?:['’ʼ·][^\W\d_]+)*")


class Utterance(NamedTuple):
    """One recorded or synthesised sentence. wave: float32 samples at 16 kHz, in -1 to 1; origin:
    recorded or synthesised; split: train, dev or test, no sentence in two of them."""

    id: str
    language: str
    speaker: str
    text: str
    wave: np.ndarray
    split: str
    origin: str = "recorded"


class Caption(NamedTuple):
    """A sentence that may be spoken. key: the same for its translations."""

    key: str
    text: str


def words_of(text: str) -> list[str]:
    """Return the words of a text: lower case, letters and inner apostrophes only."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def is_plain(text: str) -> bool:
    """Return whether text is words alone: digits are spoken in ways that no letter shows."""
    return bool(words_of(text)) and not any(character.isdigit() for character in text)


def split_of(key: str, test: float, dev: float) -> str:
    """Return the split of a sentence, always the same: test and dev get these shares of all keys.

    Translations share a key, and so their split.
    """
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return "test" if place < test else "dev" if place < test + dev else "train"


def at_rate(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return samples at 16 kHz, float32. wave: (S,) or (S, channels) at `rate`."""
    if wave.ndim == 2:
        wave = wave.mean(axis=1)
    if rate == RATE:
        return wave.astype(np.float32)
    step = np.gcd(RATE, rate)
    return resample_poly(wave, RATE // step, rate // step).astype(np.float32)


def trimmed(wave: np.ndarray, threshold: float = 0.05, margin: float = 0.05) -> np.ndarray:
    """Return wave without what is below threshold of its peak at both ends, but for a margin in
    seconds."""
    loud = np.flatnonzero(np.abs(wave) > threshold * np.abs(wave).max(initial=0.0))
    if not len(loud):
        return wave
    pad = round(margin * RATE)
    return wave[max(0, loud[0] - pad) : loud[-1] + pad]
