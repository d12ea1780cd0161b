"""Code digests under edits: what is not executed recomputes nothing, what is recomputes its own.

A missed change would be a wrong result under an old key, so there may be none. A needless one only
costs time; how many there are is bounded here and told by bench/code_digests.py.
"""

from pathlib import Path

import pytest

from .edited import SECTIONS, account, affected, changed, copy_to, digests
from .mutations import EXECUTED, HARMLESS, SILENT


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copy_to(tmp_path_factory.mktemp("edited"))


@pytest.fixture(scope="module")
def before(copy):
    return digests(copy)


def names(edits):
    return [f"{kind}-{Path(file).stem}-{n}" for n, (kind, file, *_) in enumerate(edits)]


def test_the_table_is_large_enough_and_names_what_there_is():
    assert len(SILENT) + len(EXECUTED) + len(HARMLESS) >= 50
    assert all(affected(edit[-1]) for edit in EXECUTED)
    assert affected("pretrain") == {place for place in SECTIONS if place[0] == "pretrain"}


@pytest.mark.parametrize("edit", SILENT, ids=names(SILENT))
def test_what_is_not_executed_recomputes_nothing(copy, before, edit):
    assert changed(copy, before, *edit[1:4]) == set()


def test_what_is_executed_recomputes_all_that_depend_on_it(copy):
    lines = account(copy, [*EXECUTED, *HARMLESS])
    assert [line for line in lines if line["missed"]] == []
    needless = sum(line["needless"] for line in lines)
    assert needless / (len(lines) * len(SECTIONS)) < 0.25
