"""Encoding, batches, exploration and the entry `learn`, on a vocabulary made here."""

import hashlib
from functools import partial

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from papers.lid.method import Arbitrary, Cloning, from_language_model, in_hindsight
from repro.context import RunContext
from repro.data.causal import CausalRows
from repro.data.shards import write_corpus, write_manifest
from repro.decisions.babyai import ACTIONS, WORDS, Level
from repro.decisions.demonstrations import Demonstrations, StepOrder, demonstrate
from repro.decisions.encoding import Words
from repro.decisions.episodes import Episode, State, Thing
from repro.decisions.gathering import Exploration
from repro.decisions.learning import learn
from repro.decisions.rollouts import greedy, load, mixed, roll_out, success
from repro.errors import Interrupted, UserError
from repro.losses.next_token import NextToken
from repro.nn.gpt2 import decoder
from repro.text import tokenizer as tokenizers
from repro.train import schedules
from repro.train.optimizers import adamw
from repro.train.pretraining import pretrain
from repro.train.streams import Streams

LEVEL = Level(name="BabyAI-GoToLocal-v0", limit=20, held_out=("red ball",), goals="known")
TINY = partial(decoder, hidden=16, layers=1, heads=2, max_positions=64, dropout=0.0)
POLICY = Cloning(decoder=TINY, side=8)
BATCHES = partial(Demonstrations, level=LEVEL, encoding=Words(), batch_size=8)
SETTINGS = {"objective": POLICY, "optimizer": partial(adamw, lr=0.01),
            "schedule": schedules.linear, "steps": 6, "checkpoint_every": 2}
EXPLORING = Exploration(epsilons=(1.0, 0.5), steps=90, relabel=in_hindsight)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    texts = [" ".join(WORDS), "the cat sat on the mat"] * 40
    tokenizer = tokenizers.byte_bpe(texts, vocab_size=400)
    tokenizers.save(tokenizer, folder)
    vocab = tokenizers.vocab_info(tokenizer)
    ids = [np.array([*one, vocab.sep]) for one in tokenizers.encode(tokenizer, texts)]
    write_corpus(folder / "corpora" / "text", ids, vocab.dtype, {})
    write_manifest(folder)
    return folder


def context(data, folder, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"data": [data], **settings.pop("inputs", {})}
    return RunContext(stage="finetune", arm="arm", seed=3, out=folder / "out", inputs=inputs,
                      checkpoints=folder / "checkpoints", **settings)


def digests(folder):
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_state_as_tensors_by_hand(data):
    encoder = Words(memory=2).open(data, Streams(0))
    ids = {word: encoder.ids(word) for word in ("go", "red", "left", "forward", "wall")}
    states = [State("go", (Thing("red", 3, -1), Thing("wall", 2, 0)),
                    ("forward", "left", "forward")),
              State("go red", (), ())]
    goals, past, names, places = encoder.inputs(states)
    assert goals.tolist()[1] == encoder.ids("go red")
    assert goals.tolist()[0] == ids["go"] + [0] * (len(encoder.ids("go red")) - len(ids["go"]))
    assert past.tolist() == [ids["left"] + ids["forward"], [0] * past.shape[1]]
    assert names[0, 0].tolist()[: len(ids["red"])] == ids["red"]
    assert names[1].eq(0).all() and places.tolist() == [[[3, -1], [2, 0]], [[0, 0], [0, 0]]]


def test_arbitrary_tokens_are_one_a_word_and_none_that_words_use(data):
    readable, arbitrary = (kind().open(data, Streams(5)) for kind in (Words, Arbitrary))
    given = [arbitrary.ids(word) for word in WORDS]
    assert all(len(one) == 1 for one in given) and len({*map(tuple, given)}) == len(WORDS)
    used = {token for word in WORDS for token in readable.ids(word)} | {*readable.vocab.special}
    assert not used & {one[0] for one in given}
    assert arbitrary.ids("go to the red box") == [
        arbitrary.ids(word)[0] for word in ("go", "to", "the", "red", "box")]
    again = Arbitrary().open(data, Streams(5))
    assert [again.ids(word) for word in reversed(WORDS)] == given[::-1]
    assert Arbitrary().open(data, Streams(6)).given != arbitrary.given
    with pytest.raises(UserError, match="word 'pink'"):
        arbitrary.ids("the pink box")


def test_fewer_demonstrations_are_the_first_of_more(data):
    few, more = (BATCHES(episodes=n).open(data, Streams(1))[1] for n in (3, 9))
    assert len(few) < len(more)
    actions = [demonstrate(LEVEL.begin(n, Streams(1).fork("demonstrations"))).actions
               for n in range(9)]
    assert few.columns[-1].tolist() == [a for one in actions[:3] for a in one]
    assert more.columns[-1].tolist() == [a for one in actions for a in one]


def test_each_step_once_an_epoch_whatever_the_batches(data):
    _, batch = BATCHES(episodes=6).open(data, Streams(2))
    steps = len(batch)
    one = StepOrder((torch.arange(steps),), 1, Streams(2))
    whole = [int(one(n)[0]) for n in range(2 * steps)]
    assert sorted(whole[:steps]) == sorted(whole[steps:]) == list(range(steps))
    assert whole[:steps] != whole[steps:]
    one.batch_size = 4
    assert [n for index in range(5) for n in one(index)[0].tolist()] == whole[:20]
    assert one(3)[0].tolist() == whole[12:16]  # in any order


def test_no_gathering_is_the_cores_own_training_byte_for_byte(data, tmp_path):
    batches = BATCHES(episodes=5)
    learn(context(data, tmp_path / "a"), batches=batches, **SETTINGS)
    pretrain(context(data, tmp_path / "b"), batches=batches, **SETTINGS)
    assert digests(tmp_path / "a" / "out") == digests(tmp_path / "b" / "out")


def language_model(data, folder):
    batches = CausalRows(corpus="text", batch_size=2, sequence_length=16)
    ctx = context(data, folder)
    pretrain(ctx, batches=batches, objective=NextToken(decoder=TINY), steps=3,
             optimizer=partial(adamw, lr=0.01), schedule=schedules.constant)
    return ctx.out


def test_the_first_weights_are_the_language_models(data, tmp_path):
    lm = language_model(data, tmp_path / "lm")
    ctx = context(data, tmp_path / "a", inputs={"pretrain": [lm]})
    learn(ctx, batches=BATCHES(episodes=2), start=from_language_model,
          **SETTINGS | {"steps": 0})
    theirs = GPT2LMHeadModel.from_pretrained(lm / "model").state_dict()
    ours = GPT2LMHeadModel.from_pretrained(ctx.out / "model").state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    policy = load(POLICY, ctx.out / "model", data)
    for embedding in (policy.goal, policy.past, policy.names):
        assert torch.equal(embedding.weight, theirs["transformer.wte.weight"])
    random = POLICY.build(tokenizers.load_vocab(data), Streams(3))
    differing = {name.split(".")[0] for name, value in random.state_dict().items()
                 if not torch.equal(value, policy.state_dict()[name])}
    assert differing == {"lm", "goal", "past", "names"}


@pytest.mark.parametrize("stop", [5, 6, 7])
def test_gathering_stopped_anywhere_and_resumed_ends_in_the_same_bytes(data, tmp_path, stop):
    settings = SETTINGS | {"batches": BATCHES(episodes=0), "gathering": EXPLORING}
    learn(context(data, tmp_path / "whole"), **settings)
    steps = []
    ctx = context(data, tmp_path / "cut", stop_requested=lambda: len(steps) == stop,
                  on_report=lambda **values: steps.append(values["step"]))
    with pytest.raises(Interrupted):
        learn(ctx, **settings)
    learn(context(data, tmp_path / "cut"), **settings)
    assert digests(tmp_path / "cut" / "out") == digests(tmp_path / "whole" / "out")
    assert (tmp_path / "whole" / "out" / "gathering.jsonl").is_file()


def test_progress_counts_all_rounds(data, tmp_path):
    seen = []
    ctx = context(data, tmp_path, on_report=lambda **values: seen.append(
        (values["step"], values["total"])))
    learn(ctx, batches=BATCHES(episodes=0), gathering=EXPLORING, **SETTINGS)
    assert seen == [(step, 12) for step in range(1, 13)]


def test_every_round_costs_the_same_steps_and_only_successes_are_kept_without_relabelling():
    kept, count = EXPLORING.gather(0, LEVEL, None, Streams(0))
    plain = Exploration(epsilons=(1.0,), steps=90, relabel=None)
    successes, other = plain.gather(0, LEVEL, None, Streams(0))
    assert count["steps"] == other["steps"] == 90 and other["relabelled"] == 0
    assert len(successes) == other["successes"] == count["successes"]
    assert all(one.success for one in kept + successes)
    assert len(kept) == count["successes"] + count["relabelled"] > len(successes)
    assert set(successes) <= set(kept)


def test_random_actions_by_their_share():
    def own(states, _):
        return [5] * len(states)

    states = [None] * 2000
    for epsilon in (0.0, 0.3, 1.0):
        generators = [Streams(0).numpy("act", n) for n in range(2000)]
        found = mixed(own, epsilon, len(ACTIONS))(states, generators)
        share = np.mean([action != 5 for action in found])
        assert share == pytest.approx(epsilon * 6 / 7, abs=0.04)


def test_the_rate_of_success_is_that_of_the_episodes(data, tmp_path):
    ctx = context(data, tmp_path / "a")
    learn(ctx, batches=BATCHES(episodes=20), **SETTINGS | {"steps": 30})
    test = context(data, tmp_path / "b", inputs={"finetune": [ctx.out]})
    settings = {"level": LEVEL, "policy": POLICY, "encoding": Words()}
    found = success(test, episodes=40, **settings)["success_rate"]
    model = load(POLICY, ctx.out / "model", data)
    act = greedy(POLICY, model, Words().open(data, Streams(3)))
    played = [one for one, _ in zip(roll_out(LEVEL, Streams(3).fork("test"), act), range(40),
                                    strict=False)]
    assert found == np.mean([one.success for one in played])
    with pytest.raises(UserError, match="episodes = 0"):
        success(test, episodes=0, **settings)


def test_mistakes_are_named(data, tmp_path):
    ctx = context(data, tmp_path)
    with pytest.raises(UserError, match="goes without an expert"):
        learn(ctx, batches=BATCHES(episodes=3), gathering=EXPLORING, **SETTINGS)
    with pytest.raises(UserError, match="steps = -1"):
        learn(ctx, batches=BATCHES(episodes=3), **SETTINGS | {"steps": -1})
    with pytest.raises(UserError, match="epsilons"):
        Exploration(epsilons=(), steps=5, relabel=None)
    with pytest.raises(UserError, match="no step to learn from"):
        BATCHES(episodes=0).over([], Words().open(data, Streams(0)), Streams(0))
    with pytest.raises(UserError, match="no readable policy"):
        load(POLICY, tmp_path / "nowhere", data)
    assert Episode("x", 1, "go", (), (), False).actions == ()
