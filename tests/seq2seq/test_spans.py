"""Spans of words and text infilling: by hand, at the limits, and their rates."""

import numpy as np
import pytest

from repro.data.spans import Infilling, Spans, check, choose_spans, covered, insert
from repro.errors import UserError
from repro.text.tokenizer import load, load_vocab


def words_in(spans: Spans, begins: np.ndarray) -> int:
    return int(begins[covered(spans, len(begins))].sum())


def test_a_rate_of_zero_chooses_nothing_and_of_one_as_many_words_as_there_are():
    begins = np.array([True, False, True, True])
    rng = np.random.default_rng(0)
    none = choose_spans(begins, rng, rate=0.0, mean_length=3.5)
    assert (len(none.starts), none.inserts) == (0, 0)
    spans = choose_spans(begins, rng, rate=1.0, mean_length=1e3)  # cut to three words in all
    assert len(spans.starts) == 1 and spans.ends.tolist() == [4]


def test_the_lengths_add_up_to_the_share_of_words():
    begins = np.ones(40, dtype=bool)
    for seed in range(50):
        spans = choose_spans(begins, np.random.default_rng(seed), rate=0.35, mean_length=3.5)
        lengths = spans.ends - spans.starts
        ends = spans.ends == 40  # a span is cut where its sentence ends
        assert lengths.sum() <= 14 and (lengths[~ends] >= 1).all()
        if not ends.any():
            assert lengths.sum() == 14  # ceil(0.35 * 40)


def test_a_span_never_splits_a_word():
    begins = np.array([True, False, False, True, False, True, True, False])
    for seed in range(30):
        spans = choose_spans(begins, np.random.default_rng(seed), rate=0.5, mean_length=1.5)
        assert begins[spans.starts].all()
        assert all(end == len(begins) or begins[end] for end in spans.ends)


def test_the_mean_length_of_spans_is_that_of_poisson():
    begins = np.ones(2000, dtype=bool)
    spans = choose_spans(begins, np.random.default_rng(3), rate=0.35, mean_length=3.5)
    count = len(spans.starts) + spans.inserts
    assert 700 / count == pytest.approx(3.5, rel=0.1)
    assert spans.inserts / count == pytest.approx(np.exp(-3.5), abs=0.03)


def test_inserting_keeps_the_order_of_what_was_there():
    found = insert(np.array([7, 8, 9]), 4, 2, np.random.default_rng(1))
    assert sorted(found.tolist()) == [4, 4, 7, 8, 9]
    assert [token for token in found if token != 4] == [7, 8, 9]


def test_infilling_puts_one_mask_for_a_span_and_touches_nothing_else(artefact):
    vocab, tokenizer = load_vocab(artefact), load(artefact)
    ids = tokenizer.encode("the window opens the page at 3 and then the window of 7",
                           add_special_tokens=False).ids
    tokens = np.array(ids)
    corrupt = Infilling(rate=0.35).open(artefact)
    fewer = 0
    for seed in range(40):
        found = corrupt(tokens, "en", np.random.default_rng(seed)).tolist()
        masks = found.count(vocab.mask)
        rest = iter(ids)
        assert all(token in rest for token in found if token != vocab.mask)  # a subsequence
        assert masks >= 1
        fewer += len(found) < len(ids)
    assert fewer > 30
    off = Infilling(rate=0.0).open(artefact)
    assert np.array_equal(off(tokens, "en", np.random.default_rng(0)), tokens)


def test_settings_out_of_range_are_refused():
    for rate, mean in ((1.2, 3.5), (-0.1, 3.5), (0.3, 0.05)):
        with pytest.raises(UserError):
            check(rate, mean)
