"""Rollouts: a policy acts in an environment, several episodes side by side. S states, A actions."""

from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from repro.context import RunContext
from repro.decisions.encoding import Encoder, Words
from repro.decisions.environments import Environment, Game
from repro.decisions.episodes import Episode, State
from repro.errors import UserError
from repro.text.tokenizer import load_vocab
from repro.train import determinism
from repro.train.streams import Streams

Choose = Callable[[list[State], list[np.random.Generator]], list[int]]
WIDTH = 32  # episodes side by side: one call of the policy serves them all


class Policy(Protocol):
    """What is needed of `repro.train.objective.Objective` to act."""

    def build(self, vocab: Any, streams: Streams) -> torch.nn.Module: ...

    def exported(self, model: torch.nn.Module) -> Any: ...

    def scores(self, model: torch.nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """Return scores_SA of the actions from the tensors of `Encoder.inputs`."""
        ...


def greedy(policy: Policy, model: torch.nn.Module, encoder: Encoder) -> Choose:
    """Return the choice of the action with the highest score; on a tie the first."""

    @torch.inference_mode()
    def choose(states: list[State], _: list[np.random.Generator]) -> list[int]:
        model.eval()
        return policy.scores(model, *encoder.inputs(states)).argmax(dim=1).tolist()

    return choose


def mixed(choose: Choose, epsilon: float, actions: int) -> Choose:
    """Return the choice that takes a random action with probability epsilon, else that of choose.

    Each episode draws from a generator of its own: who else is playing changes nothing.
    """

    def explore(states: list[State], generators: list[np.random.Generator]) -> list[int]:
        drawn = [(rng.random(), int(rng.integers(actions))) for rng in generators]
        chosen = choose(states, generators) if epsilon < 1 else [0] * len(states)
        return [other if chance < epsilon else own
                for (chance, other), own in zip(drawn, chosen, strict=True)]

    return explore


def roll_out(level: Environment, streams: Streams, choose: Choose) -> Iterator[Episode]:
    """Yield episodes 0, 1, 2, ... of the level, played to their ends, without an end."""
    for start in count(step=WIDTH):
        indices = range(start, start + WIDTH)
        generators = [streams.numpy("act", index) for index in indices]
        games = [level.begin(index, streams) for index in indices]
        yield from _together(games, generators, level.words, choose)


def replay(game: Game, actions: tuple[int, ...]) -> Episode:
    """Return the episode that actions make of a game just begun; it ends at the goal or with them.
    """
    views = []
    for action in actions:
        views.append(game.things)
        game.step(action)
        if game.over:
            break
    return Episode(game.name, game.seed, game.goal, tuple(views), actions[: game.steps],
                   game.success)


def _together(
    games: list[Game], generators: list[np.random.Generator], words: tuple[str, ...],
    choose: Choose,
) -> list[Episode]:
    views: list[list[Any]] = [[] for _ in games]
    actions: list[list[int]] = [[] for _ in games]
    while alive := [n for n, game in enumerate(games) if not game.over]:
        states = [State(games[n].goal, games[n].things, tuple(words[a] for a in actions[n]))
                  for n in alive]
        for n, state, action in zip(
            alive, states, choose(states, [generators[n] for n in alive]), strict=True
        ):
            views[n].append(state.things)
            actions[n].append(action)
            games[n].step(action)
    return [Episode(game.name, game.seed, game.goal, tuple(seen), tuple(done), game.success)
            for game, seen, done in zip(games, views, actions, strict=True)]


def success(
    ctx: RunContext,
    *,
    level: Environment,
    policy: Policy,
    encoding: Words,
    episodes: int,
    device: Literal["cpu", "cuda"] = "cpu",
) -> dict[str, float]:
    """Return the success_rate of the trained policy, acting greedily, over so many episodes.

    They come from the stream "test": the same for all arms of a seed, and apart from those that
    are trained on. Raises UserError for a missing model, or settings out of range.
    """
    if episodes < 1:
        raise UserError(f"success.episodes = {episodes}: expected at least 1")
    streams = Streams(ctx.seed, ctx.member).fork("test")
    data = ctx.input("data")
    model = load(policy, ctx.input("finetune") / "model", data).to(determinism.device(device))
    choose = greedy(policy, model, encoding.open(data, Streams(ctx.seed, ctx.member)))
    played = islice(roll_out(level, streams, choose), episodes)
    return {"success_rate": sum(one.success for one in played) / episodes}


def load(policy: Policy, folder: Path, data: Path) -> torch.nn.Module:
    """Return the policy whose exported part was saved in a folder. Raises UserError."""
    model = policy.build(load_vocab(data), Streams(0))
    policy.exported(model).load(folder)
    return model
