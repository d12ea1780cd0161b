"""VALLR: a language model learns to write sentences from units that were read off lips.

It never sees a video. It is trained on text alone: the sentence is spelled in units, mistakes are
put in as a lip reader makes them, and the sentence is what it must write. B rows, T positions.
Source: Thomas et al. 2025, second stage.
"""

from collections.abc import Callable
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

    substitute, delete, insert: the mean rates; those of a sentence are these times a number that is
    uniform from 0 to 2, as clips differ. alike: share of substitutions by a unit of the same
    viseme, where there is one; the others are any unit.
    """

    def __init__(
        self, *, substitute: float, delete: float, insert: float, alike: float = 0.6
    ) -> None:
        rates = {"substitute": substitute, "delete": delete, "insert": insert}
        for name, rate in (*rates.items(), ("alike", alike)):
            if not 0 <= rate <= 1:
                raise UserError(f"{name} = {rate}: expected 0 to 1")
        if substitute + delete > 0.5:
            raise UserError(f"substitute = {substitute}, delete = {delete}: no more than half of "
                            "the units can be wrong on average")
        self.substitute, self.delete, self.insert, self.alike = substitute, delete, insert, alike

    def make(
        self, units: list[str], neighbours: dict[str, list[str]], rng: np.random.Generator
    ) -> list[str]:
        """Return the units with mistakes. neighbours: every unit -> the others of its viseme."""
        every = list(neighbours)
        level = rng.uniform(0.0, 2.0)
        found = []
        for unit in units:
            fate, close, pick, after, which = rng.random(5)
            if fate < level * self.substitute:
                near = neighbours[unit] if close < self.alike else []
                options = near or every
                unit = options[int(pick * len(options))]
            elif fate < level * (self.substitute + self.delete):
                unit = ""
            found.append(unit)
            if after < level * self.insert:
                found.append(every[int(which * len(every))])
        return [unit for unit in found if unit]


def neighbours(spelling: Spelling) -> dict[str, list[str]]:
    """Return for every unit but the blank the others that look the same."""
    of = viseme_class if spelling.kind == "phones" else letter_class
    classes = {unit: of(unit) for unit in spelling.units[1:]}
    return {unit: [other for other, number in classes.items()
                   if number == classes[unit] and other != unit] for unit in classes}


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
        tokenizer, near = vocabularies.load(folder), neighbours(spelling)
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
                asked = [self.mistakes.make(units, near, rng) for units in asked]
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
