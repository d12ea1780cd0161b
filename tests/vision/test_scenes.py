"""Scenes and what is said of them: every pixel and every sentence is true."""

import numpy as np
import pytest

from repro.errors import UserError
from repro.vision import captions, colours
from repro.vision.scenes import BACKGROUND, CELLS, PLACES, generator, paint_background, scenes


def made(squares, **settings):
    return list(scenes(squares, **{"name": "a", "count": 12, "size": 60} | settings))


def test_the_map_says_which_drawing_each_pixel_is_of(squares):
    for scene in made(squares, angle=0.0):
        assert set(np.unique(scene.map)) <= {BACKGROUND, *range(1, len(scene.objects) + 1)}
        for number, index in enumerate(scene.objects):
            seen = scene.pixels[scene.map == number + 1]
            assert (seen == squares[index].pixels[0, 0, :3]).all()


def test_a_thing_lies_where_its_sentence_says(squares):
    for scene in made(squares, scale=(0.2, 0.25)):
        for number, place in enumerate(scene.places):
            rows, columns = np.nonzero(scene.map == number + 1)
            if len(rows):  # not hidden by another
                cell = PLACES.index(place)
                middle = (rows.mean() * CELLS / 60, columns.mean() * CELLS / 60)
                assert np.abs(np.array(middle) - 0.5 - divmod(cell, CELLS)).max() < 0.75


def test_a_scene_holds_different_things_of_different_kinds(squares):
    for scene in made(squares, objects=(3, 4)):
        kinds = [squares[index].kind for index in scene.objects]
        assert 3 <= len(scene.objects) <= 4 and len(set(kinds)) == len(kinds)


def test_a_scene_is_a_function_of_seed_name_and_index(squares):
    first, again = made(squares), made(squares, count=3)
    assert all((a.pixels == b.pixels).all() for a, b in zip(first, again, strict=False))
    for other in (made(squares, name="b", count=1), made(squares, seed=1, count=1)):
        assert not np.array_equal(first[0].pixels, other[0].pixels)


def test_objects_out_of_range_are_refused(squares):
    with pytest.raises(UserError, match="scenes.objects"):
        made(squares, objects=(2, 7))


def test_backgrounds_have_the_colours_that_are_told():
    for index in range(20):
        pixels, (kind, *names) = paint_background(generator(0, "x", index), 24)
        lightened = [np.array(colours.NAMES[name]) * 0.55 + 255 * 0.45 for name in names]
        assert np.abs(pixels[0].mean(axis=0) - lightened[0]).max() < 12
        if kind == "gradient":
            assert np.abs(pixels[-1].mean(axis=0) - lightened[1]).max() < 12
        if kind == "plain":
            assert (pixels == pixels[0, 0]).all()


def test_colours_by_name():
    grays = np.array([[60, 60, 60], [120, 120, 120], [208, 207, 206]])
    assert [list(colours.NAMES)[i] for i in colours.nearest(grays)][1:] == ["gray", "gray"]
    drawing = np.zeros((4, 4, 4), dtype=np.uint8)
    drawing[:3, :, 3] = 255  # black, but for one row of red; the last row is transparent
    drawing[0, :, :3] = 225, 50, 50
    assert colours.main(drawing) == "red"
    assert colours.main(drawing[1:]) == "black"


def test_sentences_tell_a_part_each_and_nothing_false(squares):
    scene = made(squares)[0]
    for wording in ("train", "test"):
        said = captions.sentences(scene, squares, generator(0, "c", 0), wording)
        assert len(said) == 2 * len(scene.objects) + 1
        for number, index in enumerate(scene.objects):
            where, what = said[2 * number : 2 * number + 2]
            name = squares[index].name
            assert name in where and f"the {scene.places[number]}" in where and name in what
            others = [squares[other].name for other in scene.objects if other != index]
            assert not any(other in text for other in others for text in (where, what))
        assert scene.background[1] in said[-1]


def test_measured_wordings_are_new_but_their_words_are_not(squares):
    for kind in (captions.WHERE, captions.WHAT, captions.BEHIND):
        assert not set(kind["train"]) & set(kind["test"])
    words = {word for kind in (captions.WHERE, captions.WHAT, captions.BEHIND)
             for text in kind["train"] for word in text.split()}
    new = {word for kind in (captions.WHERE, captions.WHAT, captions.BEHIND)
           for text in kind["test"] for word in text.split()} - words
    assert new <= {"to", "see"} | words  # both stand in other training wordings


def test_the_long_caption_is_its_sentences(squares):
    scene = made(squares)[0]
    whole, *parts = captions.long_caption(scene, squares, generator(0, "c", 0))
    assert whole == " ".join(f"{part} ." for part in parts)
    in_order = captions.sentences(scene, squares, generator(0, "c", 0), "train")
    assert sorted(parts) == sorted(in_order)


def test_some_short_captions_are_wrong(squares):
    scene = made(squares)[0]
    there = {squares[i].name for i in scene.objects} | {squares[i].keywords[0]
                                                        for i in scene.objects}
    found = [captions.short_caption(scene, squares, generator(0, "s", i)) for i in range(600)]
    wrong = sum(caption not in there for caption in found) / len(found)
    assert 0.07 < wrong < 0.15  # half of the 15 % name a thing, which may be there by chance
