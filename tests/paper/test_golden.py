"""The first updates of every arm of every paper in papers/ are those recorded."""

import io
from pathlib import Path

import pytest

from repro import settings
from repro.config import resolved
from repro.paper import Paper
from repro.pipeline import golden
from repro.pipeline.progress import Lines
from repro.report import results

ROOT = Path(__file__).parents[2]
each_paper = pytest.mark.parametrize("slug", [paper.slug for paper in Paper.all(ROOT)])


@pytest.fixture
def followed(paper):
    """Return a paper's first updates as they are now. Its data are made once per checkout."""
    if not (golden.path_of(paper).exists() or results.load_verdict(paper, "mini")):
        pytest.skip("no results yet that a record would guard")
    return golden.follow(paper, "mini", settings.load(ROOT), Lines(io.StringIO()))


@pytest.mark.exact
@each_paper
def test_the_first_updates_of_every_arm_are_those_recorded(paper, followed):
    then = golden.load(paper)
    assert golden.differences(followed, then) == [], golden.remarks(followed, then)
    tree = resolved.load(paper.dir / "resolved" / "mini")
    trained = {arm for arm, stages in tree["arms"].items()
               if stages.get("pretrain", {}).get("config", {}).get("steps")}
    assert {f"{arm}/pretrain" for arm in trained} <= set(followed["trajectories"])
