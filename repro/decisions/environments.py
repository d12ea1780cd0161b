"""What an environment is to the rest of this room: episodes that are functions of a seed."""

from collections.abc import Iterator
from typing import Protocol

from repro.decisions.episodes import Thing
from repro.train.streams import Streams


class Game(Protocol):
    """A running episode. name: of the environment; goal: in words; things: in sight now, nearest
    first; steps: taken; success: whether the last one reached the goal, as the environment judges;
    over: no step may follow."""

    name: str
    seed: int
    goal: str
    things: tuple[Thing, ...]
    steps: int
    success: bool
    over: bool

    def step(self, action: int) -> bool:
        """Take an action; return whether it reached the goal. It draws no random number."""
        ...

    def expert(self) -> Iterator[int]:
        """Yield the actions of an expert, each to be taken before the next."""
        ...


class Environment(Protocol):
    """Where a policy acts: settings only. words: one for each action, as a policy is told of it."""

    words: tuple[str, ...]

    def begin(self, index: int, streams: Streams) -> Game:
        """Return episode number index, begun: a function of its index and the streams' seed."""
        ...

    def play(self, seed: int) -> Game:
        """Return the episode of a seed, begun."""
        ...
