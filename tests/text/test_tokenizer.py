"""Vocabularies: the same bytes every time, loadable offline by transformers."""

import os
import subprocess
import sys

import pytest

from repro.errors import UserError
from repro.text import tokenizer as vocabularies

TEXTS = [
    "The quick brown fox jumps over the lazy dog, again and again.",
    "Jumping foxes are quicker than sleeping dogs; the dogs do not mind.",
    "Über-naïve café-goers drank 42 coffees (or teas) in Zürich.",
] * 20
TRAIN = f"""
import hashlib, sys
from repro.text import tokenizer
texts = {TEXTS!r}
for train in (tokenizer.wordpiece, tokenizer.byte_bpe):
    text = train(texts, vocab_size=400).to_str()
    print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_training_gives_the_same_bytes_in_every_process_and_thread_count():
    digests = set()
    for seed, threads in (("1", "1"), ("2", "2"), ("3", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", TRAIN], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(digests.pop().split()) == 2


def test_saved_folder_loads_with_autotokenizer_and_keeps_its_bytes(tmp_path):
    from transformers import AutoTokenizer

    trained = vocabularies.wordpiece(TEXTS, vocab_size=300)
    vocabularies.save(trained, tmp_path / "a")
    vocabularies.save(vocabularies.load(tmp_path / "a"), tmp_path / "b")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    loaded = AutoTokenizer.from_pretrained(tmp_path / "a")
    ids = loaded("the foxes", "are quick")
    assert ids["input_ids"] == trained.encode("the foxes", "are quick").ids
    assert loaded.mask_token_id == trained.token_to_id("[MASK]")
    assert loaded.pad_token == "[PAD]"


def test_pairs_are_framed_and_segmented():
    trained = vocabularies.wordpiece(TEXTS, vocab_size=300)
    encoded = trained.encode("the fox", "the dog")
    assert [encoded.tokens[0], encoded.tokens[-1]] == ["[CLS]", "[SEP]"]
    assert encoded.tokens.count("[SEP]") == 2
    middle = encoded.tokens.index("[SEP]")
    assert set(encoded.type_ids[: middle + 1]) == {0}
    assert set(encoded.type_ids[middle + 1 :]) == {1}


def test_frequent_words_are_whole_and_continuations_marked():
    trained = vocabularies.wordpiece(TEXTS, vocab_size=300)
    assert trained.encode("again", add_special_tokens=False).tokens == ["again"]
    pieces = trained.encode("againandagain", add_special_tokens=False).tokens
    assert len(pieces) > 1 and all(piece.startswith("##") for piece in pieces[1:])
    assert (
        trained.encode("ÜBER", add_special_tokens=False).tokens
        == trained.encode("uber", add_special_tokens=False).tokens
    )


def test_bytes_have_no_unknown_token():
    trained = vocabularies.byte_bpe(TEXTS, vocab_size=300)
    vocab = vocabularies.vocab_info(trained)
    ids = trained.encode("日本 🎈 £", add_special_tokens=False).ids
    assert ids and vocab.unk not in ids
    assert trained.decode(ids).strip() == "日本 🎈 £"


def test_vocab_info_names_the_special_ids_and_the_smallest_type():
    vocab = vocabularies.vocab_info(vocabularies.wordpiece(TEXTS, vocab_size=300))
    assert vocab.special == (0, 1, 2, 3, 4)
    assert (vocab.pad, vocab.unk, vocab.cls, vocab.sep, vocab.mask) == vocab.special
    assert 100 < vocab.size <= 300 and vocab.dtype == "uint16"


@pytest.mark.parametrize("texts", [[], ["", "  \n"]])
def test_no_text_is_an_error(texts):
    for train in (vocabularies.wordpiece, vocabularies.byte_bpe):
        with pytest.raises(UserError, match="no text"):
            train(texts)


def test_too_small_a_vocabulary_names_the_setting():
    with pytest.raises(UserError, match=r"wordpiece.vocab_size = 20: smaller"):
        vocabularies.wordpiece(TEXTS, vocab_size=20)
    with pytest.raises(UserError, match=r"byte_bpe.vocab_size = 20: smaller"):
        vocabularies.byte_bpe(TEXTS, vocab_size=20)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer.json: missing"):
        vocabularies.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"half": ')
    with pytest.raises(UserError, match=r"tokenizer.json: not a tokenizer"):
        vocabularies.load(tmp_path)


def test_alphabet_counts_what_the_normaliser_leaves():
    trained = vocabularies.wordpiece(["ÀÀÀ aa É"] * 3, vocab_size=30, alphabet_size=1)
    single = {token for token in trained.get_vocab() if len(token) == 1}
    assert single == {"a"}
