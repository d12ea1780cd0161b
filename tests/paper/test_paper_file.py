import time

import pytest

from repro.errors import UserError
from repro.paper import Paper, iterate_cells


def test_a_paper_directory_becomes_an_object(toy):
    paper = Paper.find("toy", root=toy.dir.parent.parent)
    assert paper.slug == "toy" and paper.arxiv == "2401.00010"
    assert paper.dir == toy.dir and paper.root == toy.dir.parent.parent
    assert paper.profiles == ("paper", "mini", "smoke")
    assert list(paper.arms)[:2] == ["scratch", "plain"]
    assert paper.stages_of("scratch") == ("data", "finetune", "eval")
    assert paper.claims[0].method.arm == "better"
    assert paper.claims[2].levels[1].level == 2.0
    assert paper.resources_of("mini", "pretrain").pack == 2
    assert paper.resources_of("smoke", "pretrain").minutes == 5
    assert [f.name for f in paper.gin_files("smoke")] == ["mini.gin", "smoke.gin"]
    assert [p.slug for p in Paper.all(paper.root)] == ["toy"]
    assert Paper.find(toy.dir).slug == "toy"


def test_smoke_has_the_arms_of_mini_and_paper_has_all(toy):
    paper = Paper.load(toy.dir)
    assert "huge" not in paper.arms_of("mini")
    assert paper.arms_of("smoke") == paper.arms_of("mini")
    assert list(paper.arms_of("paper")) == list(paper.arms)


def test_upstream_names_the_arm_that_provides_each_input(toy):
    paper = Paper.load(toy.dir)
    assert paper.upstream("plain", "data") == {}
    assert paper.upstream("plain", "finetune") == {"data": "plain", "pretrain": "plain"}
    assert paper.upstream("plain", "eval") == {"data": "plain", "finetune": "plain"}
    assert paper.upstream("scratch", "finetune") == {"data": "scratch"}
    assert paper.upstream("committee", "eval") == {"data": "small", "finetune": "small"}


def test_cells_come_in_topological_order(toy):
    cells = list(iterate_cells(Paper.load(toy.dir), "mini"))
    stages = [stage for stage, _ in cells]
    assert stages == sorted(stages, key=["data", "pretrain", "finetune", "eval"].index)
    assert ("pretrain", "scratch") not in cells and ("eval", "committee") in cells


MISTAKES = [
    ("method: better\n    gate", "method: beter\n    gate",
     "claims[0].method: unknown arm 'beter' (did you mean 'better'?)", "method: beter"),
    ("metric: macro_f1\n    tasks: [shape]", "metric: macrof1\n    tasks: [shape]",
     "claims[1].metric: unknown metric 'macrof1' (did you mean 'macro_f1'?)", "metric: macrof1\n"),
    ("tasks: [shape]", "tasks: [shapes]",
     "claims[1].tasks[0]: unknown task 'shapes' (did you mean 'shape'?)", "tasks: [shapes]"),
    ("tasks: [shape]", "tasks: {minni: [shape]}",
     "claims[1].tasks.minni: unknown profile 'minni' (did you mean 'mini'?)", "minni"),
    ("stages: [eval]", "stages: [evall]",
     "arms.committee.stages[0]: unknown stage 'evall' (did you mean 'eval'?)", "evall"),
    ("inputs: {finetune: small}", "inputs: {finetune: smal}",
     "arms.committee.inputs.finetune: unknown arm 'smal' (did you mean 'small'?)", "smal}"),
    ("inputs: {finetune: small}", "inputs: {pretrain: scratch}",
     "arms.committee.inputs.pretrain: arm 'scratch' does not run 'pretrain'", "scratch}"),
    ("stages: [eval]", "stages: [finetune, eval]",
     "arms.committee.inputs.finetune: the arm runs 'finetune' itself", "committee:"),
    ("profiles: [paper]", "profiles: [papr]",
     "arms.huge.profiles[0]: unknown profile 'papr' (did you mean 'paper'?)", "papr"),
    ("gate: pretraining\n", "gate: pretrain\n",
     "claims[0].gate: unknown gate 'pretrain' (did you mean 'pretraining'?)", "gate: pretrain\n"),
    ("margin: 0.05\n", "margin: 0\n", "claims[1].margin: must be greater than 0, not 0",
     "margin: 0\n"),
    ("    margin: 0.05\n", "", "claims[1].margin: is missing", "id: same_shape"),
    ("    direction: greater\n    baseline", "    baseline",
     "claims[0].direction: is missing", "id: better_wins"),
    ("direction: greater\n    baseline", "direction: geater\n    baseline",
     "claims[0].direction: must be 'greater' or 'less', not 'geater' (did you mean 'greater'?)",
     "geater"),
    ("statistic: slope", "statistic: spearman",
     "claims[2].levels: a trend by spearman needs 3 levels or more", "levels:"),
    ("[plain, 2]]", "[plain, 1]]", "claims[2].levels: two arms have the same level", "levels:"),
    ("id: width_helps", "id: better_wins", "claims[2].id: claim 'better_wins' is there twice",
     "id: better_wins\n    text: The wider"),
    ("kind: trend", "kind: trend\n    requires: [at_scale]",
     "claims[2].requires[0]: unknown earlier claim 'at_scale'", "requires:"),
    ("    baseline: plain\n    method: better\n    paper", "    baseline: plain\n    paper",
     "claims[1].method: is missing: equivalence claims compare two arms", "id: same_shape"),
    ("role: method, about: the new", "roel: method, about: the new",
     "arms.better.roel: unknown key 'roel' (did you mean 'role'?)", "roel"),
    ("venue: ToyConf\n", "", "venue: is missing", "slug: toy"),
    ('arxiv: "2401.00010"', "arxiv: 2401.00010",
     'arxiv: must be text: write "2401.0001" in quotes', "arxiv:"),
    ("slug: toy\n", "slug: toi\n", "slug: 'toi' is not the directory's name", "slug:"),
    ("mini: [vaderSentiment]", "mini: [vaderSentimnt]",
     "data.mini[0]: unknown asset 'vaderSentimnt' (did you mean 'vaderSentiment'?)", "Sentimnt"),
    (", revision: b04c8d1", "",
     "data.paper[0].revision: is missing: hub data needs revision and licence", "hub:"),
    ("better.pretrain.optimizer.lr", "beter.pretrain.optimizer.lr",
     "stated.beter.pretrain.optimizer.lr: unknown arm 'beter' (did you mean 'better'?)", "beter."),
    ("better.pretrain.optimizer.lr", "better.pretain.optimizer.lr",
     "stated.better.pretain.optimizer.lr: unknown stage 'pretain'", "pretain"),
    ("    finetune: {minutes: 10}\n", "",
     "resources.paper.finetune: is missing", "paper: &stages"),
    ("pack: 2}", "packs: 2}", "resources.paper.pretrain.packs: unknown key 'packs'", "packs"),
    ("mini: *stages", "minni: *stages",
     "resources.minni: unknown profile 'minni' (did you mean 'mini'?)", "minni: *stages"),
    ("year: 2024\n", "year: 2024\ncosts: {beter: {flops: 1, source: Table 1}}\n",
     "costs.beter: unknown arm 'beter' (did you mean 'better'?)", "costs:"),
    ("year: 2024\n", "year: 2024\ncosts: {better: {hours: 96, source: Table 1}}\n",
     "costs.better.device: is missing: hours and device go together", "costs:"),
    ("year: 2024\n", "year: 2024\ncosts: {better: {source: Table 1}}\n",
     "costs.better: must say flops, or hours and device", "costs:"),
    ("year: 2024", "year: soon", "year: must be a valid integer", "year:"),
]


@pytest.mark.parametrize("old, new, message, where", MISTAKES, ids=[m[2][:40] for m in MISTAKES])
def test_a_mistake_is_named_with_its_line(toy, old, new, message, where):
    text = (toy.dir / "paper.yaml").read_text()
    assert old in text
    text = text.replace(old, new, 1)
    (toy.dir / "paper.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        Paper.load(toy.dir)
    line = text[: text.index(where)].count("\n") + 1
    assert str(error.value).startswith(f"papers/toy/paper.yaml:{line}: {message}")
    assert "\n" not in str(error.value)


def test_a_wrong_level_is_named_inside_its_list(toy):
    text = (toy.dir / "paper.yaml").read_text().replace("[[small, 1], [plain, 2]]",
                                                        "[[small, 1], [plian, 2]]")
    (toy.dir / "paper.yaml").write_text(text)
    with pytest.raises(UserError, match=r"claims\[2\]\.levels\[1\].*'plian' .*'plain'"):
        Paper.load(toy.dir)


def test_broken_yaml_and_missing_files_are_named(toy):
    (toy.dir / "paper.yaml").write_text("slug: toy\ntitle: [unclosed\n")
    with pytest.raises(UserError, match=r"^papers/toy/paper.yaml:\d+: "):
        Paper.load(toy.dir)
    (toy.dir / "paper.yaml").unlink()
    with pytest.raises(UserError, match="^papers/toy/paper.yaml: cannot be read"):
        Paper.load(toy.dir)


def test_unknown_names_at_the_prompt_get_the_nearest(toy):
    paper = Paper.load(toy.dir)
    with pytest.raises(UserError, match=r"unknown paper 'tooy' \(did you mean 'toy'\?\)"):
        Paper.find("tooy", root=paper.root)
    with pytest.raises(UserError, match=r"unknown arm 'plian' \(did you mean 'plain'\?\)"):
        paper.arm("plian")
    with pytest.raises(UserError, match="'huge' is not part of profile 'mini'"):
        paper.arm("huge", "mini")
    with pytest.raises(UserError, match=r"unknown stage 'evl' \(did you mean 'eval'\?\)"):
        paper.check_stage("plain", "evl")
    with pytest.raises(UserError, match="'scratch' has no stage 'pretrain'"):
        paper.check_stage("scratch", "pretrain")
    with pytest.raises(UserError, match=r"unknown profile 'mni' \(did you mean 'mini'\?\)"):
        paper.check_profile("mni")


def test_reading_a_paper_is_quick(toy):
    start = time.process_time()
    Paper.load(toy.dir)
    assert time.process_time() - start < 0.5
