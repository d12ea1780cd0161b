"""Readers of emoji: what two sets of drawings show, by code. The drawing is `repro.vision.emoji`.

Every reader takes the version of the assets it reads, so that the version enters the run's key.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from repro.data import assets

# Things one can point at. Left out: faces, flags, signs, and families of near-copies.
GROUPS = ("animals-nature", "food-drink", "objects", "travel-places", "activities")
ALIKE = ("time", "sky-weather", "place-geographic", "place-map", "mail", "book-paper", "event")
MOST_WORDS = 2


class Thing(NamedTuple):
    """name: in lower case. kind: what it is one of. keywords: single words, without those of the
    name; its kind where there are none. vector, pixels: members of the two archives."""

    code: str
    name: str
    kind: str
    keywords: tuple[str, ...]
    vector: str
    pixels: str


def things(
    *, openmoji_version: str = "17.0.0", twitter_version: str = "16.0.0"
) -> Iterator[Thing]:
    """Yield things that OpenMoji and Twitter have both drawn, named by one or two plain words."""
    sheet = json.loads(assets.read("emoji-datasource-twitter", "*/emoji.json", twitter_version))
    images = {code: entry["image"] for entry in sheet if entry["has_img_twitter"]
              for code in (entry["unified"], entry["non_qualified"]) if code}
    for entry in json.loads(assets.read("openmoji", "*/data/openmoji.json", openmoji_version)):
        if _wanted(entry) and entry["hexcode"] in images:
            yield _thing(entry, images[entry["hexcode"]])


def _wanted(entry: dict) -> bool:
    name = entry["annotation"]
    return (entry["group"] in GROUPS and entry["subgroups"] not in ALIKE
            and not entry["skintone"] and name.isascii()
            and len(name.split()) <= MOST_WORDS and name.replace(" ", "").isalpha())


def _thing(entry: dict, image: str) -> Thing:
    name = entry["annotation"].lower()
    kind = entry["subgroups"].rpartition("-")[2]
    said = (word.strip() for word in entry["tags"].lower().split(","))
    keywords = tuple(word for word in said
                     if word.isascii() and word.isalpha() and word not in name.split())
    return Thing(entry["hexcode"], name, kind, keywords or (kind,),
                 f"package/color/svg/{entry['hexcode']}.svg", f"package/img/twitter/64/{image}")
