"""docs/add-a-paper.md, done as it says: edits applied, commands run, in a copy of the suite."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repro import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-a-paper.md"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def apply(path: Path, change: str) -> None:
    """Replace the lines marked `-`, which stand once in the file, by those marked `+`."""
    lines = change.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] in "- ")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in "+ ")
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path.name} must have this once:\n{old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def suite(tmp_path):
    """A copy of the suite, one seed, with a store of its own."""
    for name in ("papers", "repro", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name,
                        ignore=shutil.ignore_patterns("out", "__pycache__"))
    for name in ("params.yaml", "dvc.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    params = yaml.load(tmp_path / "params.yaml")
    params["suite"]["seeds"] = [0]
    yaml.dump(params, tmp_path / "params.yaml")
    return tmp_path


def run(commands: str, suite: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(suite), "OMP_NUM_THREADS": "1",
           "REPRO_STORE": str(suite / "store"), "COLUMNS": "100"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=suite, env=env,
                          text=True, capture_output=True)
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_page_does_what_it_says(suite) -> None:
    printed = ""
    for kind, name, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        match kind:
            case "sh":
                printed += run(content, suite)
            case "diff":
                apply(suite / name, content)
            case "python":
                (suite / name).write_text(content, encoding="utf-8")
            case _:
                assert kind == "console", f"a block of another kind: {kind}"
    assert "papers/mask_schedule/paper.yaml:" in printed, "`repro show` lists what is left"
    assert re.search(r"pretrain\.objective\.over .*\b2500\b", printed), "`repro blame` finds it"
    done = list((suite / "store").glob("*/*/run.json"))
    assert len(done) == 4, "data, and three stages of one arm"
    for path in ("papers/mask_schedule/method.py", "tests/papers/test_mask_schedule.py"):
        run(f"ruff check {path}", suite)


def test_the_page_is_short() -> None:
    words = re.sub(r"```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL).split()
    assert len(words) < 900
