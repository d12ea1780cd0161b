import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

TOY = Path(__file__).parents[1] / "paper" / "toy" / "suite.py"


@pytest.fixture
def toy(tmp_path):
    """A suite with one paper: .dir, .evaluate(profile, values), .values, .row(task, value)."""
    suite = runpy.run_path(str(TOY))
    folder = suite["make"](tmp_path)

    def evaluate(profile="mini", values=suite["VALUES"]):
        suite["evaluate"](folder, profile, values)

    return SimpleNamespace(dir=folder, evaluate=evaluate, values=suite["VALUES"], row=suite["row"])
