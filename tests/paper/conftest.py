import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from repro.data import assets
from repro.paper import Paper

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parents[1] / "paper" / "toy" / "suite.py"


@pytest.fixture
def toy(tmp_path):
    """A suite with one paper: .dir, .evaluate(profile, values), .values, .row(task, value)."""
    suite = runpy.run_path(str(TOY))
    folder = suite["make"](tmp_path)

    def evaluate(profile="mini", values=suite["VALUES"]):
        suite["evaluate"](folder, profile, values)

    return SimpleNamespace(dir=folder, evaluate=evaluate, values=suite["VALUES"], row=suite["row"])


@pytest.fixture
def paper(slug):
    """A paper whose embedded data are fetched; in CI their absence is a failure."""
    found = Paper.find(slug, ROOT)
    for source in found.data["mini"]:
        if source.asset and assets.manifest(assets.find(source.asset)) is None:
            if os.environ.get("CI"):
                pytest.fail(f"asset {source.asset} is not fetched (repro data fetch)")
            pytest.skip(f"asset {source.asset} is not fetched")
    return found
