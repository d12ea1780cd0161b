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
