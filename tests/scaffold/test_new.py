"""A new paper is green before the first edit, and says nothing in another one's name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from repro import yaml
from repro.cli import main
from repro.paper import Paper
from repro.scaffold import draft, templates

ROOT = Path(__file__).parents[2]


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A copy of the suite; it is the working directory."""
    for name in ("papers", "repro"):
        shutil.copytree(ROOT / name, tmp_path / name,
                        ignore=shutil.ignore_patterns("out", "__pycache__"))
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    return done.exit_code, done.output


def made(*arguments: str) -> dict:
    code, printed = call("new", *arguments, "--json")
    assert code == 0, printed
    return json.loads(printed)


STARTS = {
    **{f"from_{name}": ["--template", name] for name in templates()},
    "like_electra": ["--like", "electra"],
    "like_tiny_lm": ["--like", "tiny_lm"],
    "like_a_draft": ["--like", "like_electra"],
}


def test_whatever_it_starts_from_a_paper_keeps_the_contract(suite) -> None:
    for slug, start in STARTS.items():
        assert len(made(slug, *start)["edit"]) <= 5
    shutil.copytree(ROOT / "tests" / "paper", suite / "tests" / "paper")
    shutil.copy(ROOT / "pyproject.toml", suite)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k",
         " or ".join(["suites", *STARTS]), "tests/paper/test_contract.py"], cwd=suite, text=True,
        capture_output=True, env={**os.environ, "PYTHONPATH": str(suite)})
    assert done.returncode == 0, done.stdout


def test_a_copy_has_the_structure_and_none_of_the_statements(suite) -> None:
    made("deberta_v3", "--like", "electra")
    old, paper = Paper.find("electra", suite), Paper.find("deberta_v3", suite)
    assert paper.title.startswith("DeBERTaV3: Improving DeBERTa"), "the plan knows it"
    assert (paper.venue, paper.authors, paper.arxiv, paper.code) == ("TODO", ("TODO",), None, None)
    assert list(paper.arms) == list(old.arms) and paper.resources == old.resources
    assert [claim.id for claim in paper.claims] == [claim.id for claim in old.claims]
    for claim in paper.claims:
        assert claim.text.startswith("TODO (papers/electra: ")
        assert claim.paper.model_dump() == {"metric": "TODO", "source": "TODO", "baseline": None,
                                            "method": None, "levels": ()}
    assert all(entry.source.startswith("TODO") for entry in paper.stated.values())
    assert all("TODO" in text for text in paper.unstated.values())
    assert all(entry.reason.startswith("TODO (papers/electra: ") for entry in paper.deviations)
    assert {entry.paper for entry in paper.deviations if "." not in entry.key} == {"TODO"}
    assert not paper.notes and not paper.parameters
    assert not (paper.dir / "results").exists() and not (paper.dir / "dvc.lock").exists()
    for path in [*paper.dir.glob("*.gin"), *paper.dir.glob("*.py")]:
        text = path.read_text("utf-8")
        assert "papers.electra" not in text and "'papers/electra" not in text
        assert text.startswith("# TODO")


def test_a_paper_of_another_suite_keeps_its_statements_to_itself(suite) -> None:
    made("mine", "--like", str(ROOT / "papers" / "electra"))
    assert all(claim.text.startswith("TODO") for claim in Paper.find("mine", suite).claims)


def test_a_title_is_known_from_the_plan_only(suite) -> None:
    made("spdf", "--template", "text")
    made("mine", "--template", "text")
    planned = yaml.load(ROOT / "repro/report/site/planned.yaml")["spdf"]
    found = Paper.find("spdf", suite)
    assert (found.title, found.family) == (planned["title"], planned["family"])
    assert Paper.find("mine", suite).title == "TODO: title"


def test_the_suite_knows_it(suite) -> None:
    found = made("mine", "--template", "text")
    params = (suite / "params.yaml").read_text("utf-8")
    assert params == (ROOT / "params.yaml").read_text("utf-8") + "  mine:\n    overrides: []\n"
    assert "papers/mine/results/" in (suite / "dvc.yaml").read_text("utf-8")
    assert all((suite / path).is_file() for path in (*found["edit"], *found["files"]))
    assert found["todo"] == len(json.loads(call("show", "mine", "--json")[1])["todo"]) > 0
    assert json.loads(call("show", "electra", "--json")[1])["todo"] == []


REFUSED = {
    ("electra", "--like", "tiny_lm"): "papers/electra is there already",
    ("smoke", "--like", "tiny_lm"): "papers/smoke is there already",
    ("My-Paper", "--like", "tiny_lm"): "'My-Paper': a paper is named by lower-case letters",
    ("../x", "--like", "tiny_lm"): "'../x': a paper is named by",
    ("class", "--like", "tiny_lm"): "Python keyword",
    ("mine", "--like", "elektra"): "unknown paper 'elektra' (did you mean 'electra'?)",
    ("mine", "--template", "txt"): "unknown template 'txt' (did you mean 'text'?)",
    ("mine",): "either --like PAPER or --template",
    ("mine", "--like", "tiny_lm", "--template", "text"): "either --like PAPER or --template",
}


def snapshot(suite: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in suite.glob("papers/**/*") if path.is_file()} \
        | {"params": (suite / "params.yaml").read_bytes()}


def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_left(suite) -> None:
    before = snapshot(suite)
    for arguments, wanted in REFUSED.items():
        code, printed = call("new", *arguments)
        assert code == 1 and wanted in printed and len(printed.splitlines()) == 1, printed
        assert printed.startswith("error: ")
    gin = suite / "papers" / "tiny_lm" / "mini.gin"
    gin.write_text(gin.read_text("utf-8") + "pretraining.pretrain.stepz = 1\n", "utf-8")
    code, printed = call("new", "mine", "--like", "tiny_lm")
    assert code == 1 and "papers/mine/mini.gin:" in printed and "stepz" in printed
    assert snapshot(suite) == before | {str(gin): gin.read_bytes()}


def test_names_of_other_papers_are_left_alone() -> None:
    text = "from papers.bert import method\ninclude 'papers/bert/paper.gin'\n"
    other = "from papers.bert_large import method  # as papers/bertha\n"
    assert draft.renamed(text + other, "bert", "mine") == (
        "from papers.mine import method\ninclude 'papers/mine/paper.gin'\n" + other)


def test_params_keep_their_comments_and_forms() -> None:
    text = ("# Why.\nsuite:\n  seeds: [0, 1]  # two\n"
            "papers:\n  one:\n    overrides: ['a.b = 1e-3']\n")
    assert draft.with_paper(text, "two") == text + "  two:\n    overrides: []\n"
    for empty in ("", "papers:\n"):
        assert yaml.loads(draft.with_paper(empty, "two")) == {"papers": {"two": {"overrides": []}}}
