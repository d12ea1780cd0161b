import pytest

from repro.errors import UserError
from repro.pipeline.spec import closure, expand, expand_all
from repro.train import products


def test_a_key_is_the_same_every_time_and_differs_by_seed(suite):
    first, second = suite.specs("pretrain")
    assert [first.key, second.key] == [spec.key for spec in suite.specs("pretrain")]
    assert first.key != second.key
    assert len(first.key) == 64


def test_equal_settings_of_two_arms_are_one_run(suite):
    assert suite.specs("eval", "plain") == suite.specs("eval", "twin")
    assert suite.specs("eval", "plain") != suite.specs("eval", "fast")


def test_data_has_no_seed_and_is_shared_by_arms(suite):
    (plain,), (fast,) = suite.specs("data"), suite.specs("data", "fast")
    assert plain.seed is None
    assert plain.key == fast.key
    assert plain.folder == ""


def test_a_setting_changes_the_keys_of_its_stage_and_of_what_follows(suite):
    stages = ("data", "pretrain", "finetune", "eval")
    before = {stage: suite.specs(stage)[0].key for stage in stages}
    suite.resolve(finetune={"tasks": ["colour", "shape"]})
    after = {stage: suite.specs(stage)[0].key for stage in stages}
    assert [before[s] == after[s] for s in stages] == [True, True, False, False]


@pytest.mark.parametrize("name", ["code", "versions", "extra", "numerics", "epoch"])
def test_every_ingredient_enters_the_key(suite, name):
    tree = {"arms": {"plain": {"data": {"code": "a", "config": {"_fn": "m.f"}}}},
            "versions": {"python": "3.11"}, "numerics": "portable", "epoch": 1}
    (before,) = expand(suite.paper, tree, "mini", "data", "plain", [0])
    match name:
        case "code":
            tree["arms"]["plain"]["data"]["code"] = "b"
        case "versions":
            tree["versions"] = {"python": "3.12"}
        case "extra":
            tree["arms"]["plain"]["data"]["versions"] = {"opacus": "1.6.0"}
        case "numerics":
            tree["numerics"] = "native"
        case "epoch":
            tree["epoch"] = 2
    (after,) = expand(suite.paper, tree, "mini", "data", "plain", [0])
    assert before.key != after.key


def test_the_definition_of_matrix_products_enters_the_keys_of_numerics_that_have_one(suite):
    tree = {"arms": {"plain": {"data": {"code": "a", "config": {"_fn": "m.f"}}}},
            "versions": {"python": "3.11"}, "epoch": 1}
    found = {}
    for numerics in ("portable", "universal"):
        (spec,) = expand(suite.paper, tree | {"numerics": numerics}, "mini", "data", "plain", [0])
        found[numerics] = spec.ingredients.get("products")
    assert found == {"portable": None, "universal": f"chains of {products.CHAIN}"}


def test_each_member_reads_its_own_upstream_and_eval_reads_all(suite):
    finetunes = suite.specs("finetune", "small")
    assert [spec.folder for spec in finetunes] == [
        "seed0-m0", "seed0-m1", "seed0-m2", "seed1-m0", "seed1-m1", "seed1-m2"]
    assert [spec.inputs["pretrain"][0].member for spec in finetunes] == [0, 1, 2, 0, 1, 2]
    (committee, _) = suite.specs("eval", "committee")
    assert list(committee.inputs["finetune"]) == finetunes[:3]
    assert list(committee.inputs) == ["data", "finetune"]


def test_a_committee_equals_the_joint_evaluation_of_the_arm_it_reads(suite):
    assert suite.specs("eval", "committee") == suite.specs("eval", "small")


def test_the_closure_is_upstream_first_and_holds_each_run_once(suite):
    tree = expand_all(suite.paper, suite.tree(), "mini", [0, 1])
    runs = closure([spec for specs in tree.values() for spec in specs])
    seen = set()
    for specs in runs.values():
        assert all(one.key in seen for one in specs[0].upstream)
        seen.add(specs[0].key)
    # data; per seed pretrain and finetune of plain (= twin = small's first member), fast and two
    # more members; per seed eval of plain, fast and small (= committee).
    assert len(runs) == 1 + 2 * (4 + 4) + 2 * 3
    (data, *_) = runs.values()
    assert {spec.arm for spec in data} == {"plain", "twin", "fast", "small"}


def test_unknown_names_come_with_the_nearest(suite):
    with pytest.raises(UserError, match="unknown arm 'plein'.*did you mean 'plain'"):
        suite.specs("pretrain", "plein")
    with pytest.raises(UserError, match="unknown stage 'pretrian'.*did you mean 'pretrain'"):
        suite.specs("pretrian")
    with pytest.raises(UserError, match="arm 'committee' has no stage 'pretrain'"):
        suite.specs("pretrain", "committee")


def test_an_arm_that_was_not_resolved_yet_is_named(suite):
    tree = suite.tree()
    del tree["arms"]["fast"]
    with pytest.raises(UserError, match="no arms.fast.eval.*repro resolve toy"):
        expand(suite.paper, tree, "mini", "eval", "fast", [0])
