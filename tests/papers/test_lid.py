"""What papers/lid adds to the core: the policy, the fixed vector, hindsight."""

from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from papers.lid.method import Cloning, in_hindsight, packed, straight
from repro.config import resolved
from repro.decisions.babyai import ACTIONS, Level
from repro.decisions.gathering import Exploration
from repro.decisions.rollouts import mixed, replay, roll_out
from repro.errors import UserError
from repro.nn.gpt2 import decoder
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
VOCAB = VocabInfo(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
TINY = partial(decoder, hidden=16, layers=2, heads=2, max_positions=32, dropout=0.0)
SEQUENCE = Cloning(decoder=TINY, side=8)
VECTOR = Cloning(decoder=TINY, side=8, form="vector")
MLP = Cloning(decoder=None, side=8, form="vector", width=16)
HELD_OUT = ("red ball", "green box", "blue key", "purple ball", "yellow box", "grey key")
LEVEL = Level(name="BabyAI-GoToLocal-v0", limit=40, held_out=HELD_OUT, goals="known")


def inputs():
    goals = torch.tensor([[7, 8, 9], [7, 8, 0]])
    past = torch.tensor([[10], [0]])
    names = torch.tensor([[[20, 21], [22, 0]], [[23, 24], [0, 0]]])
    places = torch.tensor([[[3, -2], [1, 0]], [[0, 3], [0, 0]]])
    return goals, past, names, places


def test_what_is_kept_comes_to_the_front_in_its_order():
    values = torch.arange(8.0).view(2, 4, 1)
    keep = torch.tensor([[True, False, True, False], [False, True, True, True]])
    found, kept = packed(values, keep)
    assert found[0, :2, 0].tolist() == [0.0, 2.0] and found[1, :, 0].tolist() == [5.0, 6.0, 7.0]
    assert kept.tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize("objective", [SEQUENCE, VECTOR, MLP], ids=["sequence", "vector", "mlp"])
def test_scores_of_a_state_do_not_depend_on_what_it_is_batched_with(objective):
    model = objective.build(VOCAB, Streams(0)).eval()
    both = objective.scores(model, *inputs())
    alone = objective.scores(model, torch.tensor([[7, 8]]), torch.zeros(1, 1, dtype=torch.int64),
                             torch.tensor([[[23, 24]]]), torch.tensor([[[0, 3]]]))
    assert both.shape == (2, len(ACTIONS))
    torch.testing.assert_close(both[1:], alone)


def test_the_sequence_by_hand():
    """The second state: goal 7 8, nothing past, one object of two tokens at (0, 3)."""
    model = SEQUENCE.build(VOCAB, Streams(0)).eval()
    wte = model.lm.transformer.wte.weight
    place = F.linear(F.relu(model.ahead.weight[0] + model.aside.weight[6]), model.place.weight,
                     model.place.bias)
    rows = torch.stack([wte[7], wte[8], (wte[23] + wte[24]) / 2 + place])
    context = model.lm.transformer(inputs_embeds=rows[None]).last_hidden_state.mean(dim=1)
    expected = model.verbs(F.relu(model.hidden(context)))
    torch.testing.assert_close(SEQUENCE.scores(model, *inputs())[1:], expected)


def test_a_fixed_vector_cannot_tell_which_object_is_where():
    goals, past, names, places = inputs()
    swapped = names.flip(1), places
    for objective, same in ((VECTOR, True), (MLP, True), (SEQUENCE, False)):
        model = objective.build(VOCAB, Streams(0)).eval()
        one = objective.scores(model, goals[:1], past[:1], names[:1], places[:1])
        two = objective.scores(model, goals[:1], past[:1], swapped[0][:1], swapped[1][:1])
        assert torch.allclose(one, two, atol=1e-6) == same


def test_the_loss_is_cross_entropy_and_everything_used_gets_a_gradient():
    for objective in (SEQUENCE, VECTOR, MLP):
        model = objective.build(VOCAB, Streams(0))
        actions = torch.tensor([2, 0])
        found = objective.loss(model, *inputs(), actions, Streams(0), 0)
        scores = objective.scores(model, *inputs())
        torch.testing.assert_close(found["loss"], F.cross_entropy(scores, actions))
        assert found["accuracy"] == (scores.argmax(1) == actions).float().mean()
        found["loss"].backward()
        without = {name for name, p in model.named_parameters() if p.grad is None}
        assert without <= {"lm.transformer.wte.weight"}


def test_arms_begin_alike_but_for_the_language_model():
    one, two = (SEQUENCE.build(VOCAB, Streams(4)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(one["goal.weight"], one["lm.transformer.wte.weight"])


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="needs a decoder"):
        Cloning(decoder=None, width=16)
    with pytest.raises(UserError, match="width = 16"):
        Cloning(decoder=TINY, width=16)


def test_actions_without_loops_by_hand():
    assert straight([b"a", b"b", b"a", b"c"], (1, 2, 3)) == (3,)
    assert straight([b"a", b"a", b"b", b"c", b"b", b"d"], (0, 1, 2, 3, 4)) == (1, 4)
    assert straight([b"a", b"b", b"c"], (5, 6)) == (5, 6)
    assert straight([b"a", b"b", b"a"], (5, 6)) == ()


def test_a_relabelled_episode_is_one_that_plain_play_confirms():
    act = mixed(lambda states, _: [0] * len(states), 1.0, len(ACTIONS))
    failed = [one for one in islice(roll_out(LEVEL, Streams(1), act), 60) if not one.success]
    found = [(one, in_hindsight(LEVEL, one, Streams(1).numpy("relabel", n)))
             for n, one in enumerate(failed)]
    relabelled = [(one, new) for one, new in found if new is not None]
    assert len(relabelled) > len(failed) // 4
    for old, new in relabelled:
        name = " ".join(new.goal.split()[-2:])
        assert name not in HELD_OUT and new.goal != old.goal and new.seed == old.seed
        assert len(new.actions) <= len(old.actions)
        assert replay(LEVEL.play(old.seed, name), new.actions) == new and new.success
        # Nowhere is it in the same state twice, and it ends in front of what it names.
        game = LEVEL.play(old.seed)
        seen = [game.fingerprint()]
        for action in new.actions:
            game.step(action)
            seen.append(game.fingerprint())
        assert len(set(seen)) == len(seen)
        assert game.facing() == name


def test_an_episode_that_faced_nothing_shows_nothing():
    for index in range(30):
        game = LEVEL.begin(index, Streams(2))
        if game.facing() is None:
            episode = replay(LEVEL.play(game.seed), (6, 6, 6))
            assert in_hindsight(LEVEL, episode, Streams(0).numpy("relabel")) is None
            return
    raise AssertionError("every game begins in front of an object")


def test_relabelling_asks_for_no_expert(monkeypatch):
    from repro.decisions.babyai import Game

    monkeypatch.setattr(Game, "expert", None)
    kept, _ = Exploration(epsilons=(1.0,), steps=200, relabel=in_hindsight).gather(
        0, LEVEL, None, Streams(0))
    assert kept


def arms(profile):
    return resolved.load(ROOT / f"papers/lid/resolved/{profile}")["arms"]


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_arms_of_a_claim_differ_in_what_they_are_named_for(profile):
    found = {name: stages["finetune"]["config"] for name, stages in arms(profile).items()}

    def differing(one, two):
        return {key for key in found[one] if found[one][key] != found[two].get(key)}

    assert differing("lid", "scratch") <= {"start", "optimizer"}
    assert differing("lid_mid", "scratch_mid") <= {"start", "optimizer"}
    assert differing("lid_few", "scratch_few") <= {"start", "optimizer"}
    assert differing("lid_adg", "scratch_adg") <= {"start", "optimizer"}
    assert differing("lid_adg", "explore_only") <= {"gathering", "optimizer"}
    assert differing("lid", "lid_mid") <= {"batches", "optimizer"}
    assert differing("lid", "lid_index") <= {"batches", "optimizer"}
    assert differing("lid", "noseq") <= {"objective", "optimizer"}
    assert differing("lid", "mlp") <= {"objective", "start", "optimizer"}
    for name in ("lid_adg", "explore_only", "scratch_adg"):
        assert found[name]["batches"]["episodes"] == 0
        assert found[name]["gathering"]["steps"] == found["lid_adg"]["gathering"]["steps"]
        assert found[name]["gathering"]["epsilons"] == found["lid_adg"]["gathering"]["epsilons"]
    tests = [stages["eval"]["config"]["tasks"] for stages in arms(profile).values()]
    for task in ("go_to", "go_to_new"):
        levels = {str(one[task]["level"]) for one in tests}
        assert len(levels) == 1 and len({one[task]["episodes"] for one in tests}) == 1
    trained = found["lid"]["batches"]["level"]
    assert tests[0]["go_to_new"]["level"]["held_out"] == trained["held_out"]
