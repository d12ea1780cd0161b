import os
import subprocess
import sys

import pytest

from repro.errors import UserError
from repro.train import determinism

PROBE = """
import sys
import torch
from repro.train import determinism
determinism.configure(sys.argv[1], 2)
print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(),
      torch.are_deterministic_algorithms_enabled())
"""


def run(environment, numerics="portable"):
    clean = {k: v for k, v in os.environ.items() if k not in determinism.NUMERICS_ENV["portable"]}
    return subprocess.run(
        [sys.executable, "-c", PROBE, numerics], env=clean | environment, capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("numerics", ["portable", "universal"])
def test_pinned_modes_fix_instruction_set_threads_and_kernels(numerics):
    done = run(determinism.NUMERICS_ENV[numerics], numerics)
    assert done.stdout.split() == ["AVX2", "2", "True"], done.stderr


def test_portable_without_its_environment_refuses_to_start():
    done = run({})
    assert done.returncode != 0
    assert "ATEN_CPU_CAPABILITY must be avx2 before Python starts" in done.stderr


def test_unknown_mode_threads_and_device_are_errors():
    expected = "expected one of portable, universal, native"
    with pytest.raises(UserError, match=f"numerics = 'exact': {expected}"):
        determinism.configure("exact", 1)
    with pytest.raises(UserError, match="threads = 0"):
        determinism.configure("native", 0)
    with pytest.raises(UserError, match="device = 'tpu'"):
        determinism.device("tpu")
