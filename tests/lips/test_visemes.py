"""What phones look like: homophenes are one, and coarticulation blends neighbours."""

import numpy as np
import pytest

from repro.audio.espeak import Phone
from repro.lips.articulation import frames_of, tracks
from repro.lips.visemes import SHAPES, SILENCE, letter_class, viseme, viseme_class


@pytest.mark.parametrize("alike", ["pbm", "fv", "tdnsz", "kɡŋ"])
def test_homophenes_are_one(alike) -> None:
    assert len({viseme_class(phone) for phone in alike}) == 1


def test_there_are_fifteen_rows_and_they_differ() -> None:
    assert len(SHAPES) == 15 and len(np.unique(SHAPES, axis=0)) == 15


def test_the_longest_beginning_counts() -> None:
    assert viseme_class("tʃ") == viseme_class("ʃ") != viseme_class("t")
    assert viseme_class("aɪə") == viseme_class("a") and viseme_class("ˈiː") == viseme_class("i")
    assert viseme_class("☃") == viseme_class("ə")
    assert viseme_class("") == viseme_class("_:") == SILENCE


def test_lips_close_for_p_and_round_for_w() -> None:
    assert viseme("p").open == 0 and viseme("w").round == 1 and viseme("f").teeth == 1


def test_letters_look_like_their_commonest_sound() -> None:
    assert letter_class("c") == viseme_class("k") and letter_class("j") == viseme_class("dʒ")
    assert letter_class("|") == SILENCE and letter_class("m") == letter_class("b")


def test_a_long_phone_reaches_its_own_shape() -> None:
    (middle,) = tracks([Phone("a", 0.0, 4.0)], 100)[50:51]
    np.testing.assert_allclose(middle, SHAPES[viseme_class("a")], atol=1e-9)


def test_the_blend_of_two_phones_by_hand() -> None:
    """Of phones 0 to 0.04 and 0.04 to 0.08 s the first frame, at 0.02 s, is the centre of the first
    and 0.03 s from the middle half of the second; silence, 0.2 s long, is 0.07 and 0.11 s away."""
    found = tracks([Phone("p", 0.0, 0.04), Phone("u", 0.04, 0.08)], 2)[0]
    p, u = viseme("p"), viseme("u")
    weights = np.array([2.5, 1.4 * np.exp(-18 * 0.03), 0.6 * np.exp(-18 * 0.07),
                        0.6 * np.exp(-18 * 0.11)])
    shapes = np.array([p[:5], u[:5], SHAPES[SILENCE], SHAPES[SILENCE]])
    np.testing.assert_allclose(found, weights @ shapes / weights.sum(), atol=1e-9)


def test_neighbours_change_a_phone() -> None:
    one, two = ([Phone(first, 0.0, 0.1), Phone("t", 0.1, 0.2), Phone(first, 0.2, 0.3)]
                for first in "iu")
    assert not np.allclose(tracks(one, 8)[3], tracks(two, 8)[3], atol=0.05)


def test_frames_are_counted_up() -> None:
    assert frames_of([Phone("a", 0.0, 0.4)]) == 10 and frames_of([Phone("a", 0.0, 0.401)]) == 11
