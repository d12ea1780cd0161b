"""Drawings of things by two hands: OpenMoji (vectors) and Twitter's emoji (pixels)."""

import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from repro.data import assets
from repro.data.documents import shuffled
from repro.data.emoji import Thing, things
from repro.errors import UserError
from repro.vision import colours

RENDERED = 128  # pixels a side at which vectors become pixels


class Drawing(NamedTuple):
    """name, kind, keywords: as `repro.data.emoji.Thing`. colour: the commonest of OpenMoji's
    drawing, whoever drew this one. pixels: (S, S, 4) uint8 with alpha, cut to what is drawn."""

    name: str
    kind: str
    keywords: tuple[str, ...]
    colour: str
    pixels: np.ndarray


def drawings(
    *,
    hand: Literal["openmoji", "twitter"] = "openmoji",
    limit: int | None = None,
    seed: int = 42,
    size: int = 64,
    openmoji_version: str = "17.0.0",
    twitter_version: str = "16.0.0",
) -> list[Drawing]:
    """Return things that both hands have drawn, the same in the same order from each.

    limit: the first so many of an order that depends on the seed only. size: pixels a side.
    Raises UserError where fewer than `limit` are there.
    """
    versions = {"openmoji_version": openmoji_version, "twitter_version": twitter_version}
    found = shuffled(list(things(**versions)), seed, "emoji")
    if limit is not None and limit > len(found):
        raise UserError(f"drawings.limit = {limit}: there are {len(found)}")
    made = []
    for thing in found[:limit]:
        vector = _openmoji(thing, openmoji_version)
        image = vector if hand == "openmoji" else _twitter(thing, twitter_version)
        made.append(Drawing(thing.name, thing.kind, thing.keywords,
                            colours.main(np.asarray(vector)), np.asarray(_square(image, size))))
    return made


def _openmoji(thing: Thing, version: str) -> Image.Image:
    import resvg_py

    content = assets.read_member("openmoji", thing.vector, version).decode("utf-8")
    png = resvg_py.svg_to_bytes(
        svg_string=content, width=RENDERED, height=RENDERED, skip_system_fonts=True)
    return Image.open(io.BytesIO(png)).convert("RGBA")


def _twitter(thing: Thing, version: str) -> Image.Image:
    content = assets.read_member("emoji-datasource-twitter", thing.pixels, version)
    return Image.open(io.BytesIO(content)).convert("RGBA")


def _square(image: Image.Image, size: int) -> Image.Image:
    """Return what is drawn in the middle of a square of so many pixels a side."""
    left, top, right, bottom = image.getchannel("A").getbbox()
    side = max(right - left, bottom - top)
    left, top = (left + right - side) // 2, (top + bottom - side) // 2
    cut = image.crop((left, top, left + side, top + side))
    return cut.resize((size, size), Image.Resampling.BICUBIC)
