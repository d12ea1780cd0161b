"""Scenes: drawings put together on a background, with the truth about every pixel.

S pixels a side. A scene of a seed, name and index is always the same.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from repro.errors import UserError
from repro.vision import colours
from repro.vision.emoji import Drawing

CELLS = 3
PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom",
          "bottom right")
BACKGROUNDS = ("plain", "gradient", "noisy")
BACKGROUND = 0  # in a map: the pixels of object i are i + 1
LIGHTEN = 0.45  # of a background's colour towards white: drawings stay visible
NOISE = 18.0


@dataclass(frozen=True)
class Scene:
    """pixels: (S, S, 3) uint8. map: (S, S) uint8, BACKGROUND or 1 + the place in `objects` of the
    drawing that is seen. objects: indices of drawings; places: of PLACES. background: its kind and
    colours."""

    pixels: np.ndarray
    map: np.ndarray
    objects: tuple[int, ...]
    places: tuple[str, ...]
    background: tuple[str, ...]


def scenes(
    drawings: Sequence[Drawing],
    *,
    name: str,
    count: int,
    size: int = 96,
    objects: tuple[int, int] = (3, 4),
    scale: tuple[float, float] = (0.25, 0.45),
    angle: float = 15.0,
    jitter: float = 0.5,
    seed: int = 42,
) -> Iterator[Scene]:
    """Yield scenes of so many different drawings (least, most), no two of one kind if kinds allow.

    Each lies in another cell of a 3 x 3 grid, its middle moved at random in a share `jitter` of the
    cell, turned by at most `angle` degrees, its side a share `scale` of the scene's.
    Raises UserError for more objects than cells or drawings.
    """
    if not 1 <= objects[0] <= objects[1] <= min(CELLS**2, len(drawings)):
        most = min(CELLS**2, len(drawings))
        raise UserError(f"scenes.objects = {objects}: expected 1 to {most}, least first")
    for index in range(count):
        yield _scene(drawings, generator(seed, name, index), size, objects, scale, angle, jitter)


def generator(seed: int, name: str, index: int) -> np.random.Generator:
    """Return the random numbers of one scene."""
    return np.random.default_rng((seed, zlib.crc32(name.encode()), index))


def _scene(
    drawings: Sequence[Drawing],
    rng: np.random.Generator,
    size: int,
    objects: tuple[int, int],
    scale: tuple[float, float],
    angle: float,
    jitter: float,
) -> Scene:
    chosen = _different(drawings, rng, int(rng.integers(objects[0], objects[1] + 1)))
    cells = rng.permutation(CELLS**2)[: len(chosen)]
    pixels, background = paint_background(rng, size)
    canvas = Image.fromarray(pixels)
    seen = np.full((size, size), BACKGROUND, dtype=np.uint8)
    for number, (index, cell) in enumerate(zip(chosen, cells, strict=True)):
        share, turn, *move = rng.random(4)
        side = round(size * (scale[0] + share * (scale[1] - scale[0])))
        middle = [(int(part) + 0.5 + jitter * (at - 0.5)) * size / CELLS
                  for part, at in zip(divmod(cell, CELLS), move, strict=True)]
        top, left = (int(np.clip(round(at - side / 2), 0, size - side)) for at in middle)
        put(canvas, seen, drawings[index].pixels, left, top, side, angle * (2 * turn - 1),
            number + 1)
    return Scene(np.asarray(canvas), seen, tuple(int(i) for i in chosen),
                 tuple(PLACES[cell] for cell in cells), background)


def put(
    canvas: Image.Image,
    seen: np.ndarray,
    drawing: np.ndarray,
    left: int,
    top: int,
    side: int,
    angle: float,
    value: int,
) -> None:
    """Draw onto a canvas and write `value` into its map where the drawing hides what was there."""
    turned = Image.fromarray(drawing).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    turned = turned.resize((side, side), Image.Resampling.BILINEAR)
    canvas.paste(turned, (left, top), turned)
    solid = np.asarray(turned)[..., 3] > 127
    seen[top : top + side, left : left + side][solid] = value


def paint_background(rng: np.random.Generator, size: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a background (S, S, 3) uint8, and its kind and colours."""
    kind = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    names = [list(colours.NAMES)[i] for i in rng.permutation(len(colours.NAMES))[:2]]
    first, second = (np.array(colours.NAMES[name]) * (1 - LIGHTEN) + 255 * LIGHTEN
                     for name in names)
    noise = rng.normal(0.0, NOISE, (size, size, 1))  # drawn for all: the numbers stay in step
    if kind == "gradient":
        along = np.linspace(0.0, 1.0, size)[:, None, None]
        pixels = first * (1 - along) + second * along + np.zeros((size, size, 1))
        return np.clip(pixels.round(), 0, 255).astype(np.uint8), (kind, *names)
    pixels = first + (noise if kind == "noisy" else 0 * noise)
    return np.clip(pixels.round(), 0, 255).astype(np.uint8), (kind, names[0])


def _different(drawings: Sequence[Drawing], rng: np.random.Generator, count: int) -> list[int]:
    """Return indices of drawings, each of another kind as far as kinds go."""
    order = rng.permutation(len(drawings))
    kinds: set[str] = set()
    first, rest = [], []
    for index in order:
        known = drawings[index].kind in kinds
        (rest if known else first).append(int(index))
        kinds.add(drawings[index].kind)
        if len(first) == count:
            break
    return (first + rest)[:count]
