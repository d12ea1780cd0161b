"""Measures of lip reading, and a language model that writes what it is asked."""

from functools import partial

import jiwer
import numpy as np
import pytest
import torch

from repro.audio.store import Spelling
from repro.errors import UserError
from repro.evaluate import lip_reading
from repro.evaluate.word_lm import Bigram
from repro.lips import prompts
from repro.losses.causal_lm import CausalLM
from repro.nn.decoders import llama
from repro.text import tokenizer as vocabularies
from repro.train.streams import Streams

LETTERS = Spelling("en", "letters", ("<blank>", "a", "c", "t", "|"), {"en": {
    "cat": (4, 2, 1, 3), "at": (4, 1, 3), "a": (4, 1)}})
SENTENCES = [["cat", "at"], ["a", "cat"], ["at", "a"], ["a", "a", "cat"]]


def heard(units: list[int], spelling: Spelling = LETTERS) -> np.ndarray:
    """log p that is sure of a path: each unit twice, a blank after it."""
    path = [place for unit in units for place in (unit, unit, 0)]
    rows_NV = np.full((len(path), spelling.size), 0.01 / (spelling.size - 1))
    rows_NV[np.arange(len(path)), path] = 0.99
    return np.log(rows_NV)


def test_letters_are_joined_to_words() -> None:
    outputs = [heard(LETTERS.spell("en", tuple(line))) for line in SENTENCES]
    assert lip_reading.letters(None, None, LETTERS, outputs) == SENTENCES
    phones = Spelling("en", "phones", LETTERS.units, LETTERS.words)
    with pytest.raises(UserError, match="the recogniser writes phones"):
        lip_reading.letters(None, None, phones, outputs)


def test_the_lexicon_mends_a_letter() -> None:
    class Clips:
        sentences = ["a cat", "at a"]

    outputs = [heard([4, 1, 4, 2, 1, 1])]
    outputs[0][-2, [1, 3]] = np.log([0.5, 0.48])
    assert lip_reading.letters(None, None, LETTERS, outputs) == [["a", "caa"]]
    assert lip_reading.lexicon(None, Clips, LETTERS, outputs) == [["a", "cat"]]


def test_the_weight_of_the_bigram_model_is_tuned_on_dev(monkeypatch) -> None:
    """Dev says "at a", which outputs leave open; a weight of 0 prefers what is heard a bit more."""
    outputs = heard([4, 1, 4, 1])

    class Clip:
        words = ("at", "a")

    class Clips:
        sentences = ["at a"] * 30 + ["a a"]

        def of(self, split):
            assert split == "dev"
            return [Clip()]

    class Context:
        def input(self, stage):
            from pathlib import Path

            return Path()

    outputs[3:5, 3] = np.log(0.45)
    model = Bigram(Clips.sentences, LETTERS.words["en"])
    assert model.probability("<s>", "at") > model.probability("<s>", "a")
    monkeypatch.setattr(lip_reading, "load", lambda *_: (None, LETTERS))
    monkeypatch.setattr(lip_reading, "outputs", lambda *_: [outputs])
    alone = lip_reading.lexicon(None, Clips(), LETTERS, [outputs])
    tuned = lip_reading.lexicon(Context(), Clips(), LETTERS, [outputs], lm_weights=(0.0, 4.0))
    assert alone == [["a", "a"]] and tuned == [["at", "a"]]


def test_errors_by_hand_and_by_jiwer() -> None:
    said, found = [["the", "cat", "sat"], ["a", "dog"]], [["the", "bat", "sat", "on"], ["dog"]]
    assert lip_reading.word_error_rate(said, found) == pytest.approx(3 / 5)
    lines = [[" ".join(line) for line in lines] for lines in (said, found)]
    assert lip_reading.letter_error_rate(said, found) == jiwer.cer(*lines) == pytest.approx(6 / 16)
    unseen = frozenset(("cat", "dog"))
    assert lip_reading.errors_among(unseen, said, found) == pytest.approx(1 / 2)
    assert lip_reading.errors_among(unseen, said, said) == 0
    assert lip_reading.errors_among(unseen, said, [[], []]) == 1
    assert lip_reading.errors_among(frozenset(("bird",)), said, found) is None


def test_a_decoder_that_learnt_to_rewrite_writes_the_sentence() -> None:
    """With perfect units and no mistakes the second stage gives the sentence back, whatever the
    number of beams; questions of different lengths are answered in their own places."""
    tokenizer = vocabularies.byte_bpe(
        ["a c t | = cat at a"] * 3, vocab_size=290, min_frequency=1)
    vocab = vocabularies.vocab_info(tokenizer)
    objective = CausalLM(decoder=partial(
        llama, hidden=32, layers=2, heads=2, intermediate=48, max_positions=64))
    model = objective.build(vocab, Streams(0))
    asked = [[LETTERS.units[unit] for unit in LETTERS.spell("en", tuple(line))]
             for line in SENTENCES]
    tokens_BT, keep_BT = map(torch.from_numpy, prompts.rows(
        prompts.questions(tokenizer, asked), prompts.answers(tokenizer, SENTENCES), 60, vocab.pad))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(80):
        loss = objective.loss(model, tokens_BT, keep_BT, Streams(0), step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    for beams in (1, 3):
        written = lip_reading.rewrite(model, tokenizer, asked, beams=beams, longest=12)
        assert written == SENTENCES
    assert lip_reading.rewrite(model, tokenizer, asked[:1], beams=1, longest=1) == [["cat"]]
