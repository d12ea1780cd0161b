"""The rendered dvc.yaml under the real DVC, with a stand-in for the `repro` command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from repro import yaml
from repro.cli import main
from repro.paper import Paper, iterate_cells
from repro.report import dvcfile

DVC = Path(sys.executable).with_name("dvc")
# Writes what each command would; a line `arm.stage = value` of paper.gin is that stage's setting.
STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
args = dict(zip(sys.argv, sys.argv[1:]))
with open(os.environ["CALLS"], "a") as calls:
    print(*sys.argv[1:], file=calls)
verb, profile, arm = sys.argv[1], args["--profile"], args.get("--arm")
def write(name, text):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
if verb == "resolve":
    arms = {{}}
    for line in open("paper.gin"):
        name, _, value = line.partition(" = ")
        if value:
            a, s = name.split(".")
            arms.setdefault(a, {{}})[s] = {{"value": int(value)}}
    for a, stages in arms.items():
        one = {{"stages": stages, "numerics": "portable", "versions": {{"python": "3.11"}},
               "epoch": 1, "seeds": [0]}}
        write(f"resolved/{{profile}}/{{a}}.json", json.dumps(one))
elif verb == "run":
    stage = sys.argv[2]
    made = [json.load(open(f"resolved/{{profile}}/{{arm}}.json"))["stages"].get(stage)]
    if stage == "eval":
        made += [f.read_text() for f in sorted(Path("out").glob("*/*/pretrain/file"))]
    write(f"out/{{profile}}/{{arm}}/{{stage}}/file", f"{{arm}} {{stage}} {{made}}")
    for name in ("MANIFEST.json", "runs.json"):
        write(f"out/{{profile}}/{{arm}}/{{stage}}/{{name}}", json.dumps(made))
elif verb == "verdict":
    write(f"results/{{profile}}.metrics.json", '{{"counts": {{"reproduced": 1}}}}')
    for name in ("rows.jsonl", "verdict.json", "curves/a.csv", "claims.csv"):
        write(f"results/{{profile}}.{{name}}", "{{}}" if "json" in name else "step,loss\\n1,2\\n")
elif verb == "board":
    for end in ("md", "json"):
        write(f"results/board.{{profile}}.{{end}}", "{{}}")
"""


@pytest.fixture
def suite(toy, tmp_path, monkeypatch):
    """A suite under git and DVC with the toy paper, cut down to three arms and two stages."""
    content = yaml.load(toy.dir / "paper.yaml")
    kept = ("pretrain", "eval")
    content["stages"] = {stage: content["stages"][stage] for stage in kept}
    content["arms"] = {name: content["arms"][name] for name in ("scratch", "plain", "committee")}
    content["arms"]["scratch"]["stages"] = ["eval"]
    content["arms"]["committee"]["inputs"] = {"pretrain": "plain"}
    content["resources"] = {"mini": {stage: {"minutes": 1} for stage in kept}}
    content |= {"claims": [], "stated": {}, "gates": {}}
    yaml.dump(content, toy.dir / "paper.yaml")
    settings = [f"{arm}.{stage} = 1\n" for arm in content["arms"] for stage in kept]
    (toy.dir / "paper.gin").write_text("".join(settings))
    return dvc_project(toy, tmp_path, monkeypatch)


def dvc_project(toy, root, monkeypatch):
    (root / "bin").mkdir()
    (root / "bin" / "repro").write_text(STAND_IN.format(python=sys.executable))
    (root / "bin" / "repro").chmod(0o755)
    (root / "papers" / "smoke.gin").touch()
    package = root / "repro"
    for name in {*dvcfile.CORE, *dvcfile.JUDGES, "report/board.py"}:
        file = package / (name if name.endswith(".py") else f"{name}/__init__.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    yaml.dump({"suite": {"profiles": ["mini"], "seeds": [0], "numerics": "portable", "epoch": 1},
               "papers": {"toy": {"overrides": []}}}, root / "params.yaml")
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(root / "calls"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(root / "site"))
    monkeypatch.chdir(root)
    subprocess.run(["git", "init", "-q"], check=True)
    dvc("init", "-q")
    paper = Paper.load(toy.dir)
    dvcfile.write(paper)
    dvcfile.write_suite(root, [paper])
    return toy


def dvc(*args):
    done = subprocess.run([DVC, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def calls():
    """The commands run since last asked."""
    path = Path(os.environ["CALLS"])
    lines = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    return lines


def run(stage, arm):
    return f"run {stage} --profile mini --arm {arm}"


def test_dvc_runs_it_once_then_only_what_a_setting_reaches_and_shows_it(suite):
    dvc("repro", "-q", "papers/toy/dvc.yaml")
    expected = ["resolve --profile mini",
                *(run(*cell) for cell in iterate_cells(Paper.load(suite.dir), "mini")),
                "verdict --profile mini --write"]
    assert sorted(calls()) == sorted(expected)
    dvc("repro", "-q", "papers/toy/dvc.yaml")
    assert calls() == []
    gin = suite.dir / "paper.gin"
    gin.write_text("# a comment\n" + gin.read_text())
    dvc("repro", "-q", "papers/toy/dvc.yaml")
    assert calls() == ["resolve --profile mini"]
    gin.write_text(gin.read_text().replace("plain.pretrain = 1", "plain.pretrain = 2"))
    dvc("repro", "-q", "dvc.yaml")
    assert calls() == ["resolve --profile mini", run("pretrain", "plain"), run("eval", "plain"),
                       run("eval", "committee"), "verdict --profile mini --write",
                       "board --profile mini"]
    assert "counts.reproduced" in dvc("metrics", "show")
    dvc("plots", "show", "--json")


def git(*args):
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *args], check=True, capture_output=True)


def test_experiments_are_run_compared_and_applied(suite):
    """As users of DVC do: a setting of the run, here and in a copy; what differs; back again."""
    dvc("repro", "-q", "papers/toy/dvc.yaml")
    git("add", "-A")
    git("commit", "-qm", "base")
    calls()
    more = ["-S", "params.yaml:suite.numerics=native", "papers/toy/dvc.yaml"]
    dvc("exp", "run", "-q", "-n", "native", *more)
    made = calls()
    assert made[0] == "resolve --profile mini" and run("eval", "plain") not in made
    deeper = ["-S", "params.yaml:suite.profiles=[mini, paper]"]
    dvc("exp", "run", "-q", "--temp", "-n", "both", *deeper, "papers/toy/dvc.yaml")
    made = calls()
    assert "resolve --profile paper" in made and run("eval", "plain") not in made
    assert "run eval --profile paper --arm plain" in made
    assert not (suite.dir / "resolved" / "paper").exists()
    listed = dvc("exp", "list", "--name-only").split()
    assert {"native", "both"} <= set(listed)
    changes = json.loads(dvc("params", "diff", "HEAD", "native", "--json"))
    assert changes["params.yaml"]["suite.numerics"] == {"old": "portable", "new": "native"}
    dvc("exp", "apply", "both")
    assert (suite.dir / "resolved" / "paper" / "plain.json").exists()
    assert "paper" in yaml.load(Path("params.yaml"))["suite"]["profiles"]
    assert calls() == []
    assert "results/paper.metrics.json" in dvc("metrics", "show")
    assert "native" in dvc("exp", "show", "--csv")


def test_a_paper_with_arms_of_one_profile_parses_in_dvc(toy, tmp_path, monkeypatch):
    dvc_project(toy, tmp_path, monkeypatch)
    listed = dvc("stage", "list", "--name-only", "papers/toy/dvc.yaml").split()
    for name in ("pretrain@mini-better", "finetune_without_pretrain@mini-scratch",
                 "eval_from_small@mini-committee", "pretrain_in_paper@mini-huge"):
        assert f"papers/toy/dvc.yaml:{name}" in listed
    assert len(listed) == dvcfile.stage_count(Paper.load(toy.dir), "mini")


def test_an_arm_that_the_profile_lacks_is_left_empty_by_the_real_command(
        toy, tmp_path, monkeypatch):
    dvc_project(toy, tmp_path, monkeypatch)
    monkeypatch.chdir(toy.dir)
    paper = Paper.load(toy.dir)
    stages = yaml.loads(dvcfile.render(paper))["stages"]
    mine = [stage for stage in stages.values() if stage["matrix"].get("arm") == ["huge"]]
    assert len(mine) == len(paper.stages_of("huge"))
    for stage in mine:
        words = stage["cmd"].replace("${item.profile}", "mini").replace("${item.arm}", "huge")
        done = CliRunner().invoke(main, words.split()[1:])
        assert done.exit_code == 0, done.output
        (folder,) = (o.replace("${item.profile}", "mini").replace("${item.arm}", "huge")
                     for o in stage["outs"])
        index = Path(folder) / dvcfile.index_of(Path(folder).name)
        assert json.loads(index.read_text()) == {}
        refused = CliRunner().invoke(main, words.replace(" --if-in-profile", "").split()[1:])
        assert refused.exit_code == 1


def test_stages_stand_in_topological_order(toy):
    paper = Paper.load(toy.dir)
    stages = yaml.loads(dvcfile.render(paper))["stages"]
    made = set()
    for stage in stages.values():
        read = [dep for dep in stage.get("deps", []) if dep.startswith("out/")]
        assert {dep.rpartition("/")[0] for dep in read} <= made
        assert {dep.rpartition("/")[2] for dep in read} <= {"MANIFEST.json", "runs.json"}
        arms = stage["matrix"].get("arm", [])
        for out in (o for o in stage["outs"] if isinstance(o, str)):
            made |= {out, *(out.replace("${item.arm}", arm) for arm in arms)}


def test_the_rendered_file_uses_no_persist_and_only_dvcs_own_templating(toy):
    text = dvcfile.render(Paper.load(toy.dir))
    assert "persist" not in text
    assert set(re.findall(r"\$\{([^}]*)\}", text)) == {"suite.profiles", "item.profile", "item.arm"}


def test_every_input_of_resolve_is_there(toy):
    package = Path(dvcfile.__file__).parents[1]
    missing = [name for name in {*dvcfile.CORE, *dvcfile.JUDGES} if not (package / name).exists()]
    assert missing == []


def test_a_method_file_is_an_input_only_where_there_is_one(toy):
    assert "method.py" in dvcfile.render(Paper.load(toy.dir))
    (toy.dir / "method.py").unlink()
    assert "method.py" not in dvcfile.render(Paper.load(toy.dir))
