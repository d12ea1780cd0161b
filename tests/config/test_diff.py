import json
import subprocess

import pytest

from repro.config.diff import diff, parse_spec, render
from repro.config.resolve import resolve
from repro.errors import UserError


@pytest.fixture
def suite(project):
    """Papers demo and other, resolved for mini and paper, committed."""
    project.gin(project.both + "generator/encoders.electra.hidden = 32\n"
                "electra/pretraining.pretrain.clip = 5.0\n")
    project.mini("STEPS = 7\n")
    write(project, "paper")
    write(project, "mini")
    text = (project.root / "papers/demo/method.py").read_text()
    gin = (project.root / "papers/demo/paper.gin").read_text()
    gin = gin.replace("demo", "other").replace("electra/pre", "spdf/pre").replace("1e-3", "2e-3")
    project.write({"papers/other/method.py": text, "papers/other/mini.gin": gin,
                   "papers/other/paper.yaml": "slug: other\n"})
    paper = project.paper("bert", "spdf")
    paper.slug = "other"
    resolve(paper, "mini").write(paper.dir / "resolved" / "mini")
    git(project, "init", "-q")
    git(project, "add", "papers")
    git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    return project


def git(project, *words):
    subprocess.run(["git", "-C", str(project.root), *words], check=True)


def write(project, profile):
    paper = project.paper("bert", "electra")
    resolve(paper, profile).write(paper.dir / "resolved" / profile)


def table(suite, *specs, **options):
    return render(diff(list(specs), root=suite.root, **options)).splitlines()


def test_two_arms_show_what_the_method_changes(suite):
    assert table(suite, "demo:bert", "demo:electra") == [
        "setting                              demo:bert  demo:electra",
        "-----------------------------------  ---------  ------------",
        "pretrain.objective                   MaskedLM   Detection",
        "pretrain.objective.generator         -          electra",
        "pretrain.objective.generator.hidden  -          32",
        "pretrain.clip                        1.0        5.0",
        "3 more at the defaults of functions that not all use (--all)",
    ]


def test_profiles_of_a_paper_differ_in_one_row(suite):
    assert table(suite, "demo/mini", "demo/paper") == [
        "setting         demo/mini  demo/paper",
        "--------------  ---------  ----------",
        "pretrain.steps  7          100",
    ]


def test_a_change_in_one_arm_names_the_arm(suite):
    suite.mini("STEPS = 7\nelectra/pretraining.pretrain.steps = 9\n")
    write(suite, "mini")
    assert table(suite, "demo@HEAD", "demo")[2:] == ["pretrain.steps [electra]  7          9"]


def test_papers_with_other_arms_list_the_values_over_their_arms(suite):
    lines = table(suite, "demo", "other")
    assert lines[0].split() == ["setting", "demo", "other"]
    clip = next(i for i, line in enumerate(lines) if line.startswith("pretrain.optimizer.lr"))
    assert lines[clip].split() == ["pretrain.optimizer.lr", "0.001", "0.002"]
    assert not any(line.startswith("pretrain.objective.generator.hidden") for line in lines)


def test_values_that_hold_for_some_arms_name_them(suite):
    suite.mini("STEPS = 7\nelectra/optimizers.adamw.lr = 0.5\n")
    write(suite, "mini")
    lines = table(suite, "demo", "other")
    row = next(i for i, line in enumerate(lines) if line.startswith("pretrain.optimizer.lr"))
    assert lines[row].split() == ["pretrain.optimizer.lr", "0.001", "0.002"]
    assert lines[row + 1].strip() == "0.5: electra"


def test_all_adds_code_versions_and_numerics(suite):
    assert table(suite, "demo", "demo") == ["no difference"]
    text = (suite.root / "repro/train/optimizers.py").read_text()
    suite.write({"repro/train/optimizers.py": text + "\nX = 1\n"})
    write(suite, "mini")
    assert table(suite, "demo@HEAD", "demo") == ["no difference"]
    lines = table(suite, "demo@HEAD", "demo", everything=True)
    assert [line.split("  ")[0] for line in lines[2:]] == ["pretrain (code)", "finetune (code)"]
    assert any(line.startswith("pretrain.objective.weight")
               for line in table(suite, "demo:bert", "demo:electra", everything=True))


def test_json_holds_values_by_arm(suite):
    found = json.loads(render(diff(["demo:bert", "demo:electra", "other:bert"], root=suite.root),
                              "json"))
    assert found["columns"] == ["demo:bert", "demo:electra", "other:bert"]
    rows = {row["path"]: row["values"] for row in found["rows"]}
    assert rows["pretrain.steps"] == [{"": 7}, {"": 7}, {"": 100}]
    assert rows["pretrain.objective.weight"] == [{}, {"": 50.0}, {}]


def test_specs_are_read_as_written():
    spec = parse_spec("electra:bert@origin/main/paper", "mini")
    assert (spec.paper, spec.arm, spec.rev, spec.profile) == ("electra", "bert", "origin/main",
                                                              "paper")
    assert parse_spec("electra@HEAD~1", "mini").profile == "mini"
    assert parse_spec("electra@origin/main", "mini").rev == "origin/main"


@pytest.mark.parametrize("spec, message", [
    ("dmeo", "unknown paper 'dmeo' (did you mean 'demo'?)"),
    ("demo:bret", "demo:bret/mini: unknown arm 'bret' (did you mean 'bert'?)"),
    ("demo/mni", "demo/mni: unknown profile 'mni' (did you mean 'mini'?)"),
    ("demo/gpu", "papers/demo/resolved/gpu: no resolved settings; run `repro resolve demo`"),
    ("demo@nowhere", "demo@nowhere/mini: invalid object name 'nowhere'."),
    (":bert", "':bert': write paper[:arm][@revision][/profile]"),
])
def test_a_wrong_spec_is_one_clear_line(suite, spec, message):
    with pytest.raises(UserError) as caught:
        diff(["demo", spec], root=suite.root)
    assert str(caught.value).endswith(message) and "\n" not in str(caught.value)
