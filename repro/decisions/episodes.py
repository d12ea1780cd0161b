"""Episodes as plain values: what was seen, asked for and done. One JSON line an episode on disk."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from repro.errors import UserError


class Thing(NamedTuple):
    """An object as the agent sees it. ahead: cells in front of it (0 = its own row); side: cells to
    its right, negative = to its left. A thing at (0, 0) is carried."""

    name: str
    ahead: int
    side: int


class State(NamedTuple):
    """All that a policy is given at one step: the goal in words, what is in sight, nearest first,
    and a word for each action so far, the oldest first."""

    goal: str
    things: tuple[Thing, ...]
    history: tuple[str, ...]


class Episode(NamedTuple):
    """One episode. name: of the environment; seed: what its `play` takes to begin it again; views:
    what was in sight before each action; success: whether the last action reached the goal."""

    name: str
    seed: int
    goal: str
    views: tuple[tuple[Thing, ...], ...]
    actions: tuple[int, ...]
    success: bool

    def states(self, words: tuple[str, ...]) -> Iterator[State]:
        """Yield the state before each action. words: one for each action."""
        history = tuple(words[action] for action in self.actions)
        for step, things in enumerate(self.views):
            yield State(self.goal, things, history[:step])


def save(path: Path, episodes: Iterable[Episode]) -> None:
    """Write episodes to a file, atomically: it is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text("".join(json.dumps(episode) + "\n" for episode in episodes), "utf-8")
    temporary.replace(path)


def load(path: Path) -> list[Episode]:
    """Return the episodes of a file. Raises UserError when it is missing or damaged."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [
            Episode(name, seed, goal,
                    tuple(tuple(Thing(*thing) for thing in view) for view in views),
                    tuple(actions), success)
            for name, seed, goal, views, actions, success in rows
        ]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not readable as episodes: {error}") from error
