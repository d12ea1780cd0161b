"""The data stage: parts without a text in common, both sides in one order, topics by language."""

import json
from functools import partial

import numpy as np
import pytest

from repro.context import RunContext
from repro.data import bitext, parallel, shards
from repro.data.parallel import Parallel
from repro.data.seq2seq import sentence
from repro.errors import UserError
from repro.text import languages
from repro.text.tokenizer import load


def texts(artefact, name):
    corpus = shards.open_corpus(artefact, name)
    tokenizer = load(artefact)
    return [tokenizer.decode(sentence(corpus, index).tolist()).strip()
            for index in range(len(corpus))]


def test_every_part_is_there_and_checked(artefact):
    names = shards.names(artefact, "corpora")
    sides = [f"{split}.it-en.{one}" for split in ("test", "train") for one in ("en", "it")]
    assert names == sorted(["mono.en", "mono.it", *sides])
    shards.check(artefact)
    assert len(texts(artefact, "test.it-en.en")) == 30


def test_no_test_text_is_seen_in_any_part_even_with_other_numbers(artefact):
    held = {bitext.key_of(one) for language in ("en", "it")
            for one in texts(artefact, f"test.it-en.{language}")}
    for name in ("mono.en", "mono.it", "train.it-en.en", "train.it-en.it"):
        assert not held & {bitext.key_of(one) for one in texts(artefact, name)}
    pairs = {bitext.key_of(one) for one in texts(artefact, "train.it-en.en")}
    assert not pairs & {bitext.key_of(one) for one in texts(artefact, "mono.en")}


def test_test_texts_are_kept_as_they_were(artefact):
    lines = (artefact / "texts" / "test.it-en.en.txt").read_text("utf-8").splitlines()
    assert lines == texts(artefact, "test.it-en.en")


def test_topics_are_taught_in_one_language_and_tested_in_each(artefact):
    one, two = (shards.open_task(artefact, f"sections.{name}") for name in ("en", "it"))
    assert one.info["labels"] == two.info["labels"] == ["even", "odd"]
    assert np.array_equal(one.train.labels, two.train.labels)
    decode = load(artefact).decode
    assert decode(two.train.input_ids[0].tolist()) == decode(one.train.input_ids[0].tolist())
    assert decode(two.test.input_ids[0].tolist()) != decode(one.test.input_ids[0].tolist())


def item(index, english, italian, split=""):
    return Parallel(str(index), {"en": english, "it": italian}, split=split)


def prepared(tmp_path, items, **others):
    out = tmp_path / "out"
    out.mkdir()
    settings = {"sources": (lambda: iter(items),), "languages": ("en", "it"), "pairs": ("it-en",),
                "tokenizer": partial(languages.byte_bpe, languages=("en", "it"), vocab_size=300),
                "test": 1}
    bitext.prepare(RunContext(stage="data", arm="any", seed=0, out=out, checkpoints=tmp_path),
                   **settings | others)
    return out


def test_published_splits_are_kept_and_cleaned_of_the_test(tmp_path):
    items = [item(0, "one red cat", "un gatto rosso", "train"),
             item(1, "two big dogs", "due cani grandi", "train"),
             item(2, "one old cat", "Un gatto rosso!", "test")]  # its Italian side is in training
    out = prepared(tmp_path, items)
    assert texts(out, "train.it-en.en") == ["two big dogs"]
    assert texts(out, "test.it-en.en") == ["one old cat"]
    meta = json.loads((out / "corpora" / "train.it-en.en" / "meta.json").read_text())
    assert meta["dropped"] == {"text of dev or test": 1}


def test_what_is_no_translation_is_left_out(tmp_path):
    items = [item(0, "a b c", "a b c"), item(1, "a b", "x y z w v"), item(2, "a", "b"),
             item(3, "page 1 of many", "pagina 1 di molte"),
             item(4, "page 2 of many", "pagina 2 di molte"),
             item(5, "another page is here", "qui c'e altra pagina"),
             item(6, "the last page is there", "l'ultima pagina sta l\u00ec")]
    out = prepared(tmp_path, items, min_words=2, max_words=6)
    meta = json.loads((out / "corpora" / "train.it-en.en" / "meta.json").read_text())
    assert {key: meta["dropped"][key] for key in ("length", "length ratio", "not translated",
                                                  "repeated")} == {
        "length": 1, "length ratio": 1, "not translated": 1, "repeated": 1}
    assert meta["documents"] == 2


@pytest.mark.parametrize("others, message", [
    ({"pairs": ("de-en",)}, "'de-en': expected two of en, it"),
    ({"lexicons": {"en-it": None}}, "must begin with one of"),
    ({}, "prepare.test = 1: only 1 paragraphs are left"),
])
def test_wrong_names_and_sizes_are_refused(tmp_path, others, message):
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, [item(0, "one red cat", "un gatto rosso")], **others)


def test_a_page_of_the_manual_becomes_paragraphs_by_id():
    page = """<h1 id="hd_1">Tables</h1><p id="par_2" class="x">Press
      <span class="switchinline"><span hidden="true" id="MACx" class="MAC">Cmd <b>or</b> Ctrl
      </span><span hidden="true" id="defaultx">Ctrl</span></span>+Z &amp; wait.</p>
      <p id="par_3"> <img src="x"/> </p>"""
    assert parallel._paragraphs(page) == {"hd_1": "Tables", "par_2": "Press Ctrl+Z & wait."}


def test_an_unknown_language_has_no_manual():
    with pytest.raises(UserError, match="no manual in 'xx'"):
        next(parallel.office_manual(languages=("en", "xx")))
