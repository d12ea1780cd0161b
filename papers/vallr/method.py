"""VALLR: a language model learns to write sentences from units that were read off lips.

It never sees a video. It is trained on text alone: the sentence is spelled in units, mistakes are
put in as a lip reader makes them, and the sentence is what it must write. B rows, T positions.
Source: Thomas et al. 2025, second stage.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from repro.audio.store import Spelling
from repro.errors import UserError
from repro.lips import prompts
from repro.lips.clips import LANGUAGE, Clips
from repro.lips.visemes import letter_class, viseme_class
from repro.text import tokenizer as vocabularies
from repro.text.tokenizer import FILES, VocabInfo
from repro.train.streams import Streams


class Mistakes:
    """What a lip reader gets wrong: rates per unit, by name.

    guess: of a unit no more than its viseme is seen, and a unit of that viseme is written, each as
    often as text has it (it may be the right one). substitute: any unit. delete, insert. These are
    means; those of a sentence are all multiplied by a number that is uniform from 1 - spread to
    1 + spread, as clips differ.
    """

    def __init__(
        self, *, guess: float, substitute: float, delete: float, insert: float, spread: float = 0.5
    ) -> None:
        rates = {"guess": guess, "substitute": substitute, "delete": delete, "insert": insert}
        for name, rate in (*rates.items(), ("spread", spread)):
            if not 0 <= rate <= 1:
                raise UserError(f"{name} = {rate}: expected 0 to 1")
        if (total := guess + substitute + delete) * (1 + spread) > 1:
            raise UserError(f"guess, substitute and delete: {total} together, with spread = "
                            f"{spread} more than 1 in some sentences")
        self.guess, self.substitute, self.delete, self.insert = rates.values()
        self.spread = spread

    def make(self, units: list[str], looks: "Looks", rng: np.random.Generator) -> list[str]:
        """Return the units with mistakes."""
        level = rng.uniform(1 - self.spread, 1 + self.spread)
        found = []
        for unit in units:
            fate, pick, after, which = rng.random(4)
            fate /= level
            if fate < self.delete:
                unit = ""
            elif fate < self.delete + self.substitute:
                unit = looks.any(pick)
            elif fate < self.delete + self.substitute + self.guess:
                unit = looks.like(unit, pick)
            found.append(unit)
            if after < level * self.insert:
                found.append(looks.any(which))
        return [unit for unit in found if unit]


class Looks:
    """The units of a spelling, by what they look like and how often text has them."""

    def __init__(self, spelling: Spelling, sentences: Sequence[Sequence[str]]) -> None:
        of = viseme_class if spelling.kind == "phones" else letter_class
        words = Counter(word for line in sentences for word in line)
        counts: Counter[str] = Counter()
        for word, times in words.items():
            for unit in spelling.spell(LANGUAGE, (word,)):
                counts[spelling.units[unit]] += times
        self.every = list(spelling.units[1:])
        self.alike: dict[str, tuple[list[str], np.ndarray]] = {}
        for unit in self.every:
            same = [other for other in self.every if of(other) == of(unit)]
            shares = np.cumsum([counts[other] + 1.0 for other in same])
            self.alike[unit] = same, shares / shares[-1]

    def any(self, draw: float) -> str:
        """Return one of all units. draw: uniform from 0 to 1."""
        return self.every[int(draw * len(self.every))]

    def like(self, unit: str, draw: float) -> str:
        """Return a unit that looks the same, as often as text has it."""
        same, shares = self.alike[unit]
        return same[int(np.searchsorted(shares, draw, side="right"))]


class Rewrites:
    """Rows of text without video, `units with mistakes = sentence`, of which the sentence is
    learnt: a `repro.train.objective.Batches`.

    units: what sentences are spelled in. mistakes: None = none. longest: tokens of a row; the
    beginning of an overlong question is cut.
    """

    files = FILES

    def __init__(
        self,
        *,
        units: Literal["phones", "letters"],
        batch_size: int,
        longest: int,
        mistakes: Mistakes | None = None,
    ) -> None:
        if batch_size < 1 or longest < 8:
            raise UserError(f"batch_size = {batch_size}, longest = {longest}: expected at least 1 "
                            "and 8")
        self.units, self.mistakes = units, mistakes
        self.shape = {"batch_size": batch_size, "sequence_length": longest}

    @property
    def tokens(self) -> int:
        """Positions in a batch of full rows."""
        return self.shape["batch_size"] * self.shape["sequence_length"]

    def open(
        self, folder: Path, streams: Streams
    ) -> tuple[VocabInfo, Callable[[int], tuple[torch.Tensor, torch.Tensor]]]:
        """Return the vocabulary and batch(index) -> (tokens_BT int64, keep_BT bool, true on the
        sentence and its [SEP]).

        Every epoch visits each sentence once, in a permutation drawn from the stream "order"; its
        mistakes are drawn anew each time. Raises UserError for a missing or damaged artefact.
        """
        clips = Clips(folder)
        sentences, spelling = [line.split() for line in clips.sentences], clips.spelling(self.units)
        tokenizer, looks = vocabularies.load(folder), Looks(spelling, sentences)
        size, longest = self.shape.values()
        orders: dict[int, np.ndarray] = {}

        def at(place: int) -> list[str]:
            epoch, inside = divmod(place, len(sentences))
            if epoch not in orders:
                while len(orders) > 1:  # a batch needs two at most
                    del orders[next(iter(orders))]
                orders[epoch] = streams.numpy("order", epoch).permutation(len(sentences))
            return sentences[orders[epoch][inside]]

        def batch(index: int) -> tuple[torch.Tensor, torch.Tensor]:
            some = [at(place) for place in range(index * size, (index + 1) * size)]
            asked = [[spelling.units[unit] for unit in spelling.spell(LANGUAGE, tuple(line))]
                     for line in some]
            if self.mistakes is not None:
                rng = streams.numpy("mistakes", index)
                asked = [self.mistakes.make(units, looks, rng) for units in asked]
            tokens_BT, keep_BT = prompts.rows(
                prompts.questions(tokenizer, asked), prompts.answers(tokenizer, some), longest,
                vocabularies.vocab_info(tokenizer).pad)
            return torch.from_numpy(tokens_BT), torch.from_numpy(keep_BT)

        return vocabularies.vocab_info(tokenizer), batch

    def example(self, vocab: VocabInfo) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch of full rows of random words, a third of them learnt, without data."""
        shape = tuple(self.shape.values())
        tokens_BT = torch.randint(len(vocab.special), vocab.size, shape)
        keep_BT = (torch.arange(shape[1]) >= 2 * shape[1] // 3).expand(shape)
        return tokens_BT, keep_BT
