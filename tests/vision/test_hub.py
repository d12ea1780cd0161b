"""Readers of hub data, on data sets of the same form in a local folder."""

import csv
import io
import json
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from repro.errors import UserError
from repro.vision import hub
from repro.vision.ade20k import CLASSES
from repro.vision.pictures import IGNORED

COLUMNS = ("Image Path", "raw_caption", "long", "short")
CAPTIONS = {
    "http://a": ("Cat", "A cat sits. It is black.\nIt sleeps.", "a cat."),
    "http://b": ("Dog", "", ""),
    "http://c": ("Bird", "A bird flies.", "a bird"),
}


def jpeg(width: int = 40, height: int = 30) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_shard(folder, split: str, samples: list[dict[str, bytes]]) -> None:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / f"{split}-0000.tar", "w") as pack:
        for index, sample in enumerate(samples):
            for ending, content in sample.items():
                info = tarfile.TarInfo(f"{index:04d}.{ending}")
                info.size = len(content)
                pack.addfile(info, io.BytesIO(content))


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Images http://a to http://d, captions of a to c."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    addresses = [*CAPTIONS, "http://d"]
    write_shard(tmp_path / "images", "train", [
        {"jpg": jpeg(), "json": json.dumps({"url": address}).encode()} for address in addresses])
    (tmp_path / "captions").mkdir()
    with open(tmp_path / "captions" / "all.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [COLUMNS, *((address, *said) for address, said in CAPTIONS.items())])
    return tmp_path


def recaptioned(web, **settings):
    return hub.recaptioned(**{
        "images": str(web / "images"), "images_revision": "main",
        "captions": str(web / "captions"), "captions_revision": "main",
        "captions_file": "all.csv", "long": ("long", "short")} | settings)


def test_images_and_captions_meet_by_address(web):
    found = list(recaptioned(web).pictures)
    assert [picture.texts for picture in found] == [
        ("Cat", "A cat sits. It is black.\nIt sleeps.", "A cat sits", "It is black", "It sleeps",
         "a cat"),
        ("Bird", "A bird flies.", "A bird flies", "a bird"),
    ], "without captions (d) or sentences (b) there is nothing to learn"
    assert len(list(recaptioned(web, pictures=1).pictures)) == 1


def test_large_images_are_reduced_and_small_ones_kept(web):
    sizes = [Image.open(io.BytesIO(next(iter(recaptioned(web, shortest_side=side).pictures)).image)
                        ).size for side in (15, 256)]
    assert sizes == [(20, 15), (40, 30)]


def test_a_data_set_that_is_not_there_is_told(web):
    with pytest.raises(UserError, match="not reachable"):
        next(iter(recaptioned(web, images=str(web / "gone")).pictures))


def test_sentences_end_at_stops_and_lines():
    assert hub.sentences("One. Two.\nThree</s>") == ["One", "Two", "Three"]
    assert hub.sentences("") == []


def test_captions_by_line(web):
    write_shard(web / "captioned", "test", [{"jpg": jpeg(), "txt": b"one\ntwo\n\n three \n"}])
    source = hub.captioned(dataset=str(web / "captioned"), revision="main")
    assert [picture.texts for picture in source.pictures] == [("one", "two", "three")]


class Rows(list):
    """Rows of a data set with named classes."""

    features = {"label": SimpleNamespace(names=["tench, Tinca tinca", "goldfish"])}


def test_classes_by_their_first_name(monkeypatch):
    rows = Rows([{"image": Image.new("RGB", (8, 8)), "label": 1}])
    monkeypatch.setattr(hub, "load", lambda *_: rows)
    source = hub.labelled(dataset="any/thing", revision="main")
    assert source.names == ("tench", "goldfish")
    assert source.classes[0] == tuple(t.format(name="tench") for t in hub.TEMPLATES)
    assert [picture.label for picture in source.pictures] == [1]


def test_maps_of_ade20k_begin_at_one(monkeypatch):
    truth = Image.fromarray(np.array([[0, 1], [150, 1]], dtype=np.uint8))
    monkeypatch.setattr(hub, "load", lambda *_: [
        {"image": Image.new("RGB", (2, 2)), "annotation": truth}])
    source = hub.segmented(dataset="any/thing", config=None, revision="main", size=2)
    picture, = source.pictures
    assert picture.label.tolist() == [[IGNORED, 0], [149, 0]]
    assert len(source.classes) == len(CLASSES) == len(set(CLASSES)) == 150
    assert (CLASSES[0], CLASSES[149]) == ("wall", "flag")
