"""Gathering experience without an expert: explore, keep what succeeded, relabel what did not."""

from collections.abc import Callable

from repro.decisions.environments import Environment
from repro.decisions.episodes import Episode
from repro.decisions.rollouts import Choose, mixed, roll_out
from repro.errors import UserError
from repro.train.streams import Streams


class Exploration:
    """Rounds in which the policy acts, with some random actions. It holds settings only.

    epsilons: a round each, the share of random actions. steps: of the environment in a round, the
    same for every policy; the last episode is cut there, and counts as failed. relabel(level,
    episode, generator): what a failed episode shows, or None; without it failures are dropped.
    """

    def __init__(
        self, *, epsilons: tuple[float, ...], steps: int,
        relabel: Callable[..., Episode | None] | None,
    ) -> None:
        if not epsilons or not all(0 <= one <= 1 for one in epsilons):
            raise UserError(f"Exploration.epsilons = {epsilons}: expected numbers from 0 to 1")
        if steps < 1:
            raise UserError(f"Exploration.steps = {steps}: expected at least 1")
        self.epsilons, self.steps, self.relabel = tuple(epsilons), steps, relabel

    @property
    def rounds(self) -> int:
        """How many times it explores."""
        return len(self.epsilons)

    def gather(
        self, number: int, level: Environment, act: Choose, streams: Streams
    ) -> tuple[list[Episode], dict[str, int]]:
        """Return the episodes to learn from, successes as they are, and counts of the round: of
        episodes, steps, successes and relabelled failures. act: the policy so far."""
        explore = mixed(act, self.epsilons[number], len(level.words))
        kept: list[Episode] = []
        count = {"episodes": 0, "steps": 0, "successes": 0, "relabelled": 0}
        episodes = roll_out(level, streams, explore)
        while count["steps"] < self.steps:
            drawn = streams.numpy("relabel", count["episodes"])
            episode = _cut(next(episodes), self.steps - count["steps"])
            count["episodes"] += 1
            count["steps"] += len(episode.actions)
            if episode.success:
                count["successes"] += 1
                kept.append(episode)
            elif self.relabel is not None and (found := self.relabel(level, episode, drawn)):
                count["relabelled"] += 1
                kept.append(found)
        return kept, count


def _cut(episode: Episode, steps: int) -> Episode:
    if len(episode.actions) <= steps:
        return episode
    return episode._replace(
        views=episode.views[:steps], actions=episode.actions[:steps], success=False)
