"""Synthetic examples, the same for all loops. R rows, T positions, F frames, M mels, S pixels."""

import numpy as np

from loops.setting import CLS, SEP, SETTING, SPECIAL

WIDER = 8  # pixels of a side that a crop may leave out
FRAMES = (160, 480)  # of an utterance: 1.6 to 4.8 s
RATE, MEAN_LENGTH = 0.35, 3.5  # of mBART's noise


def rows(count: int) -> np.ndarray:
    """Return full rows RT, int64, [CLS] and [SEP] at the ends, words by a Zipf law."""
    length = SETTING["sequence_length"]
    tokens_RT = words(count * length, 0).reshape(count, length)
    tokens_RT[:, 0], tokens_RT[:, -1] = CLS, SEP
    return tokens_RT


def words(count: int, seed: int) -> np.ndarray:
    """Return ids of words by a Zipf law, int64."""
    kinds = SETTING["vocabulary"] - len(SPECIAL) - 1  # the last id is a language's tag
    share = 1.0 / np.arange(1, kinds + 1)
    drawn = np.random.default_rng(seed).choice(kinds, size=count, p=share / share.sum())
    return drawn + len(SPECIAL)


def lengths(count: int) -> np.ndarray:
    """Return lengths of sentence pairs, int64: mean about 39, sd 18, as MNLI has them in WordPieces
    (drawn from a gamma distribution), 8 to T."""
    drawn_R = np.random.default_rng(1).gamma(4.7, 8.3, size=count).round().astype(np.int64)
    return drawn_R.clip(8, SETTING["sequence_length"])


def labels(count: int) -> np.ndarray:
    """Return classes, int64."""
    return np.random.default_rng(2).integers(SETTING["classes"], size=count)


def sentences(count: int) -> list[np.ndarray]:
    """Return sentences, int64, as long as `lengths` says, without special tokens."""
    ends = np.cumsum(lengths(count))
    return np.split(words(int(ends[-1]), 3), ends[:-1])


def utterances(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (features FM float16, labels int64) of each; F a multiple of the stack."""
    rng, stack = np.random.default_rng(4), SETTING["stack"]
    found = []
    for frames in rng.integers(FRAMES[0] // stack, FRAMES[1] // stack, size=count) * stack:
        features_FM = rng.standard_normal((frames, SETTING["mels"]), dtype=np.float32)
        units = rng.integers(1, SETTING["units"], size=frames // 12)
        found.append((features_FM.astype(np.float16), units))
    return found


def pictures(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (pixels SS3 uint8, words of the caption int64) of each; S a little above what the
    model sees."""
    rng, side = np.random.default_rng(5), SETTING["image_size"] + WIDER
    return [(rng.integers(256, size=(side, side, 3), dtype=np.uint8),
             words(int(rng.integers(6, SETTING["text_length"] - 1)), 6 + number))
            for number in range(count)]
