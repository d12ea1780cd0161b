"""Retrieval, zero-shot classes and segmentation: by hand, at their limits, against scikit-learn."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score, top_k_accuracy_score

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate import retrieval, segmentation, zero_shot
from repro.evaluate.image_text import Reader
from repro.losses.contrastive import ImageText
from repro.nn.clip import clip
from repro.text.tokenizer import load_vocab, wordpiece
from repro.train.streams import Streams
from repro.vision import emoji_sets
from repro.vision.emoji import Drawing
from repro.vision.pictures import IGNORED, open_set
from repro.vision.preparation import prepare

SIZE = 24
TINY = partial(clip, image_size=SIZE, patch=8, hidden=16, layers=1, heads=2, intermediate=32,
               text_hidden=12, text_layers=1, text_heads=3, text_intermediate=20,
               max_positions=40, projection=8)


def drawings() -> list[Drawing]:
    found = []
    for value in range(5):
        pixels = np.full((8, 8, 4), 40 * value, dtype=np.uint8)
        pixels[..., 3] = 255
        found.append(Drawing(f"thing {'abcde'[value]}", f"kind {value}", ("word",), "red", pixels))
    return found


@pytest.fixture(scope="module")
def ctx(tmp_path_factory) -> RunContext:
    """An untrained model and sets of 7 scenes, 6 single things and 3 maps."""
    root: Path = tmp_path_factory.mktemp("image_text")
    for name in ("data", "pretrain", "eval"):
        (root / name).mkdir()
    source = {"drawings": drawings, "size": SIZE}
    prepare(
        RunContext("data", "any", 0, root / "data", root / "ck"),
        sets={"scenes": partial(emoji_sets.captioned, name="a", count=7, wording="test", **source),
              "things": partial(emoji_sets.singles, name="b", classes=3, each=2, **source),
              "maps": partial(emoji_sets.mapped, name="c", count=3, **source)},
        tokenizer=partial(wordpiece, vocab_size=200, min_frequency=1), tokenizer_set="scenes",
        image_size=SIZE)
    model = ImageText(model=TINY).build(load_vocab(root / "data"), Streams(0))
    model.save_pretrained(root / "pretrain" / "model")
    return RunContext("eval", "any", 0, root / "eval", root / "ck",
                      inputs={"data": [root / "data"], "pretrain": [root / "pretrain"]})


def test_recalls_by_hand():
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.2, 0.7], [0.1, 0.3, 0.2]])
    found = retrieval.recalls(scores, torch.eye(3, dtype=torch.bool))
    assert found == {"recall_at_1": pytest.approx(1 / 3), "recall_at_5": 1.0, "recall_at_10": 1.0}


def test_any_of_several_right_candidates_counts():
    scores = torch.tensor([[0.1, 0.9, 0.5]])
    right = torch.tensor([[True, True, False]])
    assert retrieval.recalls(scores, right)["recall_at_1"] == 1.0
    with pytest.raises(ValueError, match="no right candidate"):
        retrieval.recalls(scores, torch.zeros(1, 3, dtype=torch.bool))


def test_recalls_are_scikit_learns_top_k_accuracy():
    scores = torch.rand(40, 30, generator=torch.Generator().manual_seed(0))
    target = torch.arange(40) % 30
    right = torch.nn.functional.one_hot(target, 30).bool()
    found = retrieval.recalls(scores, right)
    for k in retrieval.RANKS:
        expected = top_k_accuracy_score(target.numpy(), scores.numpy(), k=k, labels=range(30))
        assert found[f"recall_at_{k}"] == pytest.approx(expected)


def test_equal_scores_are_no_hits():
    """A model that tells nothing apart is at chance, not at the top."""
    found = retrieval.recalls(torch.zeros(50, 50), torch.eye(50, dtype=torch.bool))
    assert found == {"recall_at_1": 1 / 50, "recall_at_5": 5 / 50, "recall_at_10": 10 / 50}


def test_both_directions_look_at_the_same_scores(ctx):
    reader = Reader(ctx, "scenes", "cpu")
    images = reader.images()
    texts = reader.texts([reader.set.texts(i)[2:3] for i in range(7)])
    right = torch.eye(7, dtype=torch.bool)
    run = partial(retrieval.retrieve, ctx, pictures="scenes", said="sentence")
    assert run(find="image") == retrieval.recalls(texts @ images.T, right)
    assert run(find="text") == retrieval.recalls(images @ texts.T, right)


def test_every_way_of_saying_it(ctx):
    for said in ("raw", "long", "sentence", "sentences", "each"):
        found = retrieval.retrieve(ctx, pictures="scenes", said=said, find="image")
        assert 0 <= found["recall_at_1"] <= found["recall_at_5"] <= found["recall_at_10"] <= 1


def test_a_group_of_texts_is_the_mean_of_its_vectors(ctx):
    reader = Reader(ctx, "things", "cpu")
    each = [reader.texts([[text]])[0] for text in reader.set.texts(1)]
    mean = torch.stack(each).mean(dim=0)
    torch.testing.assert_close(reader.classes()[1], mean / mean.norm())


def test_images_do_not_depend_on_their_batch(ctx, monkeypatch):
    whole = Reader(ctx, "scenes", "cpu").images()
    monkeypatch.setattr("repro.evaluate.image_text.ROWS", 2)
    torch.testing.assert_close(Reader(ctx, "scenes", "cpu").images(), whole)


def test_the_nearest_class():
    classes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    images = torch.tensor([[0.6, 0.8], [0.8, 0.6], [1.0, 0.0]])
    assert zero_shot.nearest(images, classes).tolist() == [1, 0, 0]


def test_classification_is_the_share_of_right_labels(ctx):
    reader = Reader(ctx, "things", "cpu")
    found = zero_shot.nearest(reader.images(), reader.classes()).tolist()
    right = sum(a == b for a, b in zip(found, [0, 0, 1, 1, 2, 2], strict=True)) / 6
    assert zero_shot.classify(ctx, pictures="things") == {"accuracy": pytest.approx(right)}
    with pytest.raises(UserError, match="has no labels"):
        zero_shot.classify(ctx, pictures="scenes")


def test_overlaps_are_scikit_learns_jaccard_score():
    rng = np.random.default_rng(0)
    overlaps = segmentation.Overlaps(5)
    found, true = rng.integers(0, 4, (2, 6, 12, 12))
    for one, other in zip(found, true, strict=True):
        overlaps.add(one, other)
    expected = jaccard_score(true.ravel(), found.ravel(), average="macro")
    assert overlaps.mean() == pytest.approx(expected)


def test_ignored_pixels_do_not_count():
    overlaps = segmentation.Overlaps(2)
    true = np.array([[0, 1], [IGNORED, IGNORED]], dtype=np.uint16)
    overlaps.add(np.array([[0, 1], [1, 0]]), true)
    assert overlaps.mean() == 1.0
    with pytest.raises(UserError, match="no pixel"):
        segmentation.Overlaps(2).mean()


def test_patches_are_stretched_over_their_pixels():
    found = segmentation.stretched(np.array([1, 2, 3, 4]), 4, 6)
    assert found.tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 4, 4, 4]] * 2


def test_segmentation_among_those_in_the_image_is_not_harder(ctx):
    values = {among: segmentation.segment(ctx, pictures="maps", among=among)["mean_iou"]
              for among in ("image", "all")}
    assert 0 <= values["all"] <= 1 and 0 < values["image"] <= 1


def test_the_truth_itself_would_score_one(ctx):
    found = open_set(ctx.input("data"), "maps")
    overlaps = segmentation.Overlaps(len(found.groups) - 1)
    for true in found.labels:
        overlaps.add(true, true)
    assert overlaps.mean() == 1.0


def test_a_missing_model_is_told(ctx, tmp_path):
    gone = RunContext("eval", "any", 0, tmp_path, tmp_path,
                      inputs={"data": ctx.inputs["data"], "pretrain": [tmp_path]})
    with pytest.raises(UserError, match="no readable model; run the pretrain stage again"):
        Reader(gone, "scenes", "cpu")
