import json

import pytest

from repro.config.resolve import resolve
from repro.config.resolved import SHARED, load
from repro.errors import UserError


def config(project, profile="paper", overrides=None, arms=("bert", "electra")):
    found = resolve(project.paper(*arms), profile, overrides=overrides)
    return {arm: {stage: section["config"] for stage, section in stages.items()}
            for arm, stages in found.tree["arms"].items()}


def test_a_section_holds_what_is_reachable_with_defaults(project):
    project.gin(project.both + "generator/encoders.electra.hidden = 32\n")
    tree = config(project)
    assert tree["bert"]["finetune"] == {
        "_fn": "repro.evaluate.finetuning.finetune",
        "epochs": 3,
        "optimizer": {"_ref": "repro.train.optimizers.sgd", "lr": 0.1},
    }
    electra = {"_ref": "repro.nn.encoders.electra", "hidden": 64, "layers": 2, "inner": None}
    assert tree["electra"]["pretrain"] == {
        "_fn": "repro.train.pretraining.pretrain",
        "steps": 100,
        "objective": {
            "_fn": "papers.demo.method.Detection",
            "encoder": electra,
            "probability": 0.15,
            "generator": electra | {"hidden": 32},
            "weight": 50.0,
        },
        "optimizer": {"_ref": "repro.train.optimizers.adamw", "lr": 0.001, "betas": [0.9, 0.999],
                      "decay": 0.01},
        "clip": 1.0,
        "precision": "fp32",
        "sizes": [1, 2],
        "names": [],
        "weights": {},
        "packed": True,
        "corpus": "leads",
    }


def test_the_written_file_loads_as_the_tree_and_comments_do_not_change_it(project, tmp_path):
    project.gin(project.both)
    first = resolve(project.paper("bert", "electra"), "paper", numerics="portable")
    first.write(tmp_path / "a")
    assert load(tmp_path / "a") == first.tree
    assert list(first.tree) == [*SHARED, "arms"]
    project.gin("# a comment\n\n" + project.both)
    assert resolve(project.paper("bert", "electra"), "paper").tree == first.tree
    assert "papers/demo" not in json.dumps(first.tree)
    versions = first.tree["versions"]
    assert list(versions) == ["python", "torch", "transformers", "tokenizers", "numpy",
                                  "scikit-learn", "scipy", "seqeval"]
    assert versions["python"].count(".") == 1 and not any("+" in v for v in versions.values())


def test_an_int_for_a_float_is_the_same_setting_as_the_float(project):
    project.gin(project.both.replace("lr = 1e-3", "lr = 1"))
    lr = config(project)["bert"]["pretrain"]["optimizer"]["lr"]
    assert lr == 1.0 and isinstance(lr, float)


def test_a_re_exported_name_is_the_same_configurable(project):
    head = project.head.replace("from repro.nn import encoders", "from repro import nn")
    project.gin(project.both.replace("encoders.electra", "nn.electra"), head=head)
    node = config(project)["bert"]["pretrain"]["objective"]["encoder"]
    assert node["_ref"] == "repro.nn.encoders.electra"


def test_blocks_and_aliases_and_whole_paths_are_understood(project):
    project.gin(
        "import repro.evaluate.finetuning as ft\nimport repro.train.optimizers\n" + project.both
        + "ft.finetune:\n  epochs = 7\n  optimizer = @repro.train.optimizers.sgd\n"
    )
    section = config(project)["bert"]["finetune"]
    assert section["epochs"] == 7 and section["optimizer"]["_ref"].endswith("sgd")


def test_the_stronger_scope_wins_whatever_the_order(project):
    """'' < S < A < A/S < R < S/R < A/R < A/S/R: each holds where no stronger one does."""
    project.write({"papers/demo/method.py": (
        "from collections.abc import Callable\n"
        "def run(ctx, *, plain: Callable, scoped: Callable): ...\n"
        "def leaf(x, *, n: int = 0): ...\n")})
    scopes = ["", "s", "b", "b/s", "r", "s/r", "b/r", "b/s/r"]
    for order in (scopes, scopes[::-1]):
        lines = [f"{scope}/method.leaf.n = {scopes.index(scope)}\n".lstrip("/") for scope in order]
        project.gin("method.run.plain = @method.leaf\nmethod.run.scoped = @r/method.leaf\n"
                    + "".join(lines))
        paper = project.paper("a", "b")
        paper.stages = {"t": "papers.demo.method.run", "s": "papers.demo.method.run"}
        arms = resolve(paper, "paper").tree["arms"]
        got = [arms[arm][stage]["config"][setting]["n"]
               for setting in ("plain", "scoped") for arm in "ab" for stage in "ts"]
        assert got == list(range(8))


def test_a_stronger_scope_of_an_earlier_file_wins_over_a_later_file(project):
    project.gin(project.both + "electra/pretraining.pretrain.clip = 5.0\n")
    project.mini("pretraining.pretrain.clip = 2.0\nSTEPS = 7\n")
    tree = config(project, "mini")
    assert tree["electra"]["pretrain"]["clip"] == 5.0
    assert tree["bert"]["pretrain"]["clip"] == 2.0
    assert tree["bert"]["pretrain"]["steps"] == 7


def test_a_reference_scope_holds_below_until_replaced(project):
    project.write({"papers/demo/method.py": (
        "class Objective:\n"
        "    def __init__(self, *, a: object, n: int = 0) -> None: ...\n"
        "class Leaf:\n    def __init__(self, *, n: int = 0) -> None: ...\n")})
    project.gin(
        "pretraining.pretrain.steps = 1\npretraining.pretrain.optimizer = @optimizers.sgd\n"
        "pretraining.pretrain.objective = @outer/method.Objective()\n"
        "method.Objective.a = [@method.Leaf(), @inner/method.Leaf()]\n"
        "outer/method.Leaf.n = 1\ninner/method.Leaf.n = 2\n"
    )
    leaves = config(project, arms=("x",))["x"]["pretrain"]["objective"]["a"]
    assert [leaf["n"] for leaf in leaves] == [1, 2]


def test_overrides_come_last_within_their_scope(project):
    project.gin(project.both)
    project.mini("bert/pretraining.pretrain.clip = 3.0\n")
    tree = config(project, "mini", ["pretraining.pretrain.steps = 9",
                                    "bert/pretraining.pretrain.clip = 4.0",
                                    "repro.nn.encoders.electra.hidden = 8"])
    assert tree["bert"]["pretrain"]["steps"] == tree["electra"]["pretrain"]["steps"] == 9
    assert tree["bert"]["pretrain"]["clip"] == 4.0
    assert tree["bert"]["pretrain"]["objective"]["encoder"]["hidden"] == 8


def test_suite_wide_bindings_win_over_every_scope_and_may_stay_unreached(project):
    project.gin(project.both + "electra/pretrain/pretraining.pretrain.clip = 5.0\n")
    project.mini("bert/pretraining.pretrain.steps = 50\n")
    project.gin("pretraining.pretrain.steps = 2\npretraining.pretrain.clip = 0.5\n"
                "optimizers.adamw.lr = 1.0\nmethod.Nested.inner = None\n", "papers/smoke.gin")
    tree = config(project, "smoke", ["pretraining.pretrain.corpus = 'brown'",
                                     "pretraining.pretrain.steps = 77"])
    for arm in ("bert", "electra"):
        assert tree[arm]["pretrain"]["steps"] == 2
        assert tree[arm]["pretrain"]["clip"] == 0.5
        assert tree[arm]["pretrain"]["corpus"] == "brown"


def test_suite_wide_bindings_take_no_scope(project):
    project.gin(project.both)
    project.mini("STEPS = 2\n")
    project.gin("bert/pretraining.pretrain.steps = 2\n", "papers/smoke.gin")
    with pytest.raises(UserError, match=r"^papers/smoke.gin:7: scope 'bert': suite-wide"):
        config(project, "smoke")


def test_what_a_later_file_replaces_is_not_dead_in_the_earlier_one(project):
    project.gin(project.both + "optimizers.adamw.decay = 0.1\n")
    project.mini("pretraining.pretrain.optimizer = @optimizers.sgd\noptimizers.sgd.lr = 0.5\n")
    tree = config(project, "mini")
    assert tree["bert"]["pretrain"]["optimizer"] == {"_ref": "repro.train.optimizers.sgd",
                                                      "lr": 0.5}


def test_arms_that_a_profile_leaves_out_are_neither_resolved_nor_dead(project):
    project.gin(project.both)
    project.mini("STEPS = 2\n")
    paper = project.paper("bert", electra=project.arm(profiles=("paper",)))
    assert list(resolve(paper, "mini").tree["arms"]) == ["bert"]
    assert list(resolve(paper, "paper").tree["arms"]) == ["bert", "electra"]
    project.mini("STEPS = 2\nelectra/pretraining.pretrain.clip = 3.0\n")
    with pytest.raises(UserError, match=r"mini.gin:9: .*'electra' is not part of profile 'mini'"):
        resolve(paper, "mini")


def test_an_arm_has_only_its_own_stages(project):
    project.gin(project.body)
    paper = project.paper("bert", scratch=project.arm(stages=("finetune",)))
    assert list(resolve(paper, "paper").tree["arms"]["scratch"]) == ["finetune"]


def test_origins_name_the_line_and_what_was_overridden(project):
    project.gin(project.both)
    project.mini("optimizers.adamw.lr = 2e-3\n")
    found = resolve(project.paper("bert", "electra"), "mini")
    lr = ("bert", "pretrain", "optimizer", "lr")
    assert found.origins[lr] == project.line("adamw.lr", "papers/demo/mini.gin")
    assert [(o.value, o.place) for o in found.overridden[lr]] == [
        ("0.001", project.line("adamw.lr"))]
    decay = found.origins[("bert", "pretrain", "optimizer", "decay")]
    assert decay == "default " + project.line("def adamw", "repro/train/optimizers.py")
