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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from repro import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "slurm" / "devcluster" / "devcluster"
PROFILE = ROOT / "slurm" / "clusters" / "devcluster.yaml"
Suite: Any = runpy.run_path(str(ROOT / "tests" / "pipeline" / "conftest.py"))["Suite"]


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

    def jobs(self) -> list[str]:
        """Return the jobs (or array tasks) in the queue, those that end included."""
        return self.ask("squeue", "--noheader", "--array", "--format=%i")

    def nodes_in_use(self) -> list[str]:
        """Return the node of every running job (or array task), sorted."""
        return sorted(self.ask("squeue", "--noheader", "--states=R", "--format=%N"))

    def submissions(self) -> set[str]:
        """Return the ids of all sbatch calls the controller remembers (five minutes and more)."""
        return set(self.ask("squeue", "--noheader", "--states=all", "--format=%F"))

    def hold(self) -> None:
        """Let jobs be queued, but none start, in partition cpu."""
        self.ask("scontrol", "update", "partitionname=cpu", "state=down")

    def release(self) -> None:
        self.ask("scontrol", "update", "partitionname=cpu", "state=up")

    def clear(self) -> None:
        """End all jobs and mend what a drill broke."""
        if self.broken:
            self.must("start")
            self.broken = False
        self.release()
        self.ask("scancel", f"--user={os.getuid()}", "--quiet")
        wait_for(lambda: not self.jobs())


def installed() -> None:
    """Skip without Slurm; with CI=true that is a failure."""
    there = all(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
                for name in ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sbatch"))
    if not there:
        way = "Slurm is not installed: `sudo slurm/devcluster/devcluster install` on Debian"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(way)


def started(*flags: str) -> Iterator[Devcluster]:
    installed()
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path: sockets lie below it
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
def require_slurm() -> Callable[[], None]:
    return installed


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


class Driver(subprocess.Popen[str]):
    """A `repro` command at work. said: what it printed, once it was waited for."""

    def finish(self) -> tuple[int, str]:
        """Wait for its end; return (exit code, what was said)."""
        self.said, _ = self.communicate(timeout=300)
        return self.returncode, self.said


class Workspace(Suite):
    """The toy's workspace, with a profile of the cluster. Its data are made. Its pre-training
    counts ten steps a second and saves each. A start that goes on from a saved step does not
    pause: a long first start costs time only until something ends it. The right result is
    computed here."""

    def __init__(self, root: Path, cluster: Devcluster) -> None:
        super().__init__(root)
        method = self.folder / "method.py"
        text = method.read_text().replace("time.sleep(pause)", "time.sleep(0 if begun else pause)")
        method.write_text(text.replace('print("from', 'begun = step > 0; print("from'))
        self.cluster = cluster
        self.profile()
        self.seeds([0])
        self.lasts(steps=30)
        assert self.run("data")[0] == 0

    def lasts(self, steps: int, **settings: Any) -> None:
        """Say how many steps the pre-training has."""
        self.steps = steps
        self.resolve(pretrain={"steps": steps, "pause": 0.1, **settings})

    def profile(self, **changes: Any) -> None:
        """Write the cluster profile: the one for devcluster, with changes."""
        yaml.dump(yaml.load(PROFILE) | {"poll_s": 0.3} | changes, self.root / "cluster.yaml")

    def repro(self, *words: str) -> Driver:
        """Start `repro WORDS` in the workspace."""
        return Driver(
            [sys.executable, "-c", "from repro.cli import main; main()", *words], cwd=self.root,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=os.environ | {"REPRO_EXECUTOR": "slurm", "SLURM_CONF": str(self.cluster.conf),
                              "REPRO_CLUSTER": str(self.root / "cluster.yaml")},
        )

    def pretrain(self) -> Driver:
        """Start what DVC would: the pre-training of arm `plain`."""
        return self.repro("run", "pretrain", "--paper", "toy", "--arm", "plain")

    @property
    def spec(self) -> Any:
        """The pre-training of seed 0."""
        return self.specs("pretrain")[0]

    def has_saved(self, step: int) -> bool:
        """Return whether the pre-training of seed 0 runs and has saved this step."""
        return self.running([self.spec], least_step=step)

    def first_steps(self) -> list[int]:
        """Return the step at which each start of the pre-training of seed 0 began."""
        lines = self.store.entry(self.spec.key).log.read_text().splitlines()
        return [int(line.split()[-1]) for line in lines if line.startswith("from step")]

    def models(self) -> dict[str, str]:
        return {name: text for name, text in self.out("pretrain").items() if "model" in name}

    def expected(self, seeds: Sequence[int] = (0,)) -> dict[str, str]:
        """Return what `models` must be."""
        found = {}
        for seed in seeds:
            total = seed
            for _ in range(self.steps):
                total = (total * 31 + 1 + sum(range(3))) % 1_000_003
            found[f"seed{seed}/encoder/model.json"] = f'{{"total": {total}}}'
        return found


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[[Devcluster], Workspace]:
    """Make the toy's workspace for a cluster."""
    return lambda cluster: Workspace(tmp_path / "suite", cluster)


@pytest.fixture
def slow(cluster: Devcluster, workspace: Callable[[Devcluster], Workspace]) -> Workspace:
    """The toy's workspace for the healthy cluster."""
    return workspace(cluster)
