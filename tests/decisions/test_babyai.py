"""BabyAI as an environment: the same episode as plain gymnasium, exact seeds, goals held out."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import gymnasium
import minigrid  # noqa: F401  registers the levels
import numpy as np
import pytest
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from repro.decisions.babyai import ACTIONS, WORDS, Level, things
from repro.decisions.demonstrations import demonstrate
from repro.decisions.episodes import Episode, Thing, load, save
from repro.decisions.rollouts import mixed, replay, roll_out
from repro.errors import UserError
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
LEVELS = ("BabyAI-GoToLocal-v0", "BabyAI-PickupLoc-v0", "BabyAI-PutNextLocal-v0")
HELD_OUT = ("red ball", "green box", "blue key", "purple ball", "yellow box", "grey key")


def level(name=LEVELS[0], limit=64, **settings):
    return Level(name=name, limit=limit, **settings)


def wandering(count, streams, **settings):
    act = mixed(lambda states, _: [0] * len(states), 1.0, len(ACTIONS))
    return list(islice(roll_out(level(**settings), streams, act), count))


@pytest.mark.parametrize("name", LEVELS)
def test_the_environments_own_expert_always_succeeds(name):
    found = [demonstrate(level(name).begin(index, Streams(3))) for index in range(30)]
    assert all(one.success and len(one.actions) == len(one.views) for one in found)
    assert 3 < np.mean([len(one.actions) for one in found]) < 20


@pytest.mark.parametrize("name", LEVELS)
def test_a_rollout_is_what_a_plain_gymnasium_loop_makes_of_its_actions(name):
    episodes = wandering(6, Streams(5), name=name)
    episodes += [demonstrate(level(name).begin(index, Streams(5))) for index in range(6)]
    env = gymnasium.make(name, max_steps=64)
    for episode in episodes:
        view, _ = env.reset(seed=episode.seed)
        assert view["mission"] == episode.goal
        for step, action in enumerate(episode.actions):
            assert things(view["image"]) == episode.views[step]
            view, reward, ended, cut, _ = env.step(action)
            assert (ended or cut) == (step == len(episode.actions) - 1)
        assert (reward > 0) == episode.success


def test_actions_are_those_of_the_package():
    names = [action.name for action in gymnasium.make(LEVELS[0]).unwrapped.actions]
    assert names == list(ACTIONS) and len(names) == len(Level.words)


def test_the_view_by_hand():
    image = np.zeros((7, 7, 3), dtype=np.uint8)
    image[..., 0] = OBJECT_TO_IDX["empty"]
    image[3, 3] = OBJECT_TO_IDX["wall"], COLOR_TO_IDX["grey"], 0
    image[0, 6] = OBJECT_TO_IDX["wall"], COLOR_TO_IDX["grey"], 0  # to the left: not told
    image[1, 4] = OBJECT_TO_IDX["ball"], COLOR_TO_IDX["red"], 0
    image[4, 6] = OBJECT_TO_IDX["key"], COLOR_TO_IDX["blue"], 0
    image[3, 6] = OBJECT_TO_IDX["box"], COLOR_TO_IDX["green"], 0  # at the agent: carried
    image[5, 5] = OBJECT_TO_IDX["door"], COLOR_TO_IDX["yellow"], 2
    assert things(image) == (
        Thing("green box", 0, 0), Thing("blue key", 0, 1), Thing("locked yellow door", 1, 2),
        Thing("wall", 3, 0), Thing("red ball", 2, -2))


def test_what_is_ahead_comes_nearer_by_walking():
    for index in range(20):
        game = level().begin(index, Streams(1))
        before = {thing for thing in game.things if thing.ahead > 1}
        wall = next((thing for thing in game.things if thing.side == 0), None)
        if wall and wall.ahead > 1 and not any(t.side == 0 and t.ahead == 1 for t in before):
            game.step(ACTIONS.index("forward"))
            moved = {thing._replace(ahead=thing.ahead - 1) for thing in before}
            assert moved <= set(game.things)


def test_held_out_goals_are_apart_by_what_they_name_and_appear_as_objects():
    known = [level(held_out=HELD_OUT, goals="known").begin(n, Streams(2)) for n in range(60)]
    new = [level(held_out=HELD_OUT, goals="new").begin(n, Streams(2)) for n in range(60)]
    assert not any(game.asked & set(HELD_OUT) for game in known)
    assert all(game.asked <= set(HELD_OUT) for game in new)
    assert {name for game in new for name in game.asked} == set(HELD_OUT)
    assert {thing.name for game in known for thing in game.things} >= set(HELD_OUT)
    words = [set(name.split()) for name in HELD_OUT]
    asked = set().union(*(name.split() for game in known for name in game.asked))
    assert set().union(*words) <= asked  # each word alone is known


def test_a_goal_of_two_objects_is_new_if_one_of_them_is():
    games = [level(LEVELS[2], held_out=HELD_OUT, goals="new").begin(n, Streams(2))
             for n in range(10)]
    assert all(len(game.asked) == 2 and game.asked & set(HELD_OUT) for game in games)


def test_every_word_of_the_goals_is_in_the_list():
    for name in LEVELS:
        for index in range(40):
            assert set(level(name).begin(index, Streams(4)).goal.split()) <= set(WORDS)
    assert set(Level.words) <= set(WORDS)


def test_an_episode_depends_on_its_index_and_the_seed_alone():
    first, second = (wandering(40, Streams(7)) for _ in range(2))
    assert first == second
    assert wandering(5, Streams(7)) == first[:5]
    assert wandering(5, Streams(8)) != first[:5]
    game = level().begin(39, Streams(7))
    assert replay(game, first[39].actions) == first[39]


def demonstrated():
    """Return some of the expert's episodes as text."""
    games = [level(name).begin(n, Streams(1)) for name in LEVELS for n in range(6)]
    return repr([demonstrate(game) for game in games])


def test_the_expert_does_not_depend_on_the_hash_seed():
    program = "from tests.decisions.test_babyai import demonstrated; print(demonstrated())"
    done = subprocess.run([sys.executable, "-c", program], text=True, check=True, cwd=ROOT,
                          capture_output=True, env=os.environ | {"PYTHONHASHSEED": "5"})
    assert done.stdout == demonstrated() + "\n"


def test_another_goal_is_judged_by_the_environments_own_verifier():
    """Going to an object that the level did not ask for succeeds under the goal that names it."""
    reached = 0
    for episode in wandering(30, Streams(9)):
        game = level().play(episode.seed)
        for step, action in enumerate(episode.actions, 1):
            game.step(action)
            name = game.facing()
            if name and not game.over:
                again = replay(level().play(episode.seed, name), episode.actions[:step])
                assert again.success and again.goal in (f"go to the {name}", f"go to a {name}")
                reached += 1
                break
    assert reached > 5


def test_fingerprints_tell_moments_apart():
    game = level().begin(0, Streams(0))
    start = game.fingerprint()
    game.step(ACTIONS.index("left"))
    turned = game.fingerprint()
    game.step(ACTIONS.index("right"))
    assert start == game.fingerprint() != turned
    game.step(ACTIONS.index("done"))
    assert start == game.fingerprint()
    for index in range(40):  # an object that is picked up is missing from the world
        game = level().begin(index, Streams(0))
        before, name = game.fingerprint(), game.facing()
        game.step(ACTIONS.index("pickup"))
        assert (game.fingerprint() != before) == (name is not None)
        game.step(ACTIONS.index("drop"))
        assert game.fingerprint() == before


def test_episodes_come_back_from_disk(tmp_path):
    episodes = wandering(3, Streams(1))
    save(tmp_path / "a" / "b.jsonl", episodes)
    assert load(tmp_path / "a" / "b.jsonl") == episodes
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.jsonl"]
    assert isinstance(episodes[0], Episode)
    (tmp_path / "c.jsonl").write_text('["x", 1]\n')
    with pytest.raises(UserError, match="c.jsonl: not readable as episodes"):
        load(tmp_path / "c.jsonl")


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(UserError, match="limit = 0"):
        level(limit=0)
    with pytest.raises(UserError, match="'pink ball' is no object"):
        level(held_out=("pink ball",))
    with pytest.raises(UserError, match="nothing is held out"):
        level(goals="new")
    with pytest.raises(UserError, match="'BabyAI-Fly-v0': no such level"):
        level("BabyAI-Fly-v0").begin(0, Streams(0))
    with pytest.raises(UserError, match="no episode of BabyAI-GoToRedBall-v0 has such a goal"):
        level("BabyAI-GoToRedBall-v0", held_out=("red ball",), goals="known").begin(0, Streams(0))
    with pytest.raises(UserError, match="not among the objects"):
        level().play(1, "yellow wall")
    monkeypatch.setenv("BABYAI_DONE_ACTIONS", "1")
    with pytest.raises(UserError, match="BABYAI_DONE_ACTIONS"):
        level().begin(0, Streams(0))
