"""The promise of exactness, kept by every paper in papers/: runs that were killed and resumed side
by side end in the bytes of undisturbed ones."""

import io
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from repro import settings
from repro.config.resolve import resolve
from repro.paper import Paper
from repro.phases import trains
from repro.pipeline import verify
from repro.pipeline.progress import Lines
from repro.pipeline.spec import closure, expand_all
from repro.pipeline.store import Store

ROOT = Path(__file__).parents[2]
each_paper = pytest.mark.parametrize("slug", [paper.slug for paper in Paper.all(ROOT)])


def telling(cells):
    """Return of all cells the runs that differ in code, and all stages of the last arm that has
    most. What differs in numbers only is left to `repro verify --all`."""
    firsts = [specs[0] for specs in cells.values()]
    own = Counter(spec.arm for spec in firsts if spec.members == 1)
    whole = max(reversed(own), key=own.get)
    by_code = {spec.code: spec for spec in firsts if trains(spec.stage)}
    return [*by_code.values(), *(spec for spec in firsts if spec.arm == whole)]


@pytest.mark.exact
@each_paper
def test_killed_and_resumed_side_by_side_is_as_if_undisturbed(slug, paper, tmp_path):
    found = replace(settings.load(ROOT), workers=2)
    suite = found.suite
    tree = resolve(paper, "smoke", numerics=found.numerics(slug), epoch=suite.epoch,
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
