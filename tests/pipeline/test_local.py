import os
import subprocess
import sys

import pytest

from repro.errors import UserError
from repro.pipeline import processes
from repro.pipeline.launch import LocalLauncher, Pack

PACK = Pack("repro-a", ("a",), "portable", cpus=1, memory_gb=1.0, gpus=0)


@pytest.fixture
def launcher(suite):
    return LocalLauncher(suite.store, suite.root, workers=2, assets=suite.root / "assets")


def occupy(suite, **facts):
    """Record a living job: this process."""
    job = {"launcher": "local", "name": "repro-b", "keys": [], "cpus": 1, "memory_gb": 1.0,
           "gpus": 0, "process": processes.identify(), "driver": processes.identify()}
    suite.store.record(job | facts)


@pytest.mark.parametrize(
    ("facts", "fits"),
    [
        ({"cpus": 1}, True),
        ({"cpus": 2}, False),
        ({"memory_gb": 1e6}, False),
        ({"process": None}, True),
        ({"cpus": 2, "launcher": "other"}, True),
    ],
)
def test_jobs_of_all_drivers_share_cores_and_memory(suite, launcher, facts, fits):
    occupy(suite, **facts)
    assert launcher.fits(PACK) is fits


def test_a_run_larger_than_the_machine_may_run_alone(suite, launcher):
    large = Pack("repro-a", ("a",), None, cpus=64, memory_gb=1e6, gpus=0)
    assert launcher.fits(large)
    occupy(suite)
    assert not launcher.fits(large)


def test_a_missing_gpu_is_said_before_anything_starts(launcher, monkeypatch):
    monkeypatch.setattr("repro.pipeline.launch._gpu_count", lambda: 0)
    with pytest.raises(UserError, match="needs 1 GPU, this machine has 0"):
        launcher.fits(Pack("repro-a", ("a",), None, cpus=1, memory_gb=1.0, gpus=1))


def test_a_job_has_one_thread_and_the_pinned_instruction_set(launcher, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx512")
    env = launcher._environment(PACK, [])
    assert env["OMP_NUM_THREADS"] == env["MKL_NUM_THREADS"] == "1"
    assert env["ATEN_CPU_CAPABILITY"] == "avx2"
    assert env["PYTHONHASHSEED"] == "0"
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert env["REPRO_ASSETS"] == str(launcher.assets)
    assert env["PYTHONPATH"].split(os.pathsep)[0] == str(launcher.root)


def test_native_numerics_take_nothing_from_the_users_environment(launcher, monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    native = Pack("repro-a", ("a",), "native", cpus=1, memory_gb=1.0, gpus=0)
    assert "ATEN_CPU_CAPABILITY" not in launcher._environment(native, [])


def test_the_parts_of_a_command_find_its_process(tmp_path):
    mark = str(tmp_path / "jobs" / "repro-a")
    assert processes.find_command(mark) is None
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", mark])
    try:
        assert processes.find_command(mark) == processes.identify(child.pid)
    finally:
        child.kill()
        child.wait()
    assert processes.find_command(mark) is None
