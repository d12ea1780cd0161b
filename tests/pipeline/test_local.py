import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro.errors import UserError
from repro.pipeline import processes
from repro.pipeline.environment import variables
from repro.pipeline.jobs import Pack
from repro.pipeline.local import LocalJobs, LocalLauncher
from repro.schema import Resources


def pack(numerics="portable", **need):
    return Pack("repro-a", ("a",), ("toy/data@mini-a",), numerics,
                Resources(**{"minutes": 1, "memory_gb": 1.0, **need}), root="/code")


@pytest.fixture
def launcher(suite):
    return LocalLauncher(LocalJobs(suite.store), workers=2, assets=suite.root / "assets")


def occupy(suite, **facts):
    """Record a living job: this process."""
    job = {"launcher": "local", "name": "repro-b", "folder": "repro-b", "keys": [], "after": [],
           "submitted": 1.0, "cpus": 1, "memory_gb": 1.0, "gpus": 0,
           "process": processes.identify(), "driver": processes.identify()}
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
    assert launcher.choose([pack()]) == ([pack()] if fits else [])


def test_packs_are_chosen_until_the_cores_are_taken(launcher):
    assert len(launcher.choose([pack()] * 5)) == 2


def test_a_run_larger_than_the_machine_may_run_alone(suite, launcher):
    large = pack(cpus=64, memory_gb=1e6)
    assert launcher.choose([large, pack()]) == [large]
    occupy(suite)
    assert not launcher.choose([large])


def test_a_missing_gpu_is_said_before_anything_starts(launcher, monkeypatch):
    monkeypatch.setattr("repro.pipeline.local.gpu_count", lambda: 0)
    with pytest.raises(UserError, match="needs 1 GPU, this machine has 0"):
        launcher.choose([pack(gpus=1)])


def test_a_job_has_one_thread_and_the_pinned_instruction_set(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("PYTHONPATH", "/more")
    env = variables("portable", 3, "/code", Path("/assets"))
    assert env["OMP_NUM_THREADS"] == env["MKL_NUM_THREADS"] == "1"
    assert env["ATEN_CPU_CAPABILITY"] == "avx2"
    assert (env["PYTHONHASHSEED"], env["RAYON_NUM_THREADS"]) == ("0", "3")
    assert env["REPRO_ASSETS"] == "/assets"
    assert env["PYTHONPATH"].split(os.pathsep) == ["/code", "/more"]


def test_native_numerics_take_nothing_from_the_users_environment():
    env = variables("native", 1, "/code", None)
    assert env["ATEN_CPU_CAPABILITY"] is None  # taken out
    assert "REPRO_ASSETS" not in env


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
