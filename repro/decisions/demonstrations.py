"""Demonstrations of an expert as training batches, and batches over any episodes.

S steps of all episodes, B of one batch.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repro.decisions.encoding import Encoder, Words
from repro.decisions.environments import Environment, Game
from repro.decisions.episodes import Episode
from repro.errors import UserError
from repro.text.tokenizer import FILES, VocabInfo
from repro.train.objective import Batch
from repro.train.streams import Streams


class Demonstrations:
    """Steps of an expert's episodes: a `repro.train.objective.Batches`.

    level, episodes: which are demonstrated, and how many (fewer are the first of more). encoding:
    of states. batch_size: steps B. positions: what a step counts for in tokens and operations; a
    state has about so many. most: no more episodes than these (for trials).
    """

    files = FILES

    def __init__(
        self, *, level: Environment, episodes: int, encoding: Words, batch_size: int,
        positions: int = 16, most: int | None = None,
    ) -> None:
        for name, value in {"batch_size": batch_size, "positions": positions}.items():
            if value < 1:
                raise UserError(f"Demonstrations.{name} = {value}: expected at least 1")
        if episodes < 0:
            raise UserError(f"Demonstrations.episodes = {episodes}: expected at least 0")
        self.level, self.encoding = level, encoding
        self.episodes = episodes if most is None else min(episodes, most)
        self.shape = {"batch_size": batch_size, "positions": positions}

    @property
    def tokens(self) -> int:
        """Positions in a batch, about."""
        return self.shape["batch_size"] * self.shape["positions"]

    def open(self, folder: Path, streams: Streams) -> tuple[VocabInfo, Callable[[int], Batch]]:
        """Return the vocabulary and batch(index), see `StepOrder`. Raises UserError for a data
        artefact without vocabulary, or when nothing is to be demonstrated."""
        encoder = self.encoding.open(folder, streams)
        episodes = [demonstrate(self.level.begin(index, streams.fork("demonstrations")))
                    for index in range(self.episodes)]
        return encoder.vocab, self.over(episodes, encoder, streams)

    def over(self, episodes: Sequence[Episode], encoder: Encoder, streams: Streams) -> "StepOrder":
        """Return batch(index) over the steps of any episodes. Raises UserError for none."""
        states = [state for one in episodes for state in one.states(self.level.words)]
        actions = [action for one in episodes for action in one.actions]
        if not states:
            raise UserError("no step to learn from: neither demonstrations nor gathered episodes")
        columns = (*encoder.inputs(states), torch.tensor(actions, dtype=torch.int64))
        return StepOrder(columns, self.shape["batch_size"], streams)

    def example(self, vocab: VocabInfo) -> Batch:
        """Return a batch of random words, for measuring without data."""
        rows, width = self.shape["batch_size"], max(3, self.shape["positions"] // 3)
        words = [torch.randint(len(vocab.special), vocab.size, size) for size in
                 ((rows, width), (rows, width), (rows, width, 2))]
        places = torch.zeros(rows, width, 2, dtype=torch.int64)
        return *words, places, torch.zeros(rows, dtype=torch.int64)


class StepOrder:
    """The steps of batch `index`, counted through all epochs: a pure function of the index.

    A batch is (goals, past, names, places, actions_B), see `Encoder.inputs`: rows of the columns.
    Every epoch visits each once, in a permutation drawn from the stream "order" of that epoch.
    """

    def __init__(
        self, columns: tuple[torch.Tensor, ...], batch_size: int, streams: Streams
    ) -> None:
        self.columns, self.batch_size, self.streams = columns, batch_size, streams
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.columns[-1])

    def __call__(self, index: int) -> tuple[torch.Tensor, ...]:
        """Return the tensors of one batch."""
        places = range(index * self.batch_size, (index + 1) * self.batch_size)
        chosen_B = torch.tensor([self._order(n // len(self))[n % len(self)] for n in places])
        return tuple(column[chosen_B] for column in self.columns)

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders = {n: order for n, order in self._orders.items() if n == epoch - 1}
            self._orders[epoch] = self.streams.numpy("order", epoch).permutation(len(self))
        return self._orders[epoch]


def demonstrate(game: Game) -> Episode:
    """Return the episode that the environment's own expert makes of a game just begun."""
    expert: Any = game.expert()
    views, actions = [], []
    for action in takewhile(lambda _: not game.over, expert):
        views.append(game.things)
        actions.append(action)
        game.step(action)
    return Episode(game.name, game.seed, game.goal, tuple(views), tuple(actions),
                   game.success)
