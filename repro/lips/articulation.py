"""How lips move through an utterance: the shapes of its phones, blended over time.

T frames, K phones, five numbers a shape (`repro.lips.visemes`).
Source: Cohen and Massaro 1993, dominance functions.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from repro.lips.visemes import DOMINANCES, SHAPES, SILENCE, viseme_class

FPS = 25
REACH = 18.0  # per second: how fast the influence of a phone falls with the distance to it


class Timed(Protocol):
    """A phone with its times in seconds, as `repro.audio.espeak.Phone`."""

    name: str
    start: float
    end: float


def frames_of(phones: Sequence[Timed]) -> int:
    """Return how many frames an utterance has: from 0 to the end of its last phone, rounded up."""
    return int(np.ceil(round(phones[-1].end * FPS, 6)))


def tracks(phones: Sequence[Timed], frames: int) -> np.ndarray:
    """Return the shape of the lips at each frame, (T, 5) float64.

    p(t) = sum_k D_k(t) p_k / sum_k D_k(t), D_k(t) = a_k exp(-18 d_k(t)), d_k(t) the time by which t
    is away from the middle half of phone k. Silence goes before and after. Frame i is at
    (i + 0.5) / 25 s.
    """
    begin, end = phones[0].start, phones[-1].end
    rows_K = np.array([SILENCE, *(viseme_class(phone.name) for phone in phones), SILENCE])
    starts_K = np.array([begin - 0.2, *(phone.start for phone in phones), end])
    ends_K = np.array([begin, *(phone.end for phone in phones), max(end, frames / FPS) + 0.2])
    times_T1 = ((np.arange(frames) + 0.5) / FPS)[:, None]
    centres_K, halves_K = (starts_K + ends_K) / 2, (ends_K - starts_K) / 2
    away_TK = np.maximum(np.abs(times_T1 - centres_K) - halves_K / 2, 0.0)
    weights_TK = DOMINANCES[rows_K] * np.exp(-REACH * away_TK)
    return weights_TK @ SHAPES[rows_K] / weights_TK.sum(axis=1, keepdims=True)
