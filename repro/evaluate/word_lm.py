"""A bigram language model of words over a closed vocabulary, with Witten-Bell smoothing."""

import math
from collections import Counter
from collections.abc import Iterable
from functools import cache

from repro.errors import UserError

START, END = "<s>", "</s>"


class Bigram:
    """P(w | v) = (c(v, w) + t(v) P(w)) / (c(v) + t(v)), t(v): kinds of words seen after v.

    P(w) is smoothed likewise, down to the uniform distribution over vocabulary and end: every word
    of the vocabulary has a probability after any other. Source: Witten and Bell 1991, interpolated.
    """

    def __init__(self, lines: Iterable[str], vocabulary: Iterable[str]) -> None:
        """lines: sentences, words joined by spaces; one with a word outside the vocabulary is left
        out. Raises UserError for an empty vocabulary."""
        self.words = frozenset(vocabulary)
        if not self.words:
            raise UserError("Bigram: the vocabulary is empty")
        self.pairs: Counter[tuple[str, str]] = Counter()
        for line in lines:
            words = line.split()
            if self.words.issuperset(words):
                self.pairs.update(zip([START, *words], [*words, END], strict=True))
        self.before: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.single: Counter[str] = Counter()
        for (first, second), count in self.pairs.items():
            self.before[first] += count
            self.kinds[first] += 1
            self.single[second] += count
        self.log_probability = cache(self._log_probability)

    def unigram(self, word: str) -> float:
        """Return P(word)."""
        kinds, total = len(self.single), self.single.total()
        return (self.single[word] + kinds / (len(self.words) + 1)) / (total + kinds) if total \
            else 1 / (len(self.words) + 1)

    def probability(self, before: str, word: str) -> float:
        """Return P(word | before). before: a word or START; word: of the vocabulary, or END."""
        kinds = self.kinds[before]
        if not kinds:
            return self.unigram(word)
        seen = self.pairs[before, word] + kinds * self.unigram(word)
        return seen / (self.before[before] + kinds)

    def _log_probability(self, before: str, word: str) -> float:
        return math.log(self.probability(before, word))
