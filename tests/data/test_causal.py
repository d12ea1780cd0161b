"""Rows for causal language models, and what is held out for their test."""

import numpy as np
import pytest

from repro.data.causal import CausalRows
from repro.data.documents import Document
from repro.data.holdout import held_out, training
from repro.data.shards import write_corpus, write_manifest
from repro.data.subsets import Pool
from repro.errors import UserError
from repro.text import tokenizer as text
from repro.train.streams import Streams


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    """Three documents of ids 10.., 20.., 30.. of lengths 3, 5 and 2, [SEP] (3) included."""
    folder = tmp_path_factory.mktemp("causal")
    tokenizer = text.wordpiece(["a b c"], vocab_size=40)
    text.save(tokenizer, folder)
    documents = [[10, 11, 3], [20, 21, 22, 23, 3], [30, 3]]
    arrays = [np.array(ids, dtype=np.uint16) for ids in documents]
    write_corpus(folder / "corpora" / "lm", arrays, np.dtype(np.uint16), {})
    write_manifest(folder)
    return folder


def rows(artefact, count, *, epoch=0, **settings):
    batches = CausalRows(corpus="lm", batch_size=count, **settings)
    tokens, keep = batches.open(artefact, Streams(1))[1](epoch)
    return tokens.tolist(), keep.tolist()


def test_packed_rows_are_windows_of_the_joined_documents_each_once_an_epoch(artefact):
    # 10, 11, 3, 20 | 21, 22, 23, 3 | the last two tokens fill no window.
    tokens, keep = rows(artefact, 2, sequence_length=4)
    assert sorted(tokens) == [[10, 11, 3, 20], [21, 22, 23, 3]]
    assert np.all(keep)
    epochs = {tuple(map(tuple, rows(artefact, 2, epoch=e, sequence_length=4)[0]))
              for e in range(12)}
    assert len(epochs) == 2 and all(sorted(map(list, e)) == sorted(tokens) for e in epochs)


def test_a_row_per_document_is_cut_or_padded_at_its_end(artefact):
    tokens, keep = rows(artefact, 3, sequence_length=4, packed=False)
    assert sorted(tokens) == [[10, 11, 3, 0], [20, 21, 22, 23], [30, 3, 0, 0]]
    kept = {tuple(row): sum(mask) for row, mask in zip(tokens, keep, strict=True)}
    assert kept == {(10, 11, 3, 0): 3, (20, 21, 22, 23): 4, (30, 3, 0, 0): 2}
    assert all(mask == sorted(mask, reverse=True) for mask in keep)


def test_a_batch_depends_on_its_index_only_and_may_span_epochs(artefact):
    batches = CausalRows(corpus="lm", batch_size=2, sequence_length=4, packed=False)
    _, batch = batches.open(artefact, Streams(1))
    forward = [batch(i)[0].tolist() for i in range(9)]
    backward = [batch(i)[0].tolist() for i in reversed(range(9))][::-1]
    fresh = [batches.open(artefact, Streams(1))[1](i)[0].tolist() for i in range(9)]
    assert forward == backward == fresh
    seen = [tuple(row) for rows_ in forward for row in rows_]  # 18 rows: six epochs of three
    assert all(len(set(seen[start : start + 3])) == 3 for start in range(0, 18, 3))


def test_in_order_every_row_comes_once(artefact):
    batches = CausalRows(corpus="lm", batch_size=2, sequence_length=4, packed=False)
    found = [tokens.tolist() for tokens, _ in batches.in_order(artefact)]
    assert [len(rows_) for rows_ in found] == [2, 1]
    assert [row[0] for rows_ in found for row in rows_] == [10, 20, 30]


def test_settings_that_fit_nothing_are_refused(artefact):
    with pytest.raises(UserError, match="sequence_length = 11: corpus 'lm' has only 10 tokens"):
        rows(artefact, 1, sequence_length=11)
    with pytest.raises(UserError, match="batch_size = 0"):
        CausalRows(corpus="lm", batch_size=0, sequence_length=4)
    with pytest.raises(UserError, match="sequence_length = 1"):
        CausalRows(corpus="lm", batch_size=1, sequence_length=1)


def pool(*documents):
    made = [Document(str(i), parts, label) for i, (label, *parts) in enumerate(documents)]
    return Pool(tuple(made), tuple(d.text for d in made), {})


def test_training_has_no_part_that_is_held_out():
    found = pool(("", "one two", "three four"), ("", "five six"), ("", "Three, FOUR."))
    assert held_out(found, documents=1).indices == (2,)
    assert training(found, documents=1).indices == (1,)


def test_a_published_validation_set_is_held_out_by_its_label():
    found = pool(("train", "a b"), ("validation", "c d"), ("train", "e f"), ("validation", "g h"))
    assert held_out(found, documents=1, label="validation").indices == (3,)
    assert training(found, documents=1, label="validation").indices == (0, 2)
    with pytest.raises(UserError, match="the pool has 2 with the label 'validation'"):
        held_out(found, documents=3, label="validation")
