"""From states to tensors: goals, past actions and names of objects as tokens of a vocabulary.

S states, G tokens of a goal, H of past actions, O objects, N tokens of a name, P = 2 coordinates.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from repro.decisions.episodes import State
from repro.errors import UserError
from repro.text import tokenizer as vocabularies
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams


class Words:
    """Readable words: settings only. memory: past actions that a policy is told of."""

    def __init__(self, *, memory: int = 3) -> None:
        if memory < 0:
            raise UserError(f"Words.memory = {memory}: expected at least 0")
        self.memory = memory

    def open(self, folder: Path, streams: Streams) -> "Encoder":
        """Return the encoder for the vocabulary of a data artefact. Raises UserError."""
        return Encoder(vocabularies.load(folder), self.memory)


class Encoder:
    """Encodes states by a tokenizer. The same text always gives the same ids, so each is looked up
    once."""

    def __init__(self, tokenizer: Tokenizer, memory: int) -> None:
        self.tokenizer, self.memory = tokenizer, memory
        self.vocab: VocabInfo = vocabularies.vocab_info(tokenizer)
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        if text not in self._known:
            self._known[text] = self.tokenize(text)
        return self._known[text]

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a text that was not met before."""
        return vocabularies.encode(self.tokenizer, [text])[0]

    def inputs(self, states: Sequence[State]) -> tuple[torch.Tensor, ...]:
        """Return (goals_SG, past_SH, names_SON, places_SOP), int64, padded to the longest here.

        Padding is the vocabulary's [PAD], which no text has; places are (ahead, side), 0 where
        there is no object.
        """
        goals = [self.ids(state.goal) for state in states]
        past = [[i for word in state.history[-self.memory:] for i in self.ids(word)]
                if self.memory else [] for state in states]
        names = [[self.ids(thing.name) for thing in state.things] for state in states]
        most = max([len(row) for row in names] + [1])
        longest = max([len(one) for row in names for one in row] + [1])
        places = [[thing[1:] for thing in state.things] + [(0, 0)] * (most - len(state.things))
                  for state in states]
        places_SOP = torch.tensor(places, dtype=torch.int64).view(len(states), most, 2)
        flat = [one for row in names for one in row + [[]] * (most - len(row))]
        names_SON = self._padded(flat, longest).view(len(states), most, longest)
        return self._padded(goals), self._padded(past), names_SON, places_SOP

    def _padded(self, rows: list[list[int]], width: int = 1) -> torch.Tensor:
        width = max([len(row) for row in rows] + [width])
        pad = self.vocab.pad
        return torch.tensor([row + [pad] * (width - len(row)) for row in rows], dtype=torch.int64)
