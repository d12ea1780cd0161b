import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from repro.paper import Paper
from repro.report import results
from repro.report.site.build import render

ROOT = Path(__file__).parents[3]
TOY = ROOT / "tests" / "paper" / "toy" / "suite.py"


@pytest.fixture
def suite(tmp_path):
    """A suite with the paper `toy`, judged: .root, .dir, .render(values) -> path -> text."""
    toy = runpy.run_path(str(TOY))
    folder = toy["make"](tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")

    def rendered(values=toy["VALUES"]):
        toy["evaluate"](folder, "mini", values)
        results.write(Paper.load(folder), "mini")
        return render(tmp_path)

    return SimpleNamespace(root=tmp_path, dir=folder, values=toy["VALUES"], render=rendered)


@pytest.fixture(scope="session")
def real_site():
    """The site of the papers in this repository: path -> text."""
    return render(ROOT)
