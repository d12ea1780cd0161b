"""From CTC's outputs to units, and to words of a lexicon under a language model.

N outputs, V units (0 is the blank).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from repro.errors import UserError
from repro.evaluate.word_lm import END, START, Bigram

BLANK = 0
_NEVER = -math.inf
_ROOT = 0


def greedy(log_probs_NV: np.ndarray) -> list[int]:
    """Return the units of the best path: repeats joined, blanks left out."""
    path = log_probs_NV.argmax(axis=1).tolist()
    return [unit for unit, before in zip(path, [BLANK, *path], strict=False)
            if unit not in (BLANK, before)]


class LexiconDecoder:
    """Prefix beam search over sequences of words of a lexicon, spelled in units.

    The score of a sentence is log p(units | speech), summed over the paths that stay in the beam,
    plus weight times the log-probability of its words; homophones differ by the latter only.
    spelled: word -> units; beam: prefixes kept; of each output only units are looked at that are at
    most `floor` nats less probable than its best, the `most` best of them.
    Source: Hannun et al. 2014; the lexicon as a trie.
    """

    def __init__(
        self, spelled: Mapping[str, Sequence[int]], language_model: Bigram, *, beam: int = 16,
        floor: float = 8.0, most: int = 24,
    ) -> None:
        if beam < 1 or most < 1 or not floor > 0:
            raise UserError(f"beam = {beam}, most = {most}, floor = {floor}: must be positive")
        self.language_model, self.beam, self.floor, self.most = language_model, beam, floor, most
        self.last = {word: units[-1] for word, units in spelled.items()}
        self.children: list[dict[int, int]] = [{}]
        self.ends: list[list[str]] = [[]]
        self.unit = [BLANK]
        for word, units in sorted(spelled.items()):
            node = _ROOT
            for unit in units:
                if unit not in self.children[node]:
                    self.children[node][unit] = len(self.children)
                    self.children.append({})
                    self.ends.append([])
                    self.unit.append(unit)
                node = self.children[node][unit]
            self.ends[node].append(word)

    def decode(self, log_probs_NV: np.ndarray, weight: float) -> list[str]:
        """Return the words of the best sentence whose words are all complete; [] if there is none.

        log_probs_NV: natural logarithms. weight: of the language model, 0 = the lexicon alone.
        """
        beams: dict[tuple[tuple[str, ...], int], list[float]] = {((), _ROOT): [0.0, _NEVER, 0.0]}
        for frame in log_probs_NV.astype(np.float64):
            least = frame.max() - self.floor
            best = np.argsort(-frame, kind="stable")[: self.most + 1].tolist()
            likely = {unit: frame[unit].item() for unit in best
                      if unit != BLANK and frame[unit] > least}
            beams = self._step(beams, frame, likely, weight)
        model = self.language_model
        complete = [
            (_add(blank, other) + score
             + weight * model.log_probability(words[-1] if words else START, END), words)
            for (words, node), (blank, other, score) in beams.items() if node == _ROOT
        ]
        return list(max(complete)[1]) if complete else []

    def _step(
        self, beams: dict, frame: np.ndarray, likely: dict[int, float], weight: float
    ) -> dict:
        """Return the best prefixes after one more output: (words, node of the trie) -> log p with a
        blank last, log p with a unit last, score of the words."""
        found: dict[tuple[tuple[str, ...], int], list[float]] = {}
        at_blank = frame[BLANK].item()
        for (words, node), (blank, other, score) in beams.items():
            total = _add(blank, other)
            last = self.unit[node] if node else self.last[words[-1]] if words else BLANK
            entry = found.setdefault((words, node), [_NEVER, _NEVER, score])
            entry[0] = _add(entry[0], total + at_blank)
            if last != BLANK:
                entry[1] = _add(entry[1], other + frame[last].item())
            below = self.children[node]
            for unit in below if len(below) < len(likely) else likely:
                if unit not in below or unit not in likely:
                    continue
                child, value = below[unit], likely[unit]
                value += blank if unit == last else total
                if value == _NEVER:
                    continue
                if self.children[child]:
                    entry = found.setdefault((words, child), [_NEVER, _NEVER, score])
                    entry[1] = _add(entry[1], value)
                for word in self.ends[child]:
                    self._complete(found, words, word, value, score, weight)
        kept = sorted(found.items(), key=lambda item: _rank(item[1]), reverse=True)[: self.beam]
        return dict(kept)

    def _complete(
        self, found: dict, words: tuple[str, ...], word: str, value: float, score: float,
        weight: float,
    ) -> None:
        """Add the prefix that ends with a whole word."""
        key = ((*words, word), _ROOT)
        if key not in found:
            if weight:
                before = words[-1] if words else START
                score += weight * self.language_model.log_probability(before, word)
            found[key] = [_NEVER, _NEVER, score]
        found[key][1] = _add(found[key][1], value)


def _rank(entry: list[float]) -> float:
    return _add(entry[0], entry[1]) + entry[2]


def _add(one: float, two: float) -> float:
    """Return log(exp(one) + exp(two))."""
    if one < two:
        one, two = two, one
    return one if two == _NEVER else one + math.log1p(math.exp(two - one))
