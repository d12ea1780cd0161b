"""What every paper directory must keep, checked for each one in papers/."""

import ast
import re
from pathlib import Path

import pytest

from repro import yaml
from repro.config import code, resolved
from repro.config.source import Sources
from repro.paper import Paper
from repro.report import card, dvcfile, results, todos
from repro.verdict import collect, judge, stated

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in ROOT.glob("papers/*/paper.yaml"))
each_paper = pytest.mark.parametrize("folder", FOLDERS, ids=[f.name for f in FOLDERS])
# DVC rewrites the whole lock for each stage: its time grows with the square of this.
MOST_STAGES = 45


@each_paper
def test_paper_yaml_is_valid_and_its_entry_functions_exist(folder):
    paper = Paper.load(folder)
    for entry in paper.stages.values():
        module, _, function = entry.rpartition(".")
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8"))
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert function in names, f"{entry}: no such function"


@each_paper
def test_every_file_a_paper_needs_is_there(folder):
    paper = Paper.load(folder)
    assert {"paper", "mini", "smoke"} <= set(paper.profiles)
    for profile in paper.profiles:
        assert all(path.is_file() for path in paper.gin_files(profile))
    assert paper.slug in yaml.load(ROOT / "params.yaml")["papers"]
    text = (folder / "README.md").read_text("utf-8")
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [link for link in linked if not (folder / link).is_file()] == []


@each_paper
def test_the_science_fits_on_a_screen(folder):
    long = [p.name for p in folder.glob("*.gin") if len(p.read_text("utf-8").splitlines()) > 80]
    assert long == []


@each_paper
def test_dvc_yaml_is_the_rendered_one(folder):
    paper = Paper.load(folder)
    assert (folder / "dvc.yaml").read_text("utf-8") == dvcfile.render(paper), (
        "stale: run `repro render`")
    assert dvcfile.stage_count(paper, "mini") <= MOST_STAGES


def test_the_suites_dvc_yaml_is_the_rendered_one():
    papers = [Paper.load(folder) for folder in FOLDERS]
    assert (ROOT / "dvc.yaml").read_text("utf-8") == dvcfile.render_suite(papers), (
        "stale: run `repro render`")


@each_paper
def test_the_card_is_the_rendered_one(folder):
    assert (folder / "README.md").read_text("utf-8") == card.render(Paper.load(folder)), (
        "stale: run `repro render`")


@each_paper
def test_resolved_settings_are_committed_for_every_arm_and_stage(folder):
    paper = Paper.load(folder)
    for profile in set(paper.profiles) - {"smoke"}:
        tree = resolved.load(folder / "resolved" / profile)
        assert (tree["paper"], tree["profile"]) == (paper.slug, profile)
        for arm in paper.arms_of(profile):
            assert set(tree["arms"][arm]) == set(paper.stages_of(arm)), f"{profile}: {arm}"


@each_paper
def test_what_the_paper_states_is_what_we_set_or_a_deviation(folder):
    paper = Paper.load(folder)
    assert paper.stated, "paper.yaml says none of the paper's hyper-parameters under `stated`"
    assert stated.unexplained(paper, resolved.load(folder / "resolved" / "paper")) == []


@each_paper
def test_no_core_setting_is_passed_over_in_silence(folder):
    paper = Paper.load(folder)
    assert stated.silent(paper, resolved.load(folder / "resolved" / "paper")) == []


@each_paper
def test_committed_verdicts_follow_from_the_committed_rows(folder):
    paper = Paper.load(folder)
    for path in sorted(folder.glob("results/*.verdict.json")):
        profile = path.name.split(".")[0]
        rows = collect.load(paper, profile)
        report = judge.judge(paper, profile, rows)
        assert results.load_verdict(paper, profile) == report


@each_paper
def test_dvc_sees_no_interpolation_but_its_own(folder):
    for path in (ROOT / "params.yaml", *folder.glob("resolved/*/*.json")):
        assert "${" not in path.read_text("utf-8"), path


@each_paper
def test_a_paper_with_a_verdict_has_nothing_left_to_fill_in(folder):
    judged = {path.name.partition(".")[0] for path in folder.glob("results/*.verdict.json")}
    if judged - {"smoke"}:
        assert todos.todos(Paper.load(folder)) == []


@each_paper
def test_dvc_resolves_anew_when_any_code_that_a_run_reaches_changes(folder):
    tree = resolved.load(folder / "resolved" / "mini")
    sections = [section["config"] for arm in tree["arms"].values() for section in arm.values()]
    reached = code.closure(set().union(*map(code.section_modules, sections)), Sources(ROOT))
    deps = yaml.load(folder / "dvc.yaml")["stages"]["resolve"]["deps"]
    for module in reached:
        parts = module.split(".")
        if parts[0] == "repro":
            top = parts[1] if len(parts) > 1 else "__init__"
            assert {f"../../repro/{top}", f"../../repro/{top}.py"} & set(deps), module
