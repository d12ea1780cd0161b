"""A real Slurm on this machine, and a workspace whose runs go there.

Every pytest worker that gets one of these files starts a cluster of its own: drills may break it.
"""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repro import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "slurm" / "devcluster" / "devcluster"
PROFILE = ROOT / "slurm" / "clusters" / "devcluster.yaml"
TOY = runpy.run_path(str(ROOT / "tests" / "pipeline" / "conftest.py"))
Suite: Any = TOY["Suite"]
edit = TOY["edit"]  # a fixture


class Devcluster:
    """One cluster. `broken`: a drill did something that `start` mends."""

    def __init__(self, state: Path) -> None:
        self.state, self.broken = state, False
        self.conf = state / "etc" / "slurm.conf"

    def do(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `devcluster WORDS`; return how it ended."""
        self.broken |= words[0].startswith(("node-", "ctld-", "dbd-"))
        return subprocess.run(
            [SCRIPT, *words], env=os.environ | {"REPRO_DEVCLUSTER": str(self.state)}, text=True,
            capture_output=True, check=False, stdin=subprocess.DEVNULL,
        )

    def must(self, *words: str) -> None:
        done = self.do(*words)
        assert done.returncode == 0, done.stderr

    def ask(self, *argv: str) -> list[str]:
        """Return the lines a Slurm program prints."""
        done = subprocess.run(argv, env=os.environ | {"SLURM_CONF": str(self.conf)}, text=True,
                              capture_output=True, check=True, stdin=subprocess.DEVNULL)
        return done.stdout.split("\n")[:-1]

    def nodes_in_use(self) -> list[str]:
        """Return the node of every running job (or array task), sorted."""
        return sorted(self.ask("squeue", "--noheader", "--states=R", "--format=%N"))

    def submissions(self) -> set[str]:
        """Return the ids of all sbatch calls the controller remembers (five minutes and more)."""
        return set(self.ask("squeue", "--noheader", "--states=all", "--format=%F"))

    def clear(self) -> None:
        """End all jobs and mend what a drill broke."""
        if self.broken:
            self.must("start")
            self.broken = False
        self.ask("scancel", f"--user={os.getuid()}", "--quiet")
        wait_for(lambda: not self.ask("squeue", "--noheader"))


def installed() -> None:
    """Skip without Slurm; with CI=true that is a failure."""
    there = all(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
                for name in ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sbatch"))
    if not there:
        way = "Slurm is not installed: `sudo slurm/devcluster/devcluster install` on Debian"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(way)


def started(*flags: str) -> Iterator[Devcluster]:
    installed()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=memory if os.access(memory, os.W_OK)
                                   else None))
    cluster = Devcluster(folder / "state")
    try:
        cluster.must("start", *flags)
        yield cluster
    finally:
        cluster.do("stop")
        shutil.rmtree(folder)


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_for


@pytest.fixture(scope="session")
def full_cluster() -> Iterator[Devcluster]:
    yield from started()


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Devcluster]:
    """One without accounting, as on many small sites."""
    yield from started("--no-accounting")


@pytest.fixture
def cluster(full_cluster: Devcluster) -> Iterator[Devcluster]:
    """A healthy cluster without jobs."""
    yield full_cluster
    full_cluster.clear()


class Workspace(Suite):
    """The toy's workspace, with a profile of the cluster; drivers are processes of their own."""

    def __init__(self, root: Path, cluster: Devcluster, **profile: Any) -> None:
        super().__init__(root)
        self.cluster = cluster
        self.profile(**profile)

    def profile(self, **changes: Any) -> None:
        """Write the cluster profile: the one for devcluster, with changes."""
        yaml.dump(yaml.load(PROFILE) | {"poll_s": 0.3} | changes, self.root / "cluster.yaml")

    def repro(self, *words: str) -> subprocess.Popen[str]:
        """Start `repro WORDS` in the workspace."""
        return subprocess.Popen(
            [sys.executable, "-c", "from repro.cli import main; main()", *words], cwd=self.root,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=os.environ | {"REPRO_EXECUTOR": "slurm", "SLURM_CONF": str(self.cluster.conf),
                              "REPRO_CLUSTER": str(self.root / "cluster.yaml")},
        )

    def pretrain(self) -> subprocess.Popen[str]:
        """Start what DVC would: the pre-training of arm `plain`."""
        return self.repro("run", "pretrain", "--paper", "toy", "--arm", "plain")

    def models(self) -> dict[str, str]:
        return {name: text for name, text in self.out("pretrain").items() if "model" in name}

    def steps_from(self, spec: Any) -> list[int]:
        """Return the steps at which the starts of a run began."""
        lines = self.store.entry(spec.key).log.read_text().splitlines()
        return [int(line.split()[-1]) for line in lines if line.startswith("from step")]


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """Make the toy's workspace for a cluster: workspace(cluster, **changes of its profile)."""
    return lambda cluster, **profile: Workspace(tmp_path / "suite", cluster, **profile)


@pytest.fixture
def expected() -> Callable[[list[int], int], dict[str, str]]:
    """Compute the models of the toy's pre-training: expected(seeds, steps)."""

    def models(seeds: list[int], steps: int) -> dict[str, str]:
        found = {}
        for seed in seeds:
            total = seed
            for _ in range(steps):
                total = (total * 31 + 1 + sum(range(3))) % 1_000_003
            found[f"seed{seed}/encoder/model.json"] = f'{{"total": {total}}}'
        return found

    return models
