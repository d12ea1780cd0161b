"""Batches of images with texts: pure functions of their index, the same images for every choice."""

import numpy as np
import pytest
import torch
from PIL import Image

from repro.errors import UserError
from repro.train.objective import Batches
from repro.train.streams import Streams
from repro.vision import crops
from repro.vision.batches import Epochs, ImageTexts, framed
from repro.vision.pictures import open_set
from repro.vision.texts import LONG, RAW, One

SIZE = 24


def opened(artefact, place=RAW, **settings):
    settings = {"pictures": "train", "batch_size": 8, "image_size": SIZE,
                "texts": One(place=place)} | settings
    return ImageTexts(**settings).open(artefact, Streams(7))


def test_a_batch_depends_on_its_index_only(artefact):
    _, first = opened(artefact)
    _, second = opened(artefact)
    later = second(5)
    second(0)
    for one, other in zip(later, first(5), strict=True):
        assert torch.equal(one, other)


def test_arms_that_read_other_texts_see_the_same_images(artefact):
    (_, raw), (_, long) = opened(artefact), opened(artefact, LONG)
    assert torch.equal(raw(3)[0], long(3)[0]) and raw(3)[1].shape != long(3)[1].shape


def test_each_image_stands_with_its_own_text(artefact):
    found = open_set(artefact, "train")
    vocab, batch = opened(artefact, crop=None, image_size=32)
    images, tokens = batch(1)
    everything = {found.image(i).tobytes(): found.texts(i)[RAW] for i in range(len(found))}
    for image, text in zip(images, tokens[:, 0], strict=True):
        expected = everything[image.permute(1, 2, 0).contiguous().numpy().tobytes()]
        assert text[0] == vocab.cls
        assert text[1 : 1 + len(expected)].tolist() == expected.tolist()
        assert (text[1 + len(expected) :] == vocab.pad).all()


def test_an_epoch_visits_every_image_once():
    order = Epochs(Streams(0), 20)
    first, second = ([order.at(place) for place in range(e * 20, e * 20 + 20)] for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(20)) and first != second
    assert [order.at(place) for place in range(20)] == first


def test_a_text_that_is_cut_still_ends(artefact):
    vocab = open_set(artefact, "train").vocab
    texts = [np.array([9, 8, 7, vocab.sep]), np.array([9, vocab.sep])]
    rows = framed(texts, 4, vocab)
    assert rows.tolist() == [[vocab.cls, 9, 8, vocab.sep], [vocab.cls, 9, vocab.sep, vocab.pad]]


def test_the_example_has_the_largest_shape(artefact):
    vocab, batch = opened(artefact)
    batches = ImageTexts(pictures="train", batch_size=8, image_size=SIZE, texts=One(place=RAW),
                         sequence_length=16)
    images, tokens = batches.example(vocab)
    assert (tuple(images.shape), tuple(tokens.shape)) == ((8, 3, SIZE, SIZE), (8, 1, 16))
    assert [(t.dtype, t.ndim) for t in batch(0)] == [(images.dtype, 4), (tokens.dtype, 3)]
    assert batches.tokens == 8 * 16
    settings: Batches = batches
    assert settings.shape == {"batch_size": 8, "texts": 1, "sequence_length": 16}


def test_random_crops_keep_to_their_share_and_shape():
    grid = np.stack(np.meshgrid(np.arange(200), np.arange(100)), axis=-1).astype(np.uint8)
    image = Image.fromarray(np.dstack([grid, np.zeros((100, 200), np.uint8)]))
    for seed in range(30):
        rng = np.random.default_rng(seed)
        cut = crops.random(image, rng, size=50, scale=(0.3, 0.4)).astype(int)
        width, height = np.ptp(cut[..., 0]) / 0.98, np.ptp(cut[..., 1]) / 0.98
        assert 0.26 < width * height / 20000 < 0.44
        assert 0.7 < width / height < 1.42
        assert rng.random() == np.random.default_rng(seed).random(41)[-1]


def test_the_whole_image_is_the_square_in_its_middle():
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 2:6] = 200
    assert (crops.whole(Image.fromarray(pixels), size=4) == 200).all()


@pytest.mark.parametrize("wrong", [{"batch_size": 1}, {"sequence_length": 2}])
def test_settings_out_of_range_are_refused(artefact, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        opened(artefact, **wrong)
