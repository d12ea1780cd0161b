"""Synthetic text of any size, and a vocabulary for it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from repro.text import tokenizer as vocabularies

FORMS, WORDS = 40_000, 160  # different words; words of a document
BLOCK = 400_000  # words drawn at a time
VOCABULARY, LEARNT_FROM = 8192, 4000  # entries; documents
LETTERS = "etaoinshrdlcumwfgypbvkjxqz"


def documents(megabytes: float, seed: int = 0) -> Iterator[str]:
    """Yield documents of at least so many megabytes in all: words of random letters by a Zipf law,
    sentences of random length. Memory stays at one block of text."""
    rng = np.random.default_rng(seed)
    forms, left = _forms(), megabytes * 1e6
    share = 1.0 / np.arange(1, FORMS + 1)
    bounds = np.cumsum(share / share.sum())
    while left > 0:
        words = min(BLOCK, int(left / 5) // WORDS * WORDS + WORDS)
        drawn = np.searchsorted(bounds, rng.random(words)).clip(max=FORMS - 1)
        for row in forms[drawn].reshape(-1, WORDS):
            text = " ".join(row)
            left -= len(text) + 1
            yield text
            if left <= 0:
                return


def vocabulary(texts: list[str], folder: Path) -> Tokenizer:
    """Return a WordPiece tokenizer learnt from texts and saved in a folder."""
    trained = vocabularies.wordpiece(texts[:LEARNT_FROM], vocab_size=VOCABULARY)
    vocabularies.save(trained, folder)
    return trained


def _forms() -> np.ndarray:
    """Return words, the commoner the shorter; every twelfth closes a sentence."""
    rng = np.random.default_rng(99)
    weights = 1.0 / np.arange(2, len(LETTERS) + 2)
    sizes = np.clip(rng.poisson(2 + np.log2(np.arange(1, FORMS + 1)) / 3), 1, 14)
    letters = rng.choice(list(LETTERS), p=weights / weights.sum(), size=int(sizes.sum()))
    words = ["".join(part) for part in np.split(letters, np.cumsum(sizes)[:-1])]
    return np.array([f"{word}." if index % 12 == 11 else word
                     for index, word in enumerate(words)], dtype=object)
