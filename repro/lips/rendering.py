"""Mouths drawn from lip shapes: grey video of a speaker's own look. T frames, S pixels a side."""

from typing import NamedTuple

import numpy as np

JITTER, STEADINESS = 0.012, 0.9  # of the head: sd of a step, share of a place that stays
NOISE = 0.03
_SHARP = 45.0


class Look(NamedTuple):
    """How a speaker's mouth looks and stands in the picture. Places and sizes in half pictures."""

    x: float
    y: float
    scale: float
    turn: float
    opening: float
    thickness: float
    skin: float
    lips: float


def look(rng: np.random.Generator) -> Look:
    """Return a speaker drawn at random."""
    low = (-0.08, -0.08, 0.85, -0.12, 0.75, 0.8, 0.45, -0.25)
    high = (0.08, 0.08, 1.15, 0.12, 1.15, 1.3, 0.8, -0.1)
    drawn = rng.uniform(low, high)
    drawn[-1] += drawn[-2]  # lips are darker than skin
    return Look(*drawn.tolist())


def render(
    tracks_T5: np.ndarray, speaker: Look, rng: np.random.Generator, size: int = 32
) -> np.ndarray:
    """Return the video of lip shapes (`repro.lips.articulation.tracks`), (T, S, S) uint8.

    An ellipse of lips around a dark cavity with teeth above and tongue below, on skin. The head
    moves a little (an autoregressive walk), light changes by up to a tenth between utterances, each
    pixel has noise.
    """
    opening, width, rounding, teeth, tongue = (
        column[:, None, None] for column in tracks_T5.T)
    x, y = _places(len(tracks_T5), speaker, rng, size)
    w = 0.28 + 0.42 * width - 0.10 * rounding
    h = 0.02 + 0.42 * np.minimum(opening * speaker.opening, 1.0)
    thick = (0.13 + 0.08 * rounding) * speaker.thickness
    inner = _inside(x, y, w, h)
    picture = np.full(inner.shape, speaker.skin)
    picture = _over(picture, speaker.lips, _inside(x, y, w + thick, h + thick))
    mouth = np.full(inner.shape, 0.06)
    below = _sigmoid(_SHARP * (-y - h * (1 - 0.9 * teeth)))
    mouth = _over(mouth, 0.95, teeth * below)
    mouth = _over(mouth, 0.45, tongue * _inside(x, y - 0.6 * h, 0.6 * w, 0.5 * h))
    picture = _over(picture, mouth, inner)
    picture = picture * rng.uniform(0.9, 1.1) + rng.normal(scale=NOISE, size=picture.shape)
    return (np.clip(picture, 0.0, 1.0) * 255).round().astype(np.uint8)


def _places(
    frames: int, speaker: Look, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, y) of every pixel in the mouth's own axes, (T, S, S); y grows downwards."""
    walk_T2 = rng.normal(scale=JITTER, size=(frames, 2))
    for frame in range(1, frames):
        walk_T2[frame] += STEADINESS * walk_T2[frame - 1]
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x = axis[None, None, :] - speaker.x - walk_T2[:, 0, None, None]
    y = axis[None, :, None] - speaker.y - walk_T2[:, 1, None, None]
    cos, sin = np.cos(speaker.turn), np.sin(speaker.turn)
    return (cos * x + sin * y) / speaker.scale, (cos * y - sin * x) / speaker.scale


def _inside(x: np.ndarray, y: np.ndarray, w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return a soft mask of an ellipse with half axes w and h."""
    radius = np.sqrt((x / w) ** 2 + (y / h) ** 2)
    return _sigmoid(_SHARP * np.minimum(w, h) * (1 - radius))


def _over(under: np.ndarray, colour: float | np.ndarray, mask: np.ndarray) -> np.ndarray:
    return under + (colour - under) * mask


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))  # does not overflow
