"""Drivers and jobs as real processes in simulated time, around a fake scheduler.

Every driver and every job is a forked child that runs the suite's own code on real files, and stops
at each sleep and each Slurm command until this process lets it go on: one at a time, in the order
of a simulated clock. So a schedule of faults is a number, and gives the same history every time.
Kills are real SIGKILLs, at any file operation; signals, locks and full disks are real too.
"""

import gc
import heapq
import itertools
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import fake_slurm

from repro.config import build  # noqa: F401  (so that no child has to load it)
from repro.config.source import Sources
from repro.pipeline import execute, slurm_job
from repro.pipeline.cluster import Cluster
from repro.pipeline.ensure import ensure
from repro.pipeline.launch import Fleet
from repro.pipeline.local import LocalJobs
from repro.pipeline.progress import Display
from repro.pipeline.queue import Queue, Reply
from repro.pipeline.slurm import SlurmLauncher
from repro.pipeline.spec import RunSpec
from repro.pipeline.store import Entry, Store

EPOCH = 1_700_000_000.0
SHORTEST_S = 0.5  # of simulated time: who looks more often than that learns nothing new
Body = Callable[["_Child"], int]
_STEPS = ("rename", "replace", "unlink", "mkdir", "link", "fsync")


@dataclass
class Harm:
    """What befalls one process: killed, or its disk full, at its n-th file operation or command."""

    kind: str
    at: int


@dataclass
class Process:
    pid: int
    pipe: Connection
    name: str
    job: fake_slurm.Job | None = None
    life: int = 0
    inside: str = ""  # the run it executes


@dataclass
class World:
    """code: root of the suite; store: of this history. harms: process name -> its harm. log: what
    happened, for a reader. wrong: broken promises."""

    store: Path
    code: Path
    slurm: fake_slurm.FakeSlurm
    harms: dict[str, Harm] = field(default_factory=dict)  # of drivers
    job_harms: dict[int, Harm] = field(default_factory=dict)  # of the n-th start of a job
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    living: dict[str, Process] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    met: list[str] = field(default_factory=list)  # kinds of faults that happened
    wrong: list[str] = field(default_factory=list)
    commits: Counter[str] = field(default_factory=Counter)
    exits: dict[str, int] = field(default_factory=dict)
    started: int = 0
    job_starts: int = 0
    _order: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.slurm.host = self

    # The clock

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (max(when, self.now), next(self._order), what))

    def run(self, until: Callable[[], bool], most_s: float) -> bool:
        """Let time pass until a condition holds; return whether it did in `most_s` seconds."""
        while not until():
            if not self.events or self.now > most_s:
                return False
            self.now, _, what = heapq.heappop(self.events)
            what()
            self.slurm.schedule()
        return True

    def say(self, what: str) -> None:
        self.log.append(f"{self.now:7.1f} {what}")

    # The host of the scheduler

    def start(self, job: fake_slurm.Job) -> None:
        self.job_starts += 1
        name = f"{job.number}.{job.life}"
        if self.job_starts in self.job_harms:
            self.harms[name] = self.job_harms[self.job_starts]
        self.say(f"start {name} {job.title} on {job.node}")
        self._fork(name, lambda _: _run_job(job), job)

    def signal(self, job: fake_slurm.Job, number: int) -> None:
        self.say(f"signal {signal.Signals(number).name} to {job.number}")
        for process in self._of(job):
            os.kill(process.pid, number)

    def kill(self, job: fake_slurm.Job) -> None:
        for process in self._of(job):
            self.say(f"kill {process.name}")
            os.kill(process.pid, signal.SIGKILL)
            self._reap(process)

    def _of(self, job: fake_slurm.Job) -> list[Process]:
        return [one for one in self.living.values() if one.job is job and one.life == job.life]

    # Processes

    def driver(self, name: str, body: Body) -> None:
        self.say(f"driver {name}")
        self._fork(name, body)

    def kill_driver(self, name: str) -> None:
        if name in self.living:
            self.say(f"kill driver {name}")
            os.kill(self.living[name].pid, signal.SIGKILL)
            self._reap(self.living[name])

    def _fork(self, name: str, body: Body, job: fake_slurm.Job | None = None) -> None:
        ours, theirs = Pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for other in self.living.values():
                other.pipe.close()
            _Child(theirs, self.now, self.harms.get(name)).run(body)
        theirs.close()
        self.started += 1
        process = Process(pid, ours, name, job, job.life if job else 0)
        self.living[name] = process
        self.at(self.now, lambda: self._listen(process))

    def _go_on(self, process: Process, answer: Any = None) -> None:
        """Let a process run to its next stop."""
        if self.living.get(process.name) is process:
            with suppress(BrokenPipeError):
                process.pipe.send((self.now, answer))
            self._listen(process)

    def _listen(self, process: Process) -> None:
        while self.living.get(process.name) is process:
            try:
                kind, value = process.pipe.recv()
            except (EOFError, ConnectionResetError):
                self._reap(process)
            else:
                if self._stopped(process, kind, value):
                    return

    def _stopped(self, process: Process, kind: str, value: Any) -> bool:
        """Deal with a stop of a process; return False if it went on already."""
        if kind == "sleep":
            self.at(self.now + max(SHORTEST_S, value), lambda: self._go_on(process))
            return True
        if kind == "call":
            reply = self.slurm(*value)
            if value[0] != "squeue":
                self.say(f"{process.name}: {' '.join(value)[-60:]} -> {reply.code} "
                         f"{(reply.out + reply.error).strip()[:60]}")
            self.at(self.now + 0.01, lambda: self._go_on(process, reply))
            return True
        if kind == "enter":
            for job in self.slurm.jobs.values():
                if job.state in ("PENDING", "RUNNING") and job is not process.job \
                        and value in job.keys:
                    self.wrong.append(f"{process.name} and job {job.number} carry one run")
            if others := [one.name for one in self.living.values() if one.inside == value]:
                self.wrong.append(f"{process.name} runs what {others} runs")
            if self.commits[value]:
                self.wrong.append(f"{process.name} runs what is done")
            process.inside = value
        elif kind == "leave":
            process.inside = ""
        elif kind == "commit":
            self.commits[value] += 1
            if self.commits[value] > 1:
                self.wrong.append(f"{process.name} finishes a run again")
        elif kind == "say":
            self.say(f"{process.name}: {value}")
        process.pipe.send((self.now, None))
        return False

    def _reap(self, process: Process) -> None:
        _, status = os.waitpid(process.pid, 0)
        process.pipe.close()
        del self.living[process.name]
        code = os.waitstatus_to_exitcode(status)
        self.exits[process.name] = code
        self.say(f"end {process.name}: {code}")
        job = process.job
        if job is not None and job.life == process.life:
            self.slurm.exited(job, code)

    def clear(self) -> None:
        """End whatever still lives."""
        for process in list(self.living.values()):
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
            process.pipe.close()
        self.living.clear()


class _Child:
    """A process of the world, seen from inside."""

    def __init__(self, pipe: Connection, now: float, harm: Harm | None) -> None:
        self.pipe, self.now, self.harm, self.steps = pipe, now, harm, 0

    def run(self, body: Body) -> None:
        """Run a body in simulated time; never returns."""
        gc.disable()
        code = 70
        try:
            sys.dont_write_bytecode = True
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._bend()
            code = body(self)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:
            with suppress(Exception):
                self.stop("say", f"died of {type(error).__name__}: {error}")
        finally:
            os._exit(code)

    def stop(self, kind: str, value: Any) -> Any:
        self.pipe.send((kind, value))
        self.now, answer = self.pipe.recv()
        return answer

    def _bend(self) -> None:
        """Put the simulated clock, the fake Slurm and the harm in the place of the real ones."""
        time.sleep = lambda seconds: self.stop("sleep", seconds)
        time.time = lambda: EPOCH + self.now
        time.monotonic = lambda: self.now
        for name in _STEPS:
            setattr(os, name, self._counted(getattr(os, name)))
        slurm_job.command = self.command
        Sources.assets = {}  # the toy names none, and the file takes long to parse
        real_start, real_finish = execute._start, Entry.finish

        def start(store: Store, entry: Entry, *rest: Any) -> str:
            self.stop("enter", entry.key)
            try:
                return real_start(store, entry, *rest)
            finally:
                self.stop("leave", entry.key)

        def finish(entry: Entry, *rest: Any) -> None:
            real_finish(entry, *rest)
            self.stop("commit", entry.key)

        execute._start, Entry.finish = start, finish

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            self._step()
            return function(*args, **options)

        return step

    def _step(self) -> None:
        self.steps += 1
        if self.harm is not None and self.steps == self.harm.at:
            if self.harm.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def command(self, *argv: str) -> Reply:
        self._step()
        reply = self.stop("call", argv)
        self._step()
        return reply


def _run_job(job: fake_slurm.Job) -> int:
    """What submitit's wrapper does, without its seconds of start-up."""
    os.environ |= {"SLURM_JOB_ID": job.number, "SLURM_PROCID": "0"}
    for _ in range(60):  # submitit waits a minute for the file that says what to run
        if job.keys:
            slurm_job.run_job(str(job.folder.parent.parent), job.keys)
            return 0
        time.sleep(1)
    return 1


def driver_of(
    specs: Sequence[RunSpec], store: Path, code: Path, cluster: Cluster, queue_only: bool = False
) -> Callable[[_Child], int]:
    """Return the body of a driver: `repro submit` (queue_only) or `repro run`."""
    def body(child: _Child) -> int:
        class Said(Display):
            def say(self, line: str) -> None:
                child.stop("say", line)

        home = Store(store)
        queue = Queue(home, child.command)
        fleet = Fleet({"slurm": lambda: queue, "local": lambda: LocalJobs(home)})
        fleet.watcher("slurm")
        return ensure(specs, store=home, fleet=fleet, launcher=SlurmLauncher(queue, cluster),
                      root=code, display=Said(), queue_only=queue_only).exit_code

    return body
