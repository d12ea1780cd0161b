"""Drawn mouths: pixels show the shape, speakers differ, and what test clips alone may show."""

import os

import numpy as np
import pytest

from repro.audio.espeak import Phone
from repro.data import assets
from repro.data.documents import Document
from repro.errors import UserError
from repro.lips import mouths
from repro.lips.articulation import tracks
from repro.lips.rendering import Look, look, render
from repro.lips.sentences import clauses, frequent
from repro.lips.visemes import SHAPES, viseme_class

FACE = Look(x=0.0, y=0.0, scale=1.0, turn=0.0, opening=1.0, thickness=1.0, skin=0.6, lips=0.4)


def drawn(phone: str, seed: int = 0, face: Look = FACE) -> np.ndarray:
    shape_T5 = np.repeat(SHAPES[viseme_class(phone)][None], 40, axis=0)
    return render(shape_T5, face, np.random.default_rng(seed)).astype(float).mean(axis=0) / 255


def test_pixels_are_bytes_of_the_size_asked() -> None:
    video = render(tracks([Phone("a", 0.0, 0.3)], 8), FACE, np.random.default_rng(0), size=24)
    assert video.shape == (8, 24, 24) and video.dtype == np.uint8


def test_an_open_mouth_shows_a_dark_cavity_and_a_closed_one_does_not() -> None:
    assert (drawn("a") < 0.15).sum() > 60 and (drawn("p") < 0.15).sum() == 0
    assert drawn("p")[14:19, 14:18].mean() < FACE.skin - 0.15, "there are lips"


def test_teeth_are_seen_in_f_and_not_in_p() -> None:
    assert drawn("f")[15, 16] > drawn("p")[15, 16] + 0.2


def test_a_wide_mouth_is_wider_than_a_round_one() -> None:
    def width(phone: str) -> int:
        return int((np.abs(drawn(phone)[16] - FACE.skin) > 0.1).sum())

    assert width("i") > width("u") + 6


def test_homophenes_are_the_same_pixels_and_speakers_are_not() -> None:
    np.testing.assert_array_equal(drawn("p"), drawn("b"))
    others = [look(np.random.default_rng(seed)) for seed in range(2)]
    assert np.abs(drawn("a", face=others[0]) - drawn("a", face=others[1])).mean() > 0.02


def test_withheld_words_are_a_share_of_the_rarer_ones() -> None:
    pool = [f"the w{number}" for number in range(2000)]
    found = mouths.withheld_words(pool, 0.2, common=1)
    assert len(found) / 2000 == pytest.approx(0.2, abs=0.03) and "the" not in found
    assert found == mouths.withheld_words(pool[::-1], 0.2, common=1)
    assert not mouths.withheld_words(pool, 0.0, common=1)


@pytest.fixture(scope="module")
def clips():
    try:
        assets.path("espeakng-loader")
    except UserError:
        if os.environ.get("CI"):
            raise
        pytest.skip("asset espeakng-loader is not fetched")
    pool = [f"{one} {two} {three} {four}" for one in ("the", "a") for two in ("cat", "dog", "bird")
            for three in ("saw", "heard", "met") for four in ("people", "music", "us", "them")]
    return list(mouths.talking(pool, train=30, dev=4, test=6, common=2, withheld=0.3,
                               train_people=3, test_people=2, longest=60))


def test_every_split_gets_its_clips_and_no_sentence_is_in_two(clips) -> None:
    counts = {split: sum(clip.split == split for clip in clips) for split in mouths.SPLITS}
    assert counts["test"] == 6 and counts["dev"] == 4 and counts["train"] > 5
    assert len({clip.text for clip in clips}) == len(clips)


def test_test_clips_show_people_that_no_other_clip_shows(clips) -> None:
    people = {kind: {clip.speaker for clip in clips if (clip.split == "test") == kind}
              for kind in (True, False)}
    assert not people[True] & people[False]


def test_withheld_words_are_in_no_training_clip(clips) -> None:
    hidden = {word for clip in clips if clip.split == "test" for word in clip.text.split()} - {
        word for clip in clips if clip.split != "test" for word in clip.text.split()}
    assert hidden, "and some are in test"


def test_a_clip_is_as_long_as_its_phones(clips) -> None:
    for clip in clips[:5]:
        assert len(clip.video) == pytest.approx(25 * clip.phones[-1].end, abs=1)
        assert clip.video.shape[1:] == (1, 32, 32)


def test_clauses_by_hand() -> None:
    text = "He did n't go -- we know . In 1999 it rained; the U.S. is big, and that 's that !"
    documents = [Document("x", (text, "we know"))]
    assert clauses(documents, 2, 4) == [
        "he didn't go", "we know", "the u", "is big", "and that's that"]


def test_only_frequent_words_are_left() -> None:
    def source():
        yield Document("x", ("one two. one two three. one four. two one",))

    assert frequent(sources=(source,), words=2, shortest=2) == ["one two", "two one"]
    with pytest.raises(UserError, match="no clause"):
        frequent(sources=(source,), words=2, shortest=9)
