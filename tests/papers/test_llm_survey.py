"""The ladder's design, the instruction mixtures, and the paper's verdicts on runs of known laws."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from papers.llm_survey import method
from repro.config import resolved
from repro.config.build import build
from repro.data.wordnet import Synset
from repro.errors import UserError
from repro.metric_names import METRICS
from repro.paper import Paper
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams
from repro.verdict import fitting
from repro.verdict.judge import judge
from repro.verdict.laws.additive import AdditiveLaw
from repro.verdict.laws.allocation import budgets

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "papers/llm_survey"
PAPER = Paper.load(FOLDER)
SIZES = ("s1", "s2", "s3", "s4", "s5")
LENGTHS = {"s1": 5, "s2": 5, "s3": 5, "s4": 4, "s5": 4}
PROFILES = {"mini": 512, "paper": 32000}


def arms(profile):
    return resolved.load(FOLDER / "resolved" / profile)["arms"]


@lru_cache(maxsize=2)
def grid(profile):
    """Return (N, D) of every run of the ladder, as its settings build it."""
    found = {}
    for size in SIZES:
        config = arms(profile)[size]["pretrain"]["config"]
        vocab = VocabInfo(PROFILES[profile], 0, 1, 2, 3, 4, (0, 1, 2, 3, 4))
        with torch.device("meta"):
            model = build(config["objective"], ROOT)().build(vocab, Streams(0))
        inside = sum(p.numel() for name, p in model.named_parameters()
                     if "embed" not in name and "lm_head" not in name)
        tokens = build(config["batches"], ROOT)().tokens * config["accumulation"]
        for rung in range(config["halvings"] + 1):
            steps = config["steps"] >> (config["halvings"] - rung)
            found[size, f"d{rung + 1}"] = (float(inside), float(steps * tokens))
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_sizes_and_lengths_double_so_that_diagonals_have_one_compute(profile):
    runs = grid(profile)
    assert {size: sum(1 for one, _ in runs if one == size) for size in SIZES} == LENGTHS
    sizes = [runs[size, "d1"][0] for size in SIZES]
    assert np.diff(np.log2(sizes)) == pytest.approx(1, abs=0.01)
    for task in ("d1", "d2", "d3", "d4"):
        assert len({runs[size, task][1] for size in SIZES}) == 1
    n, d = np.array(list(runs.values())).T
    groups = budgets(n, d)
    assert [len(group) for group in groups] == [1, 2, 3, 4, 5, 4, 3, 1]


@pytest.mark.parametrize("profile", PROFILES)
def test_sizes_differ_in_shape_and_rate_only(profile):
    base = arms(profile)["s1"]["pretrain"]["config"]
    rates = []
    for size in SIZES:
        config = arms(profile)[size]["pretrain"]["config"]
        differing = {name for name in base if config[name] != base[name]}
        assert differing <= {"objective", "optimizer", "steps", "halvings"}
        optimizer = {**config["optimizer"]}
        rates.append(optimizer.pop("lr"))
        assert optimizer == {k: v for k, v in base["optimizer"].items() if k != "lr"}
    assert rates == sorted(rates, reverse=True) and len(set(rates)) > 2


@pytest.mark.parametrize("profile", ["mini", "smoke"])
def test_the_base_of_tuning_is_a_run_of_the_ladder(profile):
    base, largest = arms(profile)["base"], arms(profile)["s5"]
    assert base["pretrain"] == largest["pretrain"]
    assert base["data"] == arms(profile)["s1"]["data"]
    decoder = arms(profile)["sft_base"]["finetune"]["config"]["objective"]["decoder"]
    assert decoder == largest["pretrain"]["config"]["objective"]["decoder"]


@pytest.mark.parametrize("profile", PROFILES)
def test_mixtures_are_tuned_on_alike(profile):
    base = arms(profile)["sft_base"]
    for name in ("complex", "diverse", "scaled"):
        config = arms(profile)[f"sft_{name}"]["finetune"]["config"]
        ours = base["finetune"]["config"]
        differing = {key for key in ours if config[key] != ours[key]}
        assert differing == ({"batches", "steps"} if name == "scaled" else {"batches"})
        assert {**config["batches"], "corpus": "base"} == ours["batches"]
        assert arms(profile)[f"sft_{name}"]["eval"] == base["eval"]
    scaled = arms(profile)["sft_scaled"]["finetune"]["config"]["steps"]
    assert scaled == 2 * base["finetune"]["config"]["steps"]


def test_fixed_arms_measure_the_same_lengths_by_the_other_protocol():
    found = arms("mini")
    for size in SIZES:
        tasks = found[f"{size}_fixed"]["eval"]["config"]["tasks"]
        own = found[size]["eval"]["config"]["tasks"]
        assert set(tasks) == {f"d{i + 1}" for i in range(LENGTHS[size])} <= set(own)
        for task in tasks:
            assert tasks[task] == {**own[task], "protocol": "fixed"}


WORDS = [f"{a}{b}{c}" for a in "bdfgkl" for b in "aeiou" for c in ("lla", "rn", "st", "mp")]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """The intervals over runs are tested with the laws; here they would take a minute."""
    monkeypatch.setattr(fitting, "DRAWS", 4)


@pytest.fixture
def words(monkeypatch):
    synsets = tuple(Synset(f"n{i}", "noun.animal" if i % 2 else "noun.plant", (word,), (), "", ())
                    for i, word in enumerate(WORDS))
    monkeypatch.setattr(method.wordnet, "synsets", lambda version: synsets)
    method._nouns.cache_clear()
    yield
    method._nouns.cache_clear()


def test_mixtures_are_of_one_size_and_differ_in_what_they_are_called(words):
    found = list(method.instructions(examples=60, scaled=120))
    texts = {name: [d.text for d in found if d.label == name]
             for name in ("base", "complex", "diverse", "scaled")}
    assert {name: len(some) for name, some in texts.items()} == {
        "base": 60, "complex": 60, "diverse": 60, "scaled": 120}
    assert all(", then say" in text for text in texts["complex"])
    assert not any(", then say" in text for name in ("base", "diverse", "scaled")
                   for text in texts[name])

    def kinds(name):
        return {re.match(r"class|repeat|say|swap|reverse|(first|last|ends|second|all)", text)[0]
                for text in texts[name]}

    assert kinds("base") == kinds("scaled") == {"class", "repeat", "first"}
    assert kinds("diverse") == kinds("base") | {"say", "swap", "reverse", "last", "ends"}
    assert found == list(method.instructions(examples=60, scaled=120))


def test_tests_ask_about_words_that_training_never_names(words):
    trained = {word for d in method.instructions(examples=200, scaled=400)
               for word in d.text.split()}
    for which in ("seen", "unseen", "two_step"):
        for asked, answer in method.held_out_items(which, 60, 5, "3.0.0"):
            named = set(WORDS) & set(asked.split())
            assert named and not named & trained and asked.endswith(" =>") and answer
    asked = {asked.split()[0] for asked, _ in method.held_out_items("unseen", 60, 5, "3.0.0")}
    assert asked == {"second", "all"}


def test_answers_by_hand(words, monkeypatch):
    draw = method.Draw("0", "train", "3.0.0")
    monkeypatch.setattr(draw, "words", lambda count: ["red", "green", "blue"][:count])
    monkeypatch.setattr(draw, "noun", lambda: ("oak", "plant"))
    found = {name: make(draw) for name, make in method.TYPES.items()}
    assert found == {
        "repeat": ("repeat red", "red"), "first": ("first of red green blue", "red"),
        "class": ("class of oak", "plant"), "twice": ("say red twice", "red red"),
        "last": ("last of red green blue", "blue"), "swap": ("swap red green", "green red"),
        "reverse": ("reverse red green blue", "blue green red"),
        "ends": ("ends of red green blue", "red blue"),
        "second": ("second of red green blue", "green"),
        "rest": ("all but the first of red green blue", "green blue")}


def test_released_files_are_read_in_alpacas_frame(tmp_path):
    (tmp_path / "base.json").write_text(
        '[{"instruction": "Add", "input": "1 2", "output": "3"}, '
        '{"instruction": "Hi", "input": "", "output": "Hello"}]')
    one, two = method.released(folder=str(tmp_path), name="base")
    assert one.text == "### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:\n3"
    assert two.text == "### Instruction:\nHi\n\n### Response:\nHello"
    with pytest.raises(UserError, match="complex.json: missing"):
        list(method.released(folder=str(tmp_path), name="complex"))


def rows(law, *, fixed=0.1, seeds=5):
    """Rows of every arm as the law has them, with a little noise; on the way of a long schedule the
    loss is higher by `fixed` at the first length and not at all at the last."""
    found, runs = [], grid("mini")
    longest = {size: max(task for one, task in runs if one == size) for size in SIZES}

    def add(arm, seed, task, **values):
        for metric, value in values.items():
            found.append({"arm": arm, "seed": seed, "task": task, "metric": metric,
                          "value": float(value), **METRICS[metric]._asdict()})

    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        for (size, task), (n, d) in runs.items():
            loss = law.predict(n, d) * np.exp(draw.normal(scale=1e-3))
            shape = {"parameters": n * 1.3, "non_embedding_parameters": n, "training_tokens": d}
            add(size, seed, task, nll=loss, **shape)
            ahead = 0.0 if task == longest[size] else fixed / int(task[1])
            add(f"{size}_fixed", seed, task, nll=loss + ahead, **shape)
            if task == "d4":
                step = SIZES.index(size)
                for ability in ("copying", "recall", "addition", "facts"):
                    add(size, seed, ability, nll=5 - step, exact_match=[0, 0, 0, 0.9, 1][step],
                        **shape)
                bits = {8: 0.001, 4: 0.2, 3: 0.5, 2: 2.0} if size == "s5" else {4: 0.4 - step / 20}
                for bit, worse in bits.items():
                    arm = f"ptq{bit}" + ("" if size == "s5" else f"_{size}")
                    if arm in PAPER.arms:
                        add(arm, seed, "d4", nll=loss + worse + draw.normal(scale=1e-4))
        for place, arm in enumerate(("base", "sft_base", "sft_scaled", "sft_diverse",
                                     "sft_complex")):
            for task in ("seen", "unseen", "two_step"):
                add(arm, seed, task, exact_match=0.1 * place + 0.01 * draw.normal(), nll=1.0)
    return found


def verdicts(law, **settings):
    report = judge(PAPER, "mini", rows(law, **settings))
    return {claim["id"]: claim["verdict"] for claim in report["claims"]}, report


def test_the_verdicts_on_runs_of_a_balanced_law():
    found, report = verdicts(AdditiveLaw(1.0, 60.0, 0.35, 120.0, 0.35))
    claims = {claim["id"]: claim for claim in report["claims"]}
    for name in ("loss_falls_with_size", "loss_falls_with_data", "loss_falls_with_compute",
                 "law_predicts_larger_runs", "size_term", "token_term",
                 "size_and_data_grow_equally", "abilities_appear", "abilities_grow",
                 "jump_is_in_the_metric", "fixed_schedule_looks_worse", "diversity_helps",
                 "four_bits_hurt_more", "int8_is_nearly_lossless", "small_models_suffer_more",
                 "fewer_bits_hurt_more"):
        assert found[name] == "reproduced", (name, claims[name])
    (part,) = claims["size_term"]["parts"]
    assert part["method"]["mean"] == pytest.approx(0.35, abs=0.05)
    assert found["difficulty_balance"] == found["reasoning_emerges"] == "untestable"


def test_a_law_that_favours_size_contradicts_equal_growth():
    found, _ = verdicts(AdditiveLaw(1.0, 3.2, 0.15, 4000.0, 0.6))
    assert found["size_and_data_grow_equally"] in ("contradicted", "untestable")
    assert found["loss_falls_with_size"] == "reproduced"


def test_without_a_difference_between_the_protocols_the_bias_is_not_claimed():
    found, _ = verdicts(AdditiveLaw(1.0, 60.0, 0.35, 120.0, 0.35), fixed=0.0)
    assert found["fixed_schedule_looks_worse"] == "inconclusive"
    assert found["fixed_schedule_favours_size"] == "untestable"
