"""A Slurm in one object: what sbatch, squeue, sacct, scancel and scontrol would answer, in
simulated time, behind the one door the suite uses (`repro.pipeline.queue.Commands`).

A `Host` carries out what the controller decides: start, signal or kill a job's process. Faults are
methods and switches. Jobs have one task; resources are slots on nodes.
"""

import pickle
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from repro.pipeline.queue import Reply

DOWN = "Unable to contact slurm controller (connect failure)"
ALIVE = ("PENDING", "RUNNING", "COMPLETING")


@dataclass
class Job:
    """One element of an array. life: number of its present start; begin: not before that time."""

    number: str
    title: str
    options: dict[str, str]
    folder: Path
    after: list[str]
    state: str = "PENDING"
    reason: str = ""
    node: str = ""
    begin: float = 0.0
    ended: float = 0.0
    life: int = 0
    next_state: str = ""  # what COMPLETING turns into
    code: int = 0

    @property
    def keys(self) -> list[str]:
        """What the job would run (submitit's pickle), empty when that was never written."""
        path = self.folder / f"{self.number}_submitted.pkl"
        return pickle.loads(path.read_bytes()).args[1] if path.exists() else []


class Host(Protocol):
    """Where jobs run, and the clock."""

    now: float

    def at(self, when: float, what: Callable[[], None]) -> None: ...
    def start(self, job: Job) -> None: ...
    def signal(self, job: Job, number: int) -> None: ...
    def kill(self, job: Job) -> None: ...


class Idle:
    """A host on which nothing ever runs, and no time passes by itself."""

    now = 0.0

    def at(self, when: float, what: Callable[[], None]) -> None: ...
    def start(self, job: Job) -> None: ...
    def signal(self, job: Job, number: int) -> None: ...
    def kill(self, job: Job) -> None: ...


@dataclass
class FakeSlurm:
    """nodes: name -> jobs it runs at a time. accounting: up, down (for now) or never. remembers:
    seconds an ended job stays in squeue. wait: seconds before a requeued job may start again. most:
    jobs the queue takes. controller: whether slurmctld answers. lost_replies: so many accepted
    sbatch calls from now on end in a time-out for the caller."""

    host: Host = field(default_factory=Idle)
    nodes: dict[str, int] = field(default_factory=lambda: {"n1": 2, "n2": 2, "n3": 2})
    accounting: str = "up"
    remembers: float = 300.0
    wait: float = 6.0
    kill_wait: float = 4.0
    most: int = 10**6
    controller: bool = True
    lost_replies: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    records: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    submitted: list[Job] = field(default_factory=list)
    last: int = 1000

    def __call__(self, *argv: str) -> Reply:
        name, *rest = argv
        self.calls[name] = self.calls.get(name, 0) + 1
        if name == "sacct":
            return self._sacct(rest)
        if not self.controller:
            return Reply(1, "", f"{name}: error: {DOWN}\n")
        return {"sbatch": self._sbatch, "squeue": self._squeue, "scancel": self._scancel,
                "scontrol": self._scontrol}[name](rest)

    # The commands

    def _sbatch(self, argv: list[str]) -> Reply:
        script = Path(argv[-1])
        options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script.read_text(), re.M))
        options = {name: value.strip("'") for name, value in options.items()}
        indices = _expand(options["array"].partition("%")[0])
        count = len(indices)
        if len(self._living()) + count > self.most:
            return Reply(1, "", "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch "
                                "job submission failed: Job violates accounting/QOS policy\n")
        if options["partition"] not in ("cpu", "gpu"):
            return Reply(1, "", f"sbatch: error: invalid partition specified: "
                                f"{options['partition']}\n")
        kind, *named = options.get("dependency", "none").split(":")
        after = {index: [f"{named[0]}_{index}"] if kind == "aftercorr" else named
                 for index in indices}
        if any(one not in self.jobs for some in after.values() for one in some):
            return Reply(1, "", "sbatch: error: Batch job submission failed: Job dependency "
                                "problem\n")
        self.last += 1
        for index in indices:
            job = Job(f"{self.last}_{index}", options["job-name"], options, script.parent,
                      after[index])
            self.jobs[job.number] = job
            self.submitted.append(job)
        if self.lost_replies:
            self.lost_replies -= 1
            return Reply(1, "", "sbatch: error: Batch job submission failed: Socket timed out on "
                                "send/recv operation\n")
        return Reply(0, f"Submitted batch job {self.last}\n", "")

    def _squeue(self, argv: list[str]) -> Reply:
        for number, job in list(self.jobs.items()):
            if job.state not in ALIVE and self.host.now > job.ended + self.remembers:
                del self.jobs[number]
        return Reply(0, "".join(f"{job.number}|{job.state}|{job.reason or 'None'}|{job.node}|"
                                f"{job.title}\n" for job in self.jobs.values()), "")

    def _sacct(self, argv: list[str]) -> Reply:
        if self.accounting == "never":
            return Reply(1, "", "Slurm accounting storage is disabled\n")
        if self.accounting == "down":
            return Reply(1, "", "sacct: error: slurm_persist_conn_open: Connection refused\n")
        asked = next(one for one in argv if one.startswith("--jobs=")).partition("=")[2].split(",")
        return Reply(0, "".join(f"{number}|{'|'.join(self.records[number])}\n" for number in asked
                                if number in self.records), "")

    def _scancel(self, argv: list[str]) -> Reply:
        now = argv[0].startswith("--signal")
        for number in argv[now:]:
            if number in self.jobs:
                self.cancel(self.jobs[number], now)
        return Reply(0, "", "")

    def _scontrol(self, argv: list[str]) -> Reply:
        verb, number = argv
        job = self.jobs.get(number)
        if verb != "requeue" or job is None or job.state not in ("RUNNING", "COMPLETING"):
            return Reply(1, "", "slurm_suspend error: Invalid job id specified\n")
        if job.state == "COMPLETING" and job.next_state == "CANCELLED":
            return Reply(1, "", "slurm_suspend error: Job is pending cancellation\n")
        self.requeue(job)
        return Reply(0, "", "")

    # The controller

    def _living(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in ALIVE]

    def schedule(self) -> None:
        """Start what can start, and drop what never will."""
        if not self.controller:
            return
        for job in [job for job in self.jobs.values() if job.state == "PENDING"]:
            ups = [self.jobs.get(number) for number in job.after]
            bad = [up for up in ups if up is not None and up.state not in (*ALIVE, "COMPLETED")]
            if bad:
                job.reason = "DependencyNeverSatisfied"
                if job.options.get("kill-on-invalid-dep") == "yes":
                    self._end(job, "CANCELLED")
                continue
            if any(up is not None and up.state != "COMPLETED" for up in ups):
                job.reason = "Dependency"
                continue
            job.reason = "Resources" if self.host.now >= job.begin else "BeginTime"
            free = [node for node, slots in self.nodes.items() if slots > sum(
                other.node == node for other in self.jobs.values()
                if other.state in ("RUNNING", "COMPLETING"))]
            if free and job.reason == "Resources":
                self._start(job, free[0])

    def _start(self, job: Job, node: str) -> None:
        job.state, job.reason, job.node = "RUNNING", "", node
        job.life += 1
        life, now = job.life, self.host.now
        limit = 60.0 * int(job.options["time"])
        warn = int(job.options["signal"].rpartition("@")[2])

        def during(what: Callable[[], None]) -> Callable[[], None]:
            return lambda: what() if (job.life, job.state) == (life, "RUNNING") else None

        self.host.start(job)
        self.host.at(now + limit - warn, during(lambda: self.host.signal(job, signal.SIGUSR2)))
        self.host.at(now + limit, during(lambda: self._stop(job, "TIMEOUT")))

    def _stop(self, job: Job, then: str, now: bool = False) -> None:
        """End a running job: SIGTERM, and SIGKILL a little later (`now`: at once)."""
        job.state, job.next_state = "COMPLETING", then
        life = job.life
        if now:
            self.host.kill(job)
            return
        self.host.signal(job, signal.SIGTERM)
        self.host.at(self.host.now + self.kill_wait, lambda: (
            self.host.kill(job) if (job.life, job.state) == (life, "COMPLETING") else None))

    def _end(self, job: Job, state: str, code: int = 0) -> None:
        job.state, job.ended, job.code = state, self.host.now, code
        if state not in ("COMPLETED", "CANCELLED") or job.reason != "DependencyNeverSatisfied":
            job.reason = ""
        if self.accounting == "up":
            self.records[job.number] = (state, f"{code}:0")

    def exited(self, job: Job, code: int) -> None:
        """The host says that a job's process is gone."""
        if job.state == "COMPLETING" and job.next_state == "PENDING":
            job.state, job.node, job.begin = "PENDING", "", self.host.now + self.wait
        elif job.state == "COMPLETING":
            self._end(job, job.next_state, code)
        elif job.state == "RUNNING":
            self._end(job, "FAILED" if code else "COMPLETED", code)

    # What may happen to a job

    def cancel(self, job: Job, now: bool = False) -> None:
        if job.state == "PENDING":
            self._end(job, "CANCELLED")
        elif job.state == "RUNNING":
            self._stop(job, "CANCELLED", now)
        elif job.state == "COMPLETING" and now:
            job.next_state = "CANCELLED"
            self.host.kill(job)

    def requeue(self, job: Job) -> None:
        """As `scontrol requeue`: only SIGTERM, and back into the queue."""
        if job.state == "RUNNING":
            self._stop(job, "PENDING" if "requeue" in job.options else "FAILED")

    def preempt(self, job: Job, says_so: bool) -> None:
        """Preempt with requeue; says_so: the site sends the job's signal first, with some grace."""
        if job.state != "RUNNING":
            return
        if says_so:
            life = job.life
            self.host.signal(job, signal.SIGUSR2)
            self.host.at(self.host.now + self.kill_wait, lambda: (
                self.requeue(job) if job.life == life else None))
        else:
            self.requeue(job)

    def lose_node(self, node: str, really: bool = True) -> None:
        """A node dies, and its jobs go back into the queue; not really: it only lost contact, the
        processes live on beside their second copies."""
        for job in [job for job in self._living() if job.node == node]:
            if job.state == "COMPLETING":
                continue
            if really:
                self._stop(job, "PENDING" if "requeue" in job.options else "NODE_FAIL", now=True)
            else:
                job.life += 1  # the process there is nobody's now
                job.state, job.node, job.begin = "PENDING", "", self.host.now + self.wait

    def forget(self, job: Job) -> None:
        """A job vanishes from the controller's memory, and its process with it."""
        self.host.kill(job)
        self.jobs.pop(job.number, None)
        self.records.pop(job.number, None)


def _expand(ranges: str) -> list[int]:
    """Return the numbers of 0-3,7."""
    found = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def facts(slurm: FakeSlurm) -> dict[str, Any]:
    """Return what a test may want to print."""
    return {job.number: (job.title, job.state, job.life) for job in slurm.jobs.values()}
