"""Crops of an image: random ones for training, the middle for measuring."""

import math

import numpy as np
from PIL import Image

from repro.errors import UserError

TRIES = 10
BICUBIC = Image.Resampling.BICUBIC


def random(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    size: int,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> np.ndarray:
    """Return a random part of an image, resized to (size, size, 3) uint8, bicubic.

    scale: its share of the area; ratio: of width to height, uniform in the logarithm. After ten
    parts that do not fit, the largest one in the middle. The same numbers are drawn from rng
    whatever the image. Source: Szegedy et al. 2015; scale as in open_clip.
    """
    if not 0 < scale[0] <= scale[1] <= 1:
        raise UserError(f"crop = {scale}: expected 0 < low <= high <= 1")
    width, height = image.size
    draws_T4 = rng.random((TRIES, 4))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for share, shape, across, down in draws_T4:
        area = width * height * (scale[0] + share * (scale[1] - scale[0]))
        aspect = math.exp(low + shape * (high - low))
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if w <= width and h <= height:
            left, top = across * (width - w), down * (height - h)
            return _resized(image, size, (left, top, left + w, top + h))
    return _resized(image, size, _middle(width, height))


def whole(image: Image.Image, *, size: int) -> np.ndarray:
    """Return the largest square in the middle of an image, resized to (size, size, 3) uint8."""
    if image.size == (size, size):
        return np.asarray(image)
    return _resized(image, size, _middle(*image.size))


def _middle(width: int, height: int) -> tuple[float, float, float, float]:
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _resized(
    image: Image.Image, size: int, box: tuple[float, float, float, float]
) -> np.ndarray:
    return np.asarray(image.resize((size, size), BICUBIC, box=box))
