"""What a language model is asked when lips were read: units, a mark, and then the sentence.

    k æ t s æ t = cat sat        units are written apart, whatever they are
"""

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer

from repro.audio.store import Spelling
from repro.errors import UserError
from repro.text import tokenizer as vocabularies

MARK = "="


def question(units: Sequence[str]) -> str:
    """Return the units and the mark after them."""
    return " ".join(["", *units, MARK])


def answer(words: Sequence[str]) -> str:
    """Return the sentence as it follows the mark."""
    return " ".join(["", *words])


def dictionary(spellings: Iterable[Spelling]) -> list[str]:
    """Return a line for every word of each spelling: its units, the mark and the word."""
    return [question([spelling.units[unit] for unit in units]) + answer([word])
            for spelling in spellings for table in spelling.words.values()
            for word, units in sorted(table.items())]


def questions(tokenizer: Tokenizer, asked: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the ids of the questions about several lists of units."""
    return vocabularies.encode(tokenizer, map(question, asked))


def answers(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the ids of several answers, [SEP] at the end of each."""
    end = vocabularies.vocab_info(tokenizer).sep
    return [[*ids, end] for ids in vocabularies.encode(tokenizer, map(answer, sentences))]


def rows(
    asked: Sequence[Sequence[int]], given: Sequence[Sequence[int]], longest: int, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (tokens_BT int64, keep_BT bool): question and answer, keep true on the answer.

    T is that of the longest row, at most `longest`: an overlong question loses its beginning, so
    that every row ends as it should. Raises UserError for an answer of `longest` tokens or more.
    """
    if max(map(len, given)) >= longest:
        raise UserError(f"longest = {longest}: an answer has {max(map(len, given))} tokens")
    lines = [([*one][-(longest - len(two)):], two) for one, two in zip(asked, given, strict=True)]
    width = max(len(one) + len(two) for one, two in lines)
    tokens_BT = np.full((len(lines), width), pad, dtype=np.int64)
    keep_BT = np.zeros(tokens_BT.shape, dtype=bool)
    for row, (one, two) in enumerate(lines):
        end = len(one) + len(two)
        tokens_BT[row, :end] = [*one, *two]
        keep_BT[row, len(one) : end] = True
    return tokens_BT, keep_BT
