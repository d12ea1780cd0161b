"""Damaged files give what sound ones gave, or one line that names the file; never a trace, never a
silently different result. A fixed share of the cases that `python bench/fuzz.py` tries."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import campaign  # noqa: E402

CASES = 12  # of each target


@pytest.mark.parametrize("name", list(campaign.MADE))
def test_damage_is_refused_or_without_effect(name, tmp_path, monkeypatch):
    for variable in ("REPRO_STORE", "REPRO_WORKERS", "REPRO_CLUSTER", "REPRO_QUOTA"):
        monkeypatch.delenv(variable, raising=False)
    for target in campaign.MADE[name](tmp_path):
        found = campaign.run(target.begin(), CASES, 1)
        assert len(found) >= CASES // 2
        assert [str(case) for case in found if case.is_defect] == []
