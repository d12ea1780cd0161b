"""`repro verify` of several papers: at once, told in order, and one that differs is a failure."""

import json
import threading

import pytest
from click.testing import CliRunner

from repro.cli import main
from repro.commands import exactness
from repro.errors import UserError
from repro.pipeline import verify as verifying

PAPERS = ["electra", "tiny_lm"]


@pytest.fixture
def papers_meet(monkeypatch):
    """Verifications that wait for one another; return {slug: identical} to be changed."""
    met, identical = threading.Barrier(len(PAPERS), timeout=30), dict.fromkeys(PAPERS, True)

    def verify(paper, profile, settings, display, *, seeds, arms):
        met.wait()
        if identical[paper.slug] is None:
            raise UserError(f"{paper.slug}: cannot be made")
        return {"paper": paper.slug, "profile": profile, "ways": {}, "mismatches": [],
                "runs": {}, "identical": identical[paper.slug]}

    monkeypatch.setenv("REPRO_WORKERS", "2")
    monkeypatch.setattr(verifying, "verify", verify)
    monkeypatch.setattr(exactness, "write_resolved", lambda paper, profile: None)
    return identical


@pytest.fixture
def written(monkeypatch):
    found = []
    monkeypatch.setattr(verifying, "write", lambda one, paper: found.append(paper.slug))
    return found


def test_papers_are_verified_at_once_and_told_in_order(papers_meet, written):
    done = CliRunner().invoke(main, ["verify", *PAPERS, "--json"])
    assert done.exit_code == 0
    assert [one["paper"] for one in json.loads(done.stdout)] == written == PAPERS


def test_one_that_differs_is_written_and_fails(papers_meet, written):
    papers_meet["tiny_lm"] = False
    done = CliRunner().invoke(main, ["verify", *PAPERS, "--json"])
    assert done.exit_code == 1 and written == PAPERS


def test_one_that_cannot_be_made_is_named_and_the_other_is_kept(papers_meet, written):
    papers_meet["tiny_lm"] = None
    done = CliRunner().invoke(main, ["verify", *PAPERS, "--json"])
    assert done.exit_code != 0
    assert "tiny_lm: cannot be made" in done.output + str(done.exception)
    assert written == ["electra"]
