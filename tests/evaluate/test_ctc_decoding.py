"""Decoding against every sentence and every path written out; the language model by hand."""

import itertools
import math

import numpy as np
import pytest

from repro.errors import UserError
from repro.evaluate.ctc_decoding import LexiconDecoder, greedy
from repro.evaluate.word_lm import END, START, Bigram

SPELLED = {"ab": (1, 2), "a": (1,), "bb": (2, 2), "ba": (2, 1), "homophone": (2, 1)}
LINES = ["a ab", "ab ab", "ba", "homophone", "homophone a", "bb a unknown"]
MODEL = Bigram(LINES, SPELLED)


def log_probs(outputs: int, seed: int) -> np.ndarray:
    table = np.random.default_rng(seed).normal(scale=1.5, size=(outputs, 3))
    return table - np.log(np.exp(table).sum(axis=1, keepdims=True))


def collapsed(path) -> tuple[int, ...]:
    return tuple(unit for unit, _ in itertools.groupby(path) if unit)


def acoustic(table: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the probability of every label sequence, by all paths."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=len(table)):
        value = math.exp(sum(table[place, unit] for place, unit in enumerate(path)))
        labels = collapsed(path)
        found[labels] = found.get(labels, 0.0) + value
    return found


def best(table: np.ndarray, weight: float) -> tuple[float, tuple[str, ...]]:
    """Return the best sentence of up to five words by looking at all."""
    heard, scores = acoustic(table), []
    for size in range(6):
        for words in itertools.product(sorted(SPELLED), repeat=size):
            labels = tuple(unit for word in words for unit in SPELLED[word])
            if labels in heard:
                pairs = zip([START, *words], [*words, END], strict=True)
                language = sum(math.log(MODEL.probability(*pair)) for pair in pairs)
                scores.append((math.log(heard[labels]) + weight * language, words))
    return max(scores)


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_best_sentence_is_that_of_an_exhaustive_search(seed, weight) -> None:
    table = log_probs(5, seed)
    decoder = LexiconDecoder(SPELLED, MODEL, beam=10000, floor=1000.0)
    assert tuple(decoder.decode(table, weight)) == best(table, weight)[1]


def test_a_double_letter_needs_a_blank_between() -> None:
    sure = np.log(np.full((3, 3), 0.01))
    for place, unit in enumerate((2, 0, 2)):
        sure[place, unit] = math.log(0.98)
    decoder = LexiconDecoder(SPELLED, MODEL)
    assert decoder.decode(sure, 0.0) == ["bb"]
    assert decoder.decode(sure[[0, 2]], 0.0) != ["bb"]


def test_homophones_are_told_apart_by_the_language_model() -> None:
    sure = np.log(np.full((2, 3), 0.01))
    sure[0, 2] = sure[1, 1] = math.log(0.98)
    assert LexiconDecoder(SPELLED, MODEL).decode(sure, 1.0) == ["homophone"]


def test_what_no_word_fits_gives_no_words() -> None:
    sure = np.log(np.array([[0.01, 0.01, 0.98]]))
    decoder = LexiconDecoder({"ab": (1, 2)}, Bigram(["ab"], ["ab"]), floor=1.0)
    assert decoder.decode(sure, 0.5) == []


def test_greedy_joins_repeats_and_drops_blanks() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    assert greedy(np.eye(3)[path]) == [1, 1, 2]
    assert greedy(np.eye(3)[[0, 0]]) == []


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="beam = 0, most = 24"):
        LexiconDecoder(SPELLED, MODEL, beam=0)
    with pytest.raises(UserError, match="vocabulary is empty"):
        Bigram(["a"], [])


def test_probabilities_sum_to_one_after_every_word() -> None:
    for before in (START, *SPELLED):
        total = sum(MODEL.probability(before, word) for word in (*SPELLED, END))
        assert total == pytest.approx(1.0)


def test_probability_by_hand() -> None:
    model = Bigram(["a b", "a a"], ["a", "b", "c"])
    # Words and ends: a 3, b 1, </s> 2 of 6, three kinds, four places; after a: b, a, </s>.
    unigram = (1 + 3 / 4) / (6 + 3)
    assert model.unigram("b") == pytest.approx(unigram)
    assert model.probability("a", "b") == pytest.approx((1 + 3 * unigram) / (3 + 3))
    assert model.probability("c", "b") == pytest.approx(unigram), "never seen before: backs off"
    assert model.unigram("c") == pytest.approx((3 / 4) / 9)


def test_sentences_with_unknown_words_are_left_out() -> None:
    assert MODEL.single["a"] == 2 and MODEL.single["bb"] == 0


def test_without_text_all_words_are_alike() -> None:
    model = Bigram([], ["a", "b"])
    assert model.probability(START, "a") == model.probability("b", END) == pytest.approx(1 / 3)
