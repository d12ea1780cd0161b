"""The queue of a Slurm cluster as last seen: one `squeue` for all jobs, one `sacct` for those it
has forgotten.

Accounting is not needed: without it a job that left the queue long ago has no reason, that is all.
A controller that does not answer says nothing about jobs: they are `unknown`, never dead.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from repro.pipeline.jobs import Busy, Job, Look
from repro.pipeline.store import Store

_POLL_S = 10.0  # where no cluster file says otherwise
_ANSWER_S = 60.0  # a busy controller takes its time; squeue itself gives up and tries again
_FORMAT = "%i|%T|%r|%N|%j"
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
_ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
          "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT")
# Left over from a job we may be in; they would bend what we submit.
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_", "PMI_", "PMIX_")
_OURS = re.compile(r"\.[0-9a-f]{16}$")  # the end of every name we give
_TAIL = 1 << 14  # bytes of a job's output in which its last error is looked for
_PER_CALL = 500  # job ids in one command line


@dataclass(frozen=True)
class Reply:
    """What a command answered. code: exit status, -1 when it did not answer in time."""

    code: int
    out: str
    error: str

    @property
    def reason(self) -> str:
        """What it complained about, in one line."""
        lines = [line.rpartition("error: ")[2].strip() for line in self.error.splitlines()]
        return "; ".join(filter(None, lines))[:300] or f"exit status {self.code}"


class Commands(Protocol):
    """The one way the suite talks to Slurm: a command and its answer."""

    def __call__(self, *argv: str) -> Reply: ...


def command(*argv: str) -> Reply:
    """Run one of Slurm's commands, in an environment that does not tell of the job we are in."""
    env = {name: value for name, value in os.environ.items()
           if name == "SLURM_CONF" or not name.startswith(_OF_A_JOB)}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", env=env,
                              timeout=_ANSWER_S, check=False, stdin=subprocess.DEVNULL,
                              start_new_session=True)  # Ctrl-C is not for a half-sent sbatch
    except FileNotFoundError:
        return Reply(127, "", f"{argv[0]}: not installed on this host")
    except subprocess.TimeoutExpired:
        return Reply(-1, "", f"{argv[0]}: no answer in {_ANSWER_S:.0f} s")
    return Reply(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Row:
    """One job of the queue."""

    state: str
    reason: str
    node: str
    name: str

    def look(self) -> Look:
        if self.state in _ENDED:
            more = "" if self.reason in ("", "Dependency") else f" ({self.reason})"
            return Look("gone", f"{self.state}{more}")
        if self.state == "COMPLETING":
            return Look("ending", self.reason)
        if self.state in _WAITING:
            return Look("queued", self.reason)
        return Look("running", self.node)


class Queue:
    """Looks at the jobs of a store that run on Slurm."""

    ticks = 0
    grace_s = 120.0  # the site's KillWait ends it before

    def __init__(self, store: Store, run: Commands | None = None) -> None:
        self.store, self.run, self.poll_s = store, run or command, _POLL_S
        self.rows: dict[str, Row] = {}
        self.numbers: dict[tuple[str, str], str] = {}  # name and array index -> job number
        self.trouble = ""  # why the last question was not answered
        self._users = ""
        self._asked = -1e9

    def refresh(self, force: bool = False) -> None:
        if not force and time.monotonic() - self._asked < self.poll_s:
            return
        if force or not self._users:  # of all whose jobs are in the store
            found = {job["user"] for job in self.store.jobs() if "user" in job}
            self._users = ",".join(map(str, sorted(found | {os.getuid()})))
        reply = self.run("squeue", "--noheader", "--array", "--states=all", f"--format={_FORMAT}",
                         f"--user={self._users}")
        self._asked = time.monotonic()
        self.trouble = reply.reason if reply.code else ""
        if not reply.code:
            self.ticks += 1
            self.rows = dict(_rows(reply.out))
            self.numbers = {(row.name, number.partition("_")[2]): number
                            for number, row in self.rows.items()}

    def look(self, job: Job) -> Look:
        if self.trouble:
            return Look("unknown", self.trouble)
        row = self.rows.get(job["job_id"])
        # Numbers start again when a cluster is set up anew: the name must fit too.
        if row is None or row.name != job["title"]:
            return Look("gone")
        return row.look()

    def why(self, jobs: Sequence[Job]) -> list[str]:
        said: dict[str, str] = {}
        todo = [job["job_id"] for job in jobs if not self.look(job).reason]
        for first in range(0, len(todo), _PER_CALL):
            reply = self.run("sacct", "--noheader", "--allocations", "--parsable2",
                             "--format=JobID,State,ExitCode",
                             f"--jobs={','.join(todo[first:first + _PER_CALL])}")
            for line in reply.out.splitlines():
                number, state, code = line.split("|")[:3]
                state = state.partition(" ")[0]  # CANCELLED by 1000
                if state in _ENDED:
                    said[number] = state if code in ("0:0", "") else f"{state} ({code})"
        found = [self.look(job).reason or said.get(job["job_id"], "") for job in jobs]
        return [f"{reason}: {last}" if (last := self._last_error(job)) else reason
                for job, reason in zip(jobs, found, strict=True)]

    def _last_error(self, job: Job) -> str:
        """Return the last complaint of Slurm in a job's own output (memory, node, ...)."""
        lines: list[str] = []
        for path in sorted(self.store.job_folder(job).glob(f"{job['job_id']}_*_log.out")):
            with open(path, "rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                lines += file.read().decode("utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.startswith(("slurmstepd: error: ", "srun: error: "))]
        return said[-1].partition("error: ")[2] if said else ""

    def find(self, intent: Job) -> Job | None:
        number = self.numbers.get((intent["title"], str(intent["index"])))
        if number is None or self.rows[number].look().state == "gone":
            return None
        from repro.pipeline.slurm import mend

        job = {**intent, "job_id": number}
        mend(self.store, job)
        return job

    def cancel(self, jobs: Iterable[Job], now: bool = False) -> None:
        numbers = [job["job_id"] for job in jobs]
        for first in range(0, len(numbers), _PER_CALL):
            reply = self.run("scancel", *(("--signal=KILL",) if now else ()),
                             *numbers[first:first + _PER_CALL])
            if reply.code:
                raise Busy(f"scancel: {reply.reason}")

    def expect(self, job: Job) -> None:
        """Take a job that was just accepted into the picture, until the next refresh."""
        self.rows[job["job_id"]] = Row("PENDING", "", "", job["title"])

    def ours(self) -> int:
        """Return how many jobs of this suite are in the queue."""
        return sum(row.state not in _ENDED and bool(_OURS.search(row.name))
                   for row in self.rows.values())


def _rows(text: str) -> Iterable[tuple[str, Row]]:
    for line in text.splitlines():
        number, state, reason, node, name = line.split("|", 4)
        yield number, Row(state, "" if reason == "None" else reason, node, name)
