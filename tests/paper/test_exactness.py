"""The promise of exactness, kept by every paper in papers/: runs that were killed and resumed side
by side end in the bytes of undisturbed ones, and the first updates are those recorded."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro import settings
from repro.config import resolved
from repro.data import assets
from repro.paper import Paper
from repro.pipeline import golden
from repro.pipeline.environment import pinned
from repro.pipeline.progress import Lines
from repro.report import results

ROOT = Path(__file__).parents[2]
PAPERS = {path.parent.name: Paper.load(path.parent) for path in ROOT.glob("papers/*/paper.yaml")}
each_paper = pytest.mark.parametrize("slug", sorted(PAPERS))


@pytest.fixture
def paper(slug):
    """A paper whose embedded data are fetched; in CI their absence is a failure."""
    found = PAPERS[slug]
    for source in found.data["mini"]:
        if source.asset and assets.manifest(assets.find(source.asset)) is None:
            if os.environ.get("CI"):
                pytest.fail(f"asset {source.asset} is not fetched (repro data fetch)")
            pytest.skip(f"asset {source.asset} is not fetched")
    return found


@pytest.mark.slow
@each_paper
def test_killed_and_resumed_side_by_side_is_as_if_undisturbed(paper, tmp_path):
    numerics = settings.load(ROOT).suite.numerics
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("forks.py"), paper.slug, tmp_path],
        env=pinned(numerics) | {"PYTHONPATH": str(ROOT)}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["differences"] == []
    assert sum(found["ended"].values()) > 0
    assert all(run["files"] for run in found["runs"].values())


@pytest.fixture
def followed(paper):
    """Return a paper's first updates as they are now. Its data are made once per checkout."""
    if not (golden.path_of(paper).exists() or results.load_verdict(paper, "mini")):
        pytest.skip("no results yet that a record would guard")
    return golden.follow(paper, "mini", settings.load(ROOT), Lines(io.StringIO()))


@pytest.mark.slow
@each_paper
def test_the_first_updates_of_every_arm_are_those_recorded(paper, followed):
    then = golden.load(paper)
    assert golden.differences(followed, then) == [], golden.remarks(followed, then)
    tree = resolved.load(paper.dir / "resolved" / "mini")
    trained = {arm for arm, stages in tree["arms"].items()
               if stages.get("pretrain", {}).get("config", {}).get("steps")}
    assert {f"{arm}/pretrain" for arm in trained} <= set(followed["trajectories"])
