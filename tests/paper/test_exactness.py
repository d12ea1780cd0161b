"""The promise of exactness, kept by every paper in papers/: runs that were killed and resumed side
by side end in the bytes of undisturbed ones, and the first updates are those recorded."""

import io
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from repro import settings
from repro.config import resolved
from repro.config.resolve import resolve
from repro.data import assets
from repro.paper import Paper
from repro.phases import trains
from repro.pipeline import golden, verify
from repro.pipeline.progress import Lines
from repro.pipeline.spec import closure, expand_all
from repro.pipeline.store import Store
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


def telling(cells):
    """Return of all cells the runs that differ in code, and all stages of the last arm that has
    most. What differs in numbers only is left to `repro verify --all`."""
    firsts = [specs[0] for specs in cells.values()]
    own = Counter(spec.arm for spec in firsts if spec.members == 1)
    whole = max(reversed(own), key=own.get)
    by_code = {spec.code: spec for spec in firsts if trains(spec.stage)}
    return [*by_code.values(), *(spec for spec in firsts if spec.arm == whole)]


@pytest.mark.slow
@each_paper
def test_killed_and_resumed_side_by_side_is_as_if_undisturbed(paper, tmp_path):
    found = replace(settings.load(ROOT), workers=2)
    suite = found.suite
    tree = resolve(paper, "smoke", numerics=suite.numerics, epoch=suite.epoch,
                   seeds=suite.seeds).tree
    runs = telling(expand_all(paper, tree, "smoke", suite.seeds[:1]))
    said = Lines(io.StringIO())
    alone = verify.make(verify.ALONE, tmp_path / "alone", [paper], runs, found, said)
    for spec in closure(runs).values():
        if spec[0].stage == "data":  # not made twice: that too is left to `repro verify`
            first, second = (Store(tmp_path / way).entry(spec[0].key)
                             for way in ("alone", "disturbed"))
            shutil.copytree(first.dir, second.dir)
    disturbed = verify.make(verify.DISTURBED, tmp_path / "disturbed", [paper], runs, found, said)
    assert verify.differences(alone, disturbed, "disturbed") == []
    assert any(run["ended"] for run in disturbed.values())
    assert all(run["bytes"]["files"] for run in alone.values())


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
