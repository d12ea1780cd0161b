"""The common inventory of phones, and labels with mistakes."""

import numpy as np
import pytest

from repro.audio import phones


def test_marks_are_no_phones() -> None:
    assert phones.common(["ˈɔː", "lʲ", "ʔe", "ɑ̃", "t͡sʲ", "d͡zʲ", "ε"]) == [
        "ɔ", "l", "e", "ɑ", "ts", "dz", "ɛ"]


def test_diphthongs_are_two_phones_and_affricates_one() -> None:
    assert phones.common(["ˈɛɪ", "tʃ", "aʊ"]) == ["ɛ", "ɪ", "tʃ", "a", "ʊ"]


def test_a_change_of_language_leaves_no_mark() -> None:
    assert phones.common(["ɐ", "", "(en)", "b", "(ru)"]) == ["ɐ", "b"]


@pytest.fixture
def table(monkeypatch):
    """Four features by hand: voice, labial, nasal, vowel."""
    rows = {"p": (-1, 1, -1, -1), "b": (1, 1, -1, -1), "m": (1, 1, 1, -1), "d": (1, -1, -1, -1),
            "a": (1, -1, -1, 1), "i": (1, 0, -1, 1), "e": (1, -1, 0, 1)}
    found = {phone: np.array(row) for phone, row in rows.items()}
    monkeypatch.setattr(phones, "_articulation", lambda version: found)


def test_distance_by_hand(table) -> None:
    assert phones.distance("p", "b") == pytest.approx(2 / 4 / 2)
    assert phones.distance("p", "p") == 0 and phones.distance("p", "q") == 1
    assert phones.nearest("p", ["m", "d", "b"]) == "b"


def test_mistakes_are_to_the_nearest_phone_and_the_same_every_time(table) -> None:
    words = {f"w{number}": ["p", "a", "d", "m"] for number in range(2000)}
    found = phones.weakened(words, "xx", share=0.1)
    assert found == phones.weakened(words, "xx", share=0.1)
    assert found != phones.weakened(words, "yy", share=0.1)
    wrong = sum(a != b for word in words for a, b in zip(words[word], found[word], strict=True))
    assert wrong / 8000 == pytest.approx(0.1, abs=0.015)
    assert {one[0] for one in found.values()} == {"p", "d"}, "d and m are as near"


def test_the_two_nearest_vowels_are_one(table) -> None:
    words = {"one": ["a", "p", "a"], "two": ["i", "p", "e"], "three": ["e"]}
    found = phones.weakened(words, "xx", share=0.0)
    assert found == {"one": ["a", "p", "a"], "two": ["i", "p", "a"], "three": ["a"]}
