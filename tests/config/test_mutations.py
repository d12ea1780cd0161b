"""Code digests under edits: what is not executed recomputes nothing, what is recomputes its own.

A missed change would be a wrong result under an old key, so there may be none. A needless one only
costs time; how many there are is printed (`pytest -s`) and bounded.
"""

import shutil
from pathlib import Path

import pytest

from repro.config import resolved
from repro.config.code import section_digest
from repro.config.source import Sources

from .mutations import EXECUTED, HARMLESS, SILENT

ROOT = Path(__file__).parents[2]
TREE = resolved.load(ROOT / "papers" / "electra" / "resolved" / "mini")
SECTIONS = {(stage, arm): section["config"]
            for arm, stages in TREE["arms"].items() for stage, section in stages.items()}


def digests(root):
    sources = Sources(root)
    return {place: section_digest(config, sources) for place, config in SECTIONS.items()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("edited")
    for part in ("repro", "papers/electra"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns(
            "__pycache__", "out", "results", "resolved", "templates", "static"))
    return root


@pytest.fixture(scope="module")
def before(copy):
    return digests(copy)


def changed(copy, before, file, old, new):
    """Return the sections whose digest an edit changes; the edit is taken back."""
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{file} no longer has {old!r}: bring the table up to date"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        after = digests(copy)
    finally:
        path.write_text(text, encoding="utf-8")
    return {place for place in before if before[place] != after[place]}


def affected(truth):
    """Return the sections that a line of the table names."""
    found = set()
    for part in filter(None, truth.split("; ")):
        stage, _, arms = part.partition(": ")
        found |= {place for place in SECTIONS if place[0] == stage
                  and (not arms or place[1] in arms.split())}
    return found


def names(edits):
    return [f"{kind}-{Path(file).stem}-{n}" for n, (kind, file, *_) in enumerate(edits)]


def test_the_table_is_large_enough_and_names_what_there_is():
    assert len(SILENT) + len(EXECUTED) + len(HARMLESS) >= 50
    assert all(affected(edit[-1]) for edit in EXECUTED)
    assert affected("pretrain") == {place for place in SECTIONS if place[0] == "pretrain"}


@pytest.mark.parametrize("edit", SILENT, ids=names(SILENT))
def test_what_is_not_executed_recomputes_nothing(copy, before, edit):
    assert changed(copy, before, *edit[1:4]) == set()


def test_what_is_executed_recomputes_all_that_depend_on_it(copy, before):
    rows, missed, needless = [], [], 0
    for kind, file, old, new, truth in (*EXECUTED, *HARMLESS):
        found, true = changed(copy, before, file, old, new), affected(truth)
        missed += [f"{kind} in {file}: {place}" for place in sorted(true - found)]
        needless += len(found - true)
        rows.append(f"{kind:22} {file:34} true {len(true):3}  recomputed {len(found):3}")
    total = (len(EXECUTED) + len(HARMLESS)) * len(SECTIONS)
    print(*rows, f"{len(rows)} edits x {len(SECTIONS)} sections: {len(missed)} missed, {needless} "
          f"needless ({needless / total:.1%})", sep="\n")
    assert missed == []
    assert needless / total < 0.25
