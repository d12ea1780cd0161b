"""What tests of several rooms need."""

from collections.abc import Callable
from pathlib import Path

import pytest

from repro.context import RunContext


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., RunContext]:
    """make(stage, **inputs): the context of a run in a folder of its own."""
    def make(stage: str, **inputs: Path) -> RunContext:
        out = tmp_path / stage
        out.mkdir(exist_ok=True)
        return RunContext(stage=stage, arm="any", seed=0, out=out,
                          checkpoints=tmp_path / f"{stage}-checkpoints",
                          inputs={name: [path] for name, path in inputs.items()})

    return make
