"""The real emoji: both hands have drawn each thing, and its name is plain."""

import numpy as np
import pytest

from repro.data import fetching
from repro.data.emoji import things
from repro.errors import UserError
from repro.vision import emoji

NAMES = ("openmoji", "emoji-datasource-twitter")


def test_counts_are_those_of_the_registry(fetched):
    fetched(*NAMES)
    found = list(things())
    assert fetching.find("openmoji").counts == {"emoji.things": len(found)}
    assert len({thing.code for thing in found}) == len(found)
    assert all(1 <= len(thing.name.split()) <= 2 and thing.name == thing.name.lower()
               for thing in found)
    assert not any(set(thing.name.split()) & set(thing.keywords) for thing in found
                   if thing.keywords != (thing.kind,))


def test_two_hands_draw_the_same_things_differently(fetched):
    fetched(*NAMES)
    ours, theirs = (emoji.drawings(hand=hand, limit=8) for hand in ("openmoji", "twitter"))
    for one, other in zip(ours, theirs, strict=True):
        assert one[:4] == other[:4]
        assert one.pixels.shape == other.pixels.shape == (64, 64, 4)
        assert not np.array_equal(one.pixels, other.pixels)
        assert one.pixels[..., 3].max() == 255
    assert [d.name for d in emoji.drawings(limit=3)] == [d.name for d in ours[:3]]
    with pytest.raises(UserError, match="drawings.limit = 9999: there are 631"):
        emoji.drawings(limit=9999)
