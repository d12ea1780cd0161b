"""BabyAI: levels of instructions in a grid of rooms, through the `minigrid` package. A `Level` is a
`repro.decisions.environments.Environment`.

An episode is a function of its seed and the actions: nothing in a level draws random numbers after
the reset. Source: Chevalier-Boisvert et al. 2019, BabyAI.
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from repro.decisions.episodes import Thing
from repro.errors import UserError
from repro.train.streams import Streams

ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
# Every word of goals, names and past actions.
WORDS = (
    *("go", "to", "the", "a", "pick", "up", "put", "next", "object", "in", "front", "of", "you"),
    *("behind", "on", "your", "left", "right", "forward", "drop", "toggle", "done"),
    *("red", "green", "blue", "purple", "yellow", "grey", "key", "ball", "box", "door", "wall"),
    *("open", "closed", "locked"),
)
SEEDS = 2**31
MOST_TRIED = 500  # seeds for one episode
_CHANGING = tuple(ACTIONS.index(name) for name in ("pickup", "drop", "toggle"))
_SEEN = ("door", "key", "ball", "box")
_NAME = re.compile(r"(red|green|blue|purple|yellow|grey) (key|ball|box)")


class Level:
    """A level, and which of its episodes are meant: settings only.

    name: as registered (`BabyAI-GoToLocal-v0`). limit: steps after which an episode is lost.
    held_out: names of objects (`red ball`) that count as new; goals: "known" keeps the episodes
    whose instruction names none of them, "new" those that name at least one, "all" every episode.
    """

    words = ("left", "right", "forward", "up", "drop", "toggle", "done")

    def __init__(
        self, *, name: str, limit: int, held_out: tuple[str, ...] = (),
        goals: Literal["all", "known", "new"] = "all",
    ) -> None:
        if limit < 1:
            raise UserError(f"Level.limit = {limit}: expected at least 1")
        if wrong := [one for one in held_out if not _NAME.fullmatch(one)]:
            raise UserError(f"Level.held_out: {wrong[0]!r} is no object (a colour and key, ball or "
                            "box)")
        if goals == "new" and not held_out:
            raise UserError("Level.goals = 'new': nothing is held out")
        self.name, self.limit, self.goals = name, limit, goals
        self.held_out = frozenset(held_out)

    def begin(self, index: int, streams: Streams) -> "Game":
        """Return episode number index, begun: the first of its own seeds whose goal is meant.

        Raises UserError when no goal of the level is meant, as far as many seeds show.
        """
        drawn = streams.numpy("episode", index)
        for _ in range(MOST_TRIED):
            game = self.play(int(drawn.integers(SEEDS)))
            if self.goals == "all" or bool(game.asked & self.held_out) == (self.goals == "new"):
                return game
        raise UserError(f"Level.goals = {self.goals!r}: no episode of {self.name} has such a goal")

    def play(self, seed: int, goal: str | None = None) -> "Game":
        """Return the episode of a seed, begun. goal: the name of an object to go to in place of
        what the level asks for. Raises UserError for an object that is not there."""
        return Game(_make(self.name, self.limit), self, seed, goal)


class Game:
    """A running episode: a `repro.decisions.environments.Game`. over: at the goal or the limit."""

    def __init__(self, env: Any, level: Level, seed: int, goal: str | None) -> None:
        self.env, self.name, self.seed = env, level.name, seed
        with contextlib.redirect_stdout(io.StringIO()):  # it prints each layout that it rejects
            view, _ = env.reset(seed=seed)
        if goal is not None:
            _ask(env, goal)
        self.goal: str = env.mission
        self.things = things(view["image"])
        self.steps, self.success, self.over = 0, False, False
        self._cells = b""

    @property
    def asked(self) -> frozenset[str]:
        """The objects that the instruction names in full (`red ball`)."""
        return frozenset(f"{one.color} {one.type}" for one in _described(self.env.instrs))

    def step(self, action: int) -> bool:
        """Take an action; return whether it reached the goal."""
        view, reward, ended, cut, _ = self.env.step(action)
        if action in _CHANGING:
            self._cells = b""
        self.things = things(view["image"])
        self.steps += 1
        self.success = bool(ended and reward > 0)
        self.over = bool(ended or cut)
        return self.success

    def facing(self) -> str | None:
        """Return the name of the object right in front of the agent, None = none."""
        cell = self.env.grid.get(*self.env.front_pos)
        name = f"{cell.color} {cell.type}" if cell else ""
        return name if _NAME.fullmatch(name) else None

    def fingerprint(self) -> bytes:
        """Return bytes that two moments of one episode share if and only if the world is alike:
        place and direction of the agent, what it carries, every cell."""
        held = self.env.carrying.encode() if self.env.carrying else ()
        place = (*self.env.agent_pos, self.env.agent_dir, *held)
        self._cells = self._cells or self.env.grid.encode().tobytes()
        return bytes(int(number) for number in place) + self._cells

    def expert(self) -> Iterator[int]:
        """Yield the actions of the environment's own bot, each to be taken before the next.
        It looks only at what the agent has seen."""
        from minigrid.utils.baby_ai_bot import BabyAIBot

        bot, action = BabyAIBot(self.env), None
        while True:
            action = bot.replan(action)
            yield int(action)


def things(image: np.ndarray) -> tuple[Thing, ...]:
    """Return what a view of (7, 7, 3) codes shows: objects, nearest first, and the wall ahead.

    The agent is in the middle of the last row; an object there is carried.
    """
    from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT

    middle, last = image.shape[0] // 2, image.shape[1] - 1
    found = []
    columns, rows = (one.tolist() for one in np.nonzero(image[..., 0] > 1))  # not empty
    for column, row, (kind, colour, state) in zip(
        columns, rows, image[columns, rows].tolist(), strict=True
    ):
        kind = IDX_TO_OBJECT[kind]
        if kind in _SEEN:
            door = f"{('open', 'closed', 'locked')[state]} " if kind == "door" else ""
            name = f"{door}{IDX_TO_COLOR[colour]} {kind}"
            found.append(Thing(name, last - row, column - middle))
        elif kind == "wall" and column == middle:
            found.append(Thing("wall", last - row, 0))
    found.sort(key=lambda one: (one.ahead + abs(one.side), one.ahead, one.side))
    return tuple(found)


def _make(name: str, limit: int) -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it would print, and draws nothing
    import gymnasium
    import minigrid  # noqa: F401  registers the levels

    if "BABYAI_DONE_ACTIONS" in os.environ:
        raise UserError("BABYAI_DONE_ACTIONS is set: it changes what counts as success; unset it")
    try:
        env = gymnasium.make(name, disable_env_checker=True, max_steps=limit)
    except gymnasium.error.Error as error:
        raise UserError(f"Level.name = {name!r}: no such level: {error}") from error
    return env.unwrapped


def _ask(env: Any, goal: str) -> None:
    """Replace the instruction by that of going to an object, verifier included."""
    from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc

    colour, _, kind = goal.partition(" ")
    there = {f"{cell.color} {cell.type}" for cell in env.grid.grid if cell}
    if not _NAME.fullmatch(goal) or goal not in there:
        raise UserError(f"goal {goal!r}: not among the objects of this episode: {sorted(there)}")
    env.instrs = GoToInstr(ObjDesc(kind, colour))
    env.instrs.reset_verifier(env)
    env.surface = env.mission = env.instrs.surface(env)


def _described(instruction: Any) -> list[Any]:
    """Return the descriptions of objects in an instruction, in those it is made of, too."""
    parts = [getattr(instruction, name, None) for name in ("instr_a", "instr_b")]
    own = [getattr(instruction, name, None) for name in ("desc", "desc_move", "desc_fixed")]
    return [one for one in own if one] + [x for part in parts if part for x in _described(part)]
