"""Artefacts on disk: round trips, and every kind of damage named."""

import json

import numpy as np
import pytest

from repro.data import shards
from repro.errors import UserError
from repro.text import tokenizer as vocabularies


def test_documents_come_back_closed_by_sep(corpus):
    toy = corpus([3, 1, 4])
    assert len(toy) == 3
    assert toy.document(0).tolist() == [5, 6, 7, 3]
    assert toy.document(2).tolist() == [9, 10, 11, 12, 3]
    assert toy.tokens.dtype == np.uint16
    assert toy.meta == {"documents": 3, "tokens": 11}


def test_large_vocabularies_get_wider_tokens(tmp_path):
    vocab = vocabularies.VocabInfo(70000, 0, 1, 2, 3, 4, (0, 1, 2, 3, 4))
    shards.write_corpus(tmp_path / "c", [np.array([69999, 3])], vocab.dtype, {})
    assert np.load(tmp_path / "c/tokens.npy").tolist() == [69999, 3]
    assert np.load(tmp_path / "c/tokens.npy").dtype == np.uint32


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["tokens.npy", "offsets.npy"])
def test_an_array_of_objects_is_refused_and_never_unpickled(artefact, tmp_path, name):
    mark = tmp_path / "mark"
    hostile = np.array([Payload(str(mark))], dtype=object)
    path = artefact / "corpora/all" / name
    path.unlink()
    np.save(path, hostile, allow_pickle=True)
    (artefact / "manifest.json").unlink()
    shards.write_manifest(artefact)
    with pytest.raises(UserError, match=f"{name}: not a readable npy file"):
        shards.open_corpus(artefact, "all")
    assert not mark.exists()
    np.load(path, allow_pickle=True)
    assert mark.exists(), "the payload would not have shown anything"


def test_an_empty_corpus_is_an_error(tmp_path):
    with pytest.raises(UserError, match="corpus none: empty"):
        shards.write_corpus(tmp_path / "none", [], np.dtype(np.uint16), {})


def test_artefact_is_complete_and_opens(artefact):
    shards.check(artefact)
    assert shards.names(artefact, "corpora") == ["all"]
    assert shards.names(artefact, "tasks") == ["parity"]
    corpus = shards.open_corpus(artefact, "all")
    vocab = vocabularies.load_vocab(artefact)
    assert corpus.vocab == vocab and corpus.tokens.max() < vocab.size
    assert (corpus.tokens[corpus.offsets[1:] - 1] == vocab.sep).all()
    task = shards.open_task(artefact, "parity")
    assert [len(task.train), len(task.dev), len(task.test)] == [8, 2, 5]
    assert task.info["counts"]["test"] == {"examples": 5, "labels": {"odd": 3, "even": 2}}


def test_unknown_names_list_what_there_is(artefact):
    with pytest.raises(UserError, match=r"corpora 'some': not in .*; there are all"):
        shards.open_corpus(artefact, "some")
    with pytest.raises(UserError, match=r"tasks 'some': not in .*; there are parity"):
        shards.open_task(artefact, "some")


@pytest.mark.parametrize(
    "name", ["corpora/all/tokens.npy", "corpora/all/offsets.npy", "corpora/all/meta.json"]
)
def test_a_flipped_byte_in_a_shard_is_found_and_named(artefact, name):
    path = artefact / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: corrupted"):
        shards.open_corpus(artefact, "all")
    shards.open_task(artefact, "parity")


def test_a_truncated_or_missing_task_file_is_named(artefact):
    path = artefact / "tasks/parity/train/labels.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"train/labels.npy: corrupted"):
        shards.open_task(artefact, "parity")
    path.unlink()
    with pytest.raises(UserError, match=r"train/labels.npy: missing"):
        shards.open_task(artefact, "parity")


def test_a_changed_tokenizer_is_found(artefact):
    path = artefact / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(UserError, match=r"tokenizer.json: corrupted"):
        shards.open_corpus(artefact, "all")


def test_damage_after_a_first_good_read_is_found(artefact):
    shards.open_corpus(artefact, "all")
    path = artefact / "corpora/all/tokens.npy"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match="corrupted"):
        shards.open_corpus(artefact, "all")


def test_a_folder_without_manifest_is_no_artefact(artefact):
    (artefact / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest.json: missing or unreadable"):
        shards.check(artefact)


@pytest.mark.parametrize("content", ["null", "[]", "3", "{", '{"tokenizer.json": 1}'])
def test_a_manifest_that_says_nothing_vouches_for_nothing(artefact, content):
    (artefact / "manifest.json").write_text(content)
    with pytest.raises(UserError, match="manifest.json|tokenizer.json"):
        shards.check(artefact)


def test_a_file_that_the_manifest_does_not_list_is_refused(artefact):
    digests = json.loads((artefact / "manifest.json").read_text())
    name = next(name for name in digests if name.endswith("tokens.npy"))
    del digests[name]
    (artefact / "manifest.json").write_text(json.dumps(digests))
    with pytest.raises(UserError, match=f"{name}: not in manifest.json"):
        shards.check(artefact)
    shards.check(artefact, "tasks")


def test_manifest_covers_every_file(artefact):
    listed = set(json.loads((artefact / "manifest.json").read_text()))
    files = {p.relative_to(artefact).as_posix() for p in artefact.rglob("*") if p.is_file()}
    assert files - listed == {"manifest.json"}
