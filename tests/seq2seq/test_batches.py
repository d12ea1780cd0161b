"""Batches of pairs and of sentences to restore, on the toy artefact."""

import numpy as np
import pytest
import torch

from repro.data.seq2seq import Denoising, Translation
from repro.data.spans import Infilling
from repro.errors import UserError
from repro.text.languages import tag_ids
from repro.text.tokenizer import load
from repro.train.streams import Streams

SIZES = {"batch_size": 6, "source_length": 40, "target_length": 40}
MONO = ("mono.en", "mono.it")


def text(artefact, row: torch.Tensor) -> str:
    return load(artefact).decode(row.tolist()).strip()


def pairs(**others):
    return Translation(corpus="train.it-en", source="it", target="en", **SIZES | others)


def test_a_row_is_a_sentence_its_end_and_its_language(artefact):
    vocab, batch = pairs().open(artefact, Streams(0))
    inputs, labels = batch(0)
    ids = tag_ids(artefact, ("en", "it"))
    for rows, language in ((inputs, "it"), (labels, "en")):
        for row in rows:
            kept = row[row != vocab.pad].tolist()
            assert kept[-2:] == [vocab.sep, ids[language]]
            assert vocab.sep not in kept[:-2]


def test_both_sides_are_of_one_pair(artefact, words):
    inputs, labels = pairs().open(artefact, Streams(0))[1](3)
    for read, written in zip(inputs, labels, strict=True):
        english = text(artefact, written).split()
        assert text(artefact, read).split() == [words.get(word, word) for word in english]


def test_an_epoch_visits_each_pair_once_and_a_smaller_set_is_part_of_it(artefact):
    count = 24
    _, batch = pairs(pairs=count).open(artefact, Streams(0))
    seen = [tuple(row[row != 0].tolist()) for index in range(count // 6) for row in batch(index)[0]]
    assert len(seen) == count == len(set(seen))
    again = [tuple(row[row != 0].tolist()) for index in range(4, 8) for row in batch(index)[0]]
    assert set(again) == set(seen) and again != seen
    everything = pairs().open(artefact, Streams(0))[1]
    larger = {tuple(row[row != 0].tolist()) for index in range(60) for row in everything(index)[0]}
    assert set(seen) <= larger


def test_a_batch_depends_on_its_index_alone(artefact):
    batches = Denoising(corpora=MONO, noise=Infilling(), **SIZES)
    one, two = (batches.open(artefact, Streams(5))[1] for _ in range(2))
    for index in (40, 3, 40):
        assert all(map(torch.equal, one(index), two(index)))
    assert not torch.equal(one(3)[1], batches.open(artefact, Streams(6))[1](3)[1])


def test_rows_take_turns_and_are_written_in_the_language_they_are_read_in(artefact):
    vocab, batch = Denoising(corpora=MONO, noise=Infilling(), **SIZES).open(artefact, Streams(0))
    ids = tag_ids(artefact, ("en", "it"))
    for rows in batch(1):
        ends = [row[row != vocab.pad][-1].item() for row in rows]
        assert ends == [ids["en"], ids["it"]] * 3


def test_without_noise_a_row_is_read_as_it_is_written(artefact):
    off = Denoising(corpora=MONO, noise=Infilling(rate=0.0), **SIZES).open(artefact, Streams(0))[1]
    on = Denoising(corpora=MONO, noise=Infilling(), **SIZES).open(artefact, Streams(0))[1]
    for index in range(4):
        inputs, labels = off(index)
        assert torch.equal(inputs, labels)
        assert torch.equal(labels, on(index)[1])  # noise changes nothing of what is written
        assert not torch.equal(inputs, on(index)[0])


def test_the_two_sides_of_a_pair_are_visited_in_orders_of_their_own(artefact, words):
    sides = Denoising(corpora=("train.it-en.it", "train.it-en.en"), noise=Infilling(rate=0.0),
                      **SIZES).open(artefact, Streams(0))[1]
    together = 0
    for index in range(20):
        rows = [text(artefact, row).split() for row in sides(index)[0]]
        for italian, english in zip(rows[::2], rows[1::2], strict=True):
            together += italian == [words.get(word, word) for word in english]
    assert together <= 2  # 60 rows: by chance


def test_a_batch_has_sentences_of_about_one_length(artefact):
    _, batch = pairs().open(artefact, Streams(0))
    kept = [batch(index)[0] != 0 for index in range(20)]
    assert torch.cat([rows.flatten() for rows in kept]).float().mean() > 0.9
    assert len({rows.shape[1] for rows in kept}) > 1


def test_rows_are_cut_with_their_end_kept(artefact):
    vocab, batch = pairs(source_length=5, target_length=4).open(artefact, Streams(0))
    inputs, labels = batch(0)
    assert inputs.shape == (6, 5) and labels.shape == (6, 4)
    assert (inputs[:, -2] == vocab.sep).all() and (labels[:, -2] == vocab.sep).all()


def test_what_does_not_fit_is_refused(artefact):
    with pytest.raises(UserError, match="100000 sentences asked"):
        pairs(pairs=100000).open(artefact, Streams(0))
    with pytest.raises(UserError, match=r"corpora 'train.it-en.de': not in"):
        Translation(corpus="train.it-en", source="de", target="en", **SIZES).open(
            artefact, Streams(0))
    with pytest.raises(UserError, match="target_length = 2"):
        pairs(target_length=2)
    with pytest.raises(UserError, match="2 of them, which must divide batch_size = 5"):
        Denoising(corpora=MONO, noise=Infilling(), **SIZES | {"batch_size": 5})
    with pytest.raises(UserError, match="a batch takes 6 sentences, there are 4"):
        pairs(pairs=4).open(artefact, Streams(0))


def test_examples_are_full_rows_of_ordinary_words(artefact):
    vocab, _ = pairs().open(artefact, Streams(0))
    inputs, labels = pairs().example(vocab)
    assert inputs.shape == labels.shape == (6, 40)
    assert not np.isin(inputs.numpy(), vocab.special).any()
    assert pairs().tokens == 6 * 80
