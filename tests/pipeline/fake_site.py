"""A toy suite whose jobs go to a fake Slurm on which nothing runs."""

import io
import re
from typing import Any

from fake_slurm import FakeSlurm, Job

from repro.pipeline.cluster import Cluster
from repro.pipeline.ensure import Outcome, ensure
from repro.pipeline.launch import Fleet
from repro.pipeline.local import LocalJobs
from repro.pipeline.progress import Lines
from repro.pipeline.queue import Queue
from repro.pipeline.slurm import SlurmLauncher

SITE = {"name": "site", "partition": "cpu", "poll_s": 0.01}


class Site:
    """A fake cluster and the suite's side of it."""

    def __init__(self, suite: Any, **keys: Any) -> None:
        self.suite, self.slurm = suite, FakeSlurm()
        self.queue = Queue(suite.store, self.slurm)
        self.fleet = Fleet({"slurm": lambda: self.queue, "local": lambda: LocalJobs(suite.store)})
        self.launcher = SlurmLauncher(self.queue, Cluster(**SITE | keys), suite.root / "assets")

    def submit(self, specs: list[Any], **options: Any) -> tuple[Outcome, str]:
        """Queue runs as `repro submit` does; return (outcome, what was said)."""
        said = io.StringIO()
        outcome = ensure(specs, store=self.suite.store, fleet=self.fleet, launcher=self.launcher,
                         root=self.suite.root, display=Lines(said), queue_only=True, **options)
        return outcome, said.getvalue()

    def scripts(self) -> list[str]:
        """Return the text of every submission, in order."""
        folders = dict.fromkeys(job.folder for job in self.slurm.submitted)
        return [(folder / "submission.sh").read_text() for folder in folders]


def option(script: str, name: str) -> str | None:
    """Return the value of one of sbatch's options."""
    found = re.search(rf"^#SBATCH --{name}=(.*)$", script, re.M)
    return found and found[1].strip("'")


def finish(suite: Any, job: Job) -> None:
    """Leave what a run of the job would have left."""
    for key in job.keys:
        entry = suite.store.entry(key)
        scratch = entry.dir / "out.tmp"
        scratch.mkdir()
        (scratch / "x.json").write_text("1")
        entry.finish(scratch, {"label": "x", "seconds": 1.0})


