"""Fixtures around `cloze_world`."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    from cloze_world import write_data

    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def base(tmp_path_factory, data):
    from cloze_world import write_base

    return write_base(tmp_path_factory.mktemp("base"), data)
