"""The speech artefact: what is in it, what is kept out of training, how words are spelled."""

import json

import numpy as np
import pytest

from repro.audio.features import log_mel, normalised
from repro.audio.store import Speech
from repro.audio.subwords import letter_bpe, units_of
from repro.errors import UserError

from .conftest import LANGUAGES, SENTENCES, said


def test_features_are_those_of_each_utterance(prepare) -> None:
    speech = Speech(prepare())
    waves = {item.id: item.wave for item in said()}
    assert len(speech.entries) == 3 * 10
    for entry in speech.entries:
        expected = normalised(log_mel(waves[entry.id], 8))
        np.testing.assert_allclose(speech.of(entry), expected, atol=2e-3)
    assert speech.features.dtype == np.float16


def test_two_spellings_of_the_same_words(prepare) -> None:
    speech = Speech(prepare())
    phones, pieces = (speech.spelling("seen", kind) for kind in ("phones", "subwords"))
    assert phones.units[0] == pieces.units[0] == "<blank>"
    assert [phones.units[unit] for unit in phones.spell("xx", ("the", "cat"))] == list("dekat")
    joined = "".join(pieces.units[unit] for unit in pieces.spell("xx", ("the", "cat")))
    assert joined == "▁the▁cat"
    assert {name: set(table) for name, table in phones.words.items()} == {
        name: set(table) for name, table in pieces.words.items()}, "no arm has words of its own"
    assert set(speech.spelling("zz", "phones").words) == {"zz"}


def test_no_sentence_of_dev_or_test_is_trained_on(prepare) -> None:
    def leaking():
        for item in said():
            yield item
            if item.split == "test":
                yield item._replace(id=f"{item.id}-again", split="train", speaker="other")

    speech = Speech(prepare(sources=(leaking,)))
    assert not any(entry.id.endswith("-again") for entry in speech.entries)
    held = {(e.language, " ".join(e.words)) for e in speech.entries if e.split != "train"}
    assert all((language, line) not in held
               for language, lines in speech.lines.items() for line in lines)


def test_text_for_language_models_is_the_training_transcripts_or_given(prepare) -> None:
    lines = Speech(prepare()).lines
    assert lines == {language: SENTENCES for language in LANGUAGES}


def test_what_ctc_has_no_path_for_is_left_out_of_every_arm(prepare) -> None:
    long = Speech(prepare(shortest=4)).entries
    strict = Speech(prepare(shortest=12)).entries
    assert 0 < len(strict) < len(long)
    spelling = Speech(prepare(shortest=12)).spelling("seen", "subwords")
    for entry in strict:
        if entry.language != "zz":
            assert 12 * len(spelling.spell(entry.language, entry.words)) <= entry.frames


def test_mistakes_are_put_into_synthesised_languages_only(prepare) -> None:
    def mixed():
        for item in said():
            origin = "synthesised" if item.language == "yy" else "recorded"
            yield item._replace(origin=origin)

    wrong = {"cat": ["t"]}
    spelling = Speech(prepare(
        sources=(mixed,), weaken=lambda words, language: {**words, **wrong})).spelling(
        "seen", "phones")
    found = {language: [spelling.units[u] for u in table["cat"]]
             for language, table in spelling.words.items()}
    assert found == {"xx": ["k", "a", "t"], "yy": ["t"]}


def test_the_same_artefact_twice(prepare) -> None:
    first = json.loads((prepare() / "manifest.json").read_text())
    assert json.loads((prepare() / "manifest.json").read_text()) == first


def test_damage_and_missing_groups_are_named(prepare) -> None:
    folder = prepare()
    with pytest.raises(UserError, match="no qq.phones.json; there are seen.phones.json, zz.phones"):
        Speech(folder).spelling("qq", "phones")
    with pytest.raises(UserError, match="no train utterance in language 'qq'"):
        Speech(folder).chosen(("qq",), "train")
    with open(folder / "features.npy", "ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match="features.npy: corrupted"):
        Speech(folder)


def test_a_group_needs_speech(prepare) -> None:
    with pytest.raises(UserError, match="qq: no utterance in language 'qq'"):
        prepare(groups={"seen": ("xx", "yy"), "qq": ("qq",)})


def test_subwords_hold_every_letter_and_begin_words() -> None:
    tokenizer = letter_bpe(["the cat sat", "the hat"], vocab_size=12)
    assert len(units_of(tokenizer)) == 12
    assert {"▁", "t", "h", "e", "c", "a", "s"} <= set(units_of(tokenizer))
    assert "".join(tokenizer.encode("chat").tokens) == "▁chat"
    with pytest.raises(UserError, match="7 different letters"):
        letter_bpe(["the cat sat", "the hat"], vocab_size=6)
