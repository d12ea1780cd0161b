"""What the pipeline and a scheduler say to each other: packs, jobs, looks.

A job is a plain record (job.json): {launcher, name, keys, folder, driver, submitted, ...} and what
its launcher knows it by (`process`, or `job_id`). All but the latter is known beforehand and
written as intent.json before the job starts, so that a job whose submitter was killed in between is
found again.
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from repro.errors import UserError
from repro.pipeline import processes

if TYPE_CHECKING:
    from repro.schema import Resources

Job = dict[str, Any]
State = Literal["queued", "running", "ending", "gone", "unknown"]


class Busy(UserError):
    """The scheduler takes no job now (not reachable, queue full): the same call later may work."""


@dataclass(frozen=True)
class Pack:
    """Runs for one job, executed in this order.

    labels: of the runs, what people call them. need: of one of the runs at a time. root: of the
    code. after: the living jobs that must end well first.
    """

    name: str
    keys: tuple[str, ...]
    labels: tuple[str, ...]
    numerics: str | None
    need: "Resources"
    root: str
    after: tuple[Job, ...] = ()

    def intent(self, launcher: str, folder: str) -> Job:
        """Return the record of a job that is about to be submitted. folder: see `Store.jobs`."""
        return {
            "launcher": launcher,
            "name": self.name,
            "labels": list(self.labels),
            "keys": list(self.keys),
            "after": [job["job_id"] for job in self.after],
            "folder": folder,
            "driver": processes.identify(),
            "submitted": time.time(),
        }


def title(labels: Iterable[str]) -> str:
    """Return labels of runs as one word, of characters that are safe in any queue:
    electra.pretrain@mini-rtd.seed0, electra.finetune@mini-mlm+rtd.seed0+1."""
    parts: tuple[dict[str, None], ...] = ({}, {}, {})  # paper.stage@profile, arms, seeds
    for label in labels:
        cell, _, seed = label.partition(" ")
        head, _, arm = cell.partition("-")
        for part, found in zip((head.replace("/", "."), arm, seed), parts, strict=True):
            found.setdefault(part)
    heads, arms, seeds = ("+".join(found) for found in parts)
    text = f"{heads}-{arms}.{seeds.replace('+seed', '+')}".rstrip(".")
    return re.sub(r"[^A-Za-z0-9@.+_-]", "_", text)


@dataclass(frozen=True)
class Look:
    """A job at one moment. reason: the scheduler's word for why it waits or how it ended.

    `ending` jobs still hold their node but will not take up a run any more, unless they come back
    as `queued`. `unknown`: the scheduler does not answer; that says nothing about the job.
    """

    state: State
    reason: str = ""

    @property
    def alive(self) -> bool:
        return self.state in ("queued", "running")


class Watcher(Protocol):
    """Looks at jobs of one kind, whoever submitted them."""

    ticks: int  # how often the scheduler was asked and answered
    trouble: str  # why it did not answer when it was last asked, "" when it did
    grace_s: float  # how long a job may take from being told to stop to its end

    def refresh(self, force: bool = False) -> None:
        """Ask the scheduler anew if the last answer is old (or `force`). All looks until the next
        refresh go by this answer."""

    def look(self, job: Job) -> Look:
        """Return how a job was doing at the last refresh."""

    def why(self, jobs: Sequence[Job]) -> list[str]:
        """Return how jobs that are gone ended, in the scheduler's words ("" = not known)."""

    def find(self, intent: Job) -> Job | None:
        """Return the record of a job that was submitted but never recorded, None: there is none."""

    def cancel(self, jobs: Iterable[Job], now: bool = False) -> None:
        """Ask jobs to save and stop; `now`: end them at once. Fine if they ended already. Raises
        Busy when the scheduler does not listen."""


class Launcher(Protocol):
    """Starts jobs of one kind."""

    name: str
    links: bool  # whether jobs may be queued behind others
    workers: int  # jobs side by side, for estimates
    poll_s: float  # seconds between two looks of a driver
    retries: int  # how often a run is submitted again whose job was lost without any progress

    def pack_size(self, runs: int, most: int) -> int:
        """Return how many of `runs` equal runs go into one job (1 to `most`)."""

    def choose(self, packs: Sequence[Pack]) -> list[Pack]:
        """Return the packs, from the first on, that may be submitted now."""

    def submit(self, packs: Sequence[Pack]) -> list[Job]:
        """Start one job per pack; record and return them. Called under the submit lock, right after
        a refresh. Raises Busy (some may be recorded), or UserError for what can never work."""
