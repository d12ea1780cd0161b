"""Sets of pictures on disk: what is written is what is read, and damage is seen."""

from functools import partial

import numpy as np
import pytest

from repro.data import shards
from repro.errors import UserError
from repro.text import tokenizer as vocabularies
from repro.vision import emoji_sets
from repro.vision.pictures import Picture, Source, encode, open_set
from repro.vision.scenes import scenes
from repro.vision.texts import LONG, RAW, SENTENCES

SIZE = 32  # of the artefact's scenes


def words(artefact, ids) -> str:
    """Return a text; the decoder draws full stops to the word before."""
    return vocabularies.load(artefact).decode(ids.tolist()).replace(".", " .")


def test_pictures_and_texts_come_back(artefact, squares):
    found = open_set(artefact, "train")
    made = list(scenes(squares, name="train", count=20, size=SIZE))
    assert len(found) == len(made) == 20
    for index, scene in enumerate(made):
        assert np.array_equal(np.asarray(found.image(index)), scene.pixels)
        texts = [words(artefact, ids) for ids in found.texts(index)]
        assert len(texts) == found.size_of(index) == SENTENCES + 2 * len(scene.objects) + 1
        assert texts[LONG] == " ".join(f"{one} ." for one in texts[SENTENCES:])
        assert " in the " not in texts[RAW]
        assert all(ids[-1] == found.vocab.sep for ids in found.texts(index))


def test_labelled_sets_have_prompts_by_class(artefact, squares):
    found = open_set(artefact, "things")
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.meta["names"] == [thing.name for thing in squares[:4]]
    prompts = [words(artefact, ids) for ids in found.texts(2)]
    assert prompts == list(emoji_sets.prompts("blue square"))


def test_maps_hold_classes_by_pixel(artefact, squares):
    found = open_set(artefact, "maps")
    scene = next(scenes(squares, name="maps", count=1, size=SIZE))
    classes = np.array([0, *(index + 1 for index in scene.objects)])
    assert np.array_equal(found.labels[0], classes[scene.map])
    assert found.meta["names"][0] == "background" and len(found.groups) - 1 == 7


def test_training_and_test_share_no_scene(artefact):
    train, test = open_set(artefact, "train"), open_set(artefact, "scenes")
    seen = {train.image(index).tobytes() for index in range(len(train))}
    assert not any(test.image(index).tobytes() in seen for index in range(len(test)))


def test_the_same_bytes_every_time(make_artefact):
    first, second = make_artefact("one"), make_artefact("two")
    assert (first / shards.MANIFEST).read_bytes() == (second / shards.MANIFEST).read_bytes()


def test_damage_and_absence_are_told(artefact):
    with pytest.raises(UserError, match="pictures 'trian': not in .*; there are maps, scenes"):
        open_set(artefact, "trian")
    path = artefact / "pictures" / "maps" / "images.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="corrupted"):
        open_set(artefact, "maps")


def test_an_image_that_is_none_is_told(make_artefact):
    broken = partial(Source, [Picture(b"no image", ("a", "b", "c")), Picture(b"x", ("a",))])
    artefact = make_artefact("broken", sets={"train": broken},
                             tokenizer=partial(vocabularies.wordpiece, min_frequency=1))
    with pytest.raises(UserError, match="image 0 is unreadable"):
        open_set(artefact, "train").image(0)


IMAGE = encode(np.zeros((4, 4, 3), dtype=np.uint8))
REFUSED = {
    "empty": Source([]),
    "a picture has no text": Source([Picture(IMAGE)]),
    "goes with classes": Source([Picture(IMAGE, ("a",), label=1)]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_sources_that_cannot_be_used_are_refused(make_artefact, reason):
    with pytest.raises(UserError, match=reason):
        make_artefact("refused", sets={"train": lambda: REFUSED[reason]})


@pytest.mark.parametrize("wrong", [{"tokenizer_set": "trian"}, {"image_size": 0}])
def test_settings_out_of_range_are_refused(make_artefact, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        make_artefact("refused", **wrong)


def test_the_processor_is_what_transformers_makes_of_the_model_s_input(artefact, tmp_path):
    from PIL import Image
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from repro.vision import colours, crops

    processor = CLIPImageProcessorPil.from_pretrained(artefact)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
    theirs = processor(images=image, return_tensors="np")["pixel_values"][0]
    ours = crops.whole(image, size=SIZE) / 255
    ours = ((ours - colours.MEAN) / colours.STD).transpose(2, 0, 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
