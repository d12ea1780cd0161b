import copy

import pytest

from repro import yaml
from repro.errors import UserError
from repro.paper import Paper
from repro.verdict import stated

TREE = {"arms": {arm: {"pretrain": {"config": {"batch_size": 64, "optimizer": {"lr": 5e-4}}}}
                 for arm in ("plain", "better", "small", "huge")}}


def test_a_deviation_explains_a_difference(toy):
    paper = Paper.load(toy.dir)
    rows = stated.settings(paper, TREE, "paper")
    assert [(r.arm, r.paper, r.ours, r.differs) for r in rows if "batch" in r.key] == [
        (arm, 128, 64, True) for arm in ("plain", "better", "small", "huge")]
    assert stated.unexplained(paper, TREE) == []


def test_an_unexplained_a_stale_and_an_untrue_entry_are_named(toy):
    paper = Paper.load(toy.dir)
    tree = copy.deepcopy(TREE)
    tree["arms"]["better"]["pretrain"]["config"]["optimizer"]["lr"] = 1e-3
    tree["arms"]["plain"]["pretrain"]["config"]["batch_size"] = 128
    tree["arms"]["small"]["pretrain"]["config"]["batch_size"] = 32
    lines = stated.unexplained(paper, tree)
    assert len(lines) == 3
    assert any("better" in line and "0.0005" in line and "needs an entry" in line for line in lines)
    assert any(line.startswith("plain") and "stale" in line for line in lines)
    assert any(line.startswith("small") and "64, resolved is 32" in line for line in lines)


def test_a_path_that_leads_nowhere_is_an_error(toy):
    content = yaml.load(toy.dir / "paper.yaml")
    content["stated"]["*.pretrain.bach_size"] = {"value": 1, "source": "nowhere"}
    yaml.dump(content, toy.dir / "paper.yaml")
    with pytest.raises(UserError, match=r"stated\.\*\.pretrain\.bach_size: no arm has this"):
        stated.settings(Paper.load(toy.dir), TREE, "paper")


def test_settings_compare_by_value():
    assert stated.same(1, 1.0) and stated.same([0.9, 0.999], (0.9, 0.999))
    assert not stated.same(True, 1) and not stated.same([1], [1, 2])


def with_cards(toy, **blocks):
    content = yaml.load(toy.dir / "paper.yaml")
    for name, block in blocks.items():
        content[name] = block
    yaml.dump(content, toy.dir / "paper.yaml")
    return Paper.load(toy.dir)


def test_a_core_setting_that_nobody_speaks_of_is_named_with_its_arms(toy):
    paper = with_cards(toy, stated={"*.pretrain.batch_size": {"value": 128, "source": "Table 6"}})
    arms = "better, huge, plain, small"
    assert sorted(stated.silent(paper, TREE)[0].split(":")[0].split(", ")) == arms.split(", ")
    assert "pretrain.optimizer.lr: needs an entry under `stated`" in stated.silent(paper, TREE)[0]
    assert len(stated.silent(paper, TREE)) == 1


def test_unstated_breaks_the_silence_and_must_speak_of_something(toy):
    both = {"*.pretrain.batch_size": "not given", "*.pretrain.optimizer.lr": "as in BERT"}
    paper = with_cards(toy, stated={}, unstated=both)
    assert stated.silent(paper, TREE) == []
    paper = with_cards(toy, unstated=both | {"*.pretrain.optimizer.rate": "misspelt"})
    assert stated.silent(paper, TREE) == [
        "unstated.*.pretrain.optimizer.rate: no arm has this core setting"]


def test_settings_that_are_off_or_replaced_need_no_entry(toy):
    paper = with_cards(toy, stated={}, deviations=[])
    optimizer = {"lr": None, "layer_decay": 1.0}
    schedule = {"warmup_steps": 10, "warmup_fraction": 0.1}
    tree = {"arms": {"plain": {"pretrain": {"config": {
        "optimizer": optimizer, "schedule": schedule, "dropout": 0.1,
        "models": [{"hidden": 64}]}}}}}
    lines = stated.silent(paper, tree)
    assert [line.split(": ")[1] for line in lines] == [
        "pretrain.schedule.warmup_steps", "pretrain.models.0.hidden"]


def test_an_arms_own_key_wins_over_the_common_one(toy):
    paper = with_cards(toy, stated={
        "*.pretrain.batch_size": {"value": 64, "source": "Table 6"},
        "small.pretrain.batch_size": {"value": 32, "source": "Table 7"},
        "*.pretrain.optimizer.lr": {"value": 5e-4, "source": "Table 6"}}, deviations=[])
    tree = copy.deepcopy(TREE)
    tree["arms"]["small"]["pretrain"]["config"]["batch_size"] = 32
    assert stated.unexplained(paper, tree) == []
    assert stated.values_of(paper, tree, "paper", "*.pretrain.batch_size") == [64, 64, 64]
    assert stated.values_of(paper, tree, "paper", "small.pretrain.batch_size") == [32]


def test_a_key_is_stated_or_unstated_and_of_an_arm_that_runs_the_stage(toy):
    with pytest.raises(UserError, match="stands under `stated`, too"):
        with_cards(toy, unstated={"*.pretrain.batch_size": "not given"})
    with pytest.raises(UserError, match="arm 'committee' does not run 'pretrain' itself"):
        with_cards(toy, unstated={"committee.pretrain.optimizer.lr": "not given"})


def test_an_evaluation_that_repeats_what_was_trained_needs_no_entry(toy):
    paper = with_cards(toy, stated={"*.pretrain.batch_size": {"value": 64, "source": "Table 6"},
                                    "*.pretrain.optimizer.lr": {"value": 5e-4, "source": "6"}})
    tree = copy.deepcopy(TREE)
    for stages in tree["arms"].values():
        stages["eval"] = {"config": {"tasks": {"size": {"optimizer": {"lr": 5e-4}}}}}
    assert stated.silent(paper, tree) == []
    tree["arms"]["plain"]["eval"]["config"]["tasks"]["size"]["optimizer"]["lr"] = 1e-3
    assert stated.silent(paper, tree)[0].startswith("plain: eval.tasks.size.optimizer.lr: needs")
