"""Histories of a small DAG under random faults, each a number: same number, same history.

    python tests/pipeline/fault_schedules.py 17      tell the history of schedule 17
"""

import hashlib
import random
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from fake_slurm import FakeSlurm, Job  # noqa: E402
from fake_world import Harm, World, driver_of  # noqa: E402

from repro.pipeline.cluster import Cluster  # noqa: E402
from repro.pipeline.snapshot import take  # noqa: E402
from repro.pipeline.spec import RunSpec, closure  # noqa: E402
from repro.pipeline.store import Store  # noqa: E402

MOST_S = 20_000.0  # of simulated time
MOST_DRIVERS = 60
CLUSTER = Cluster(name="fake", partition="cpu", time_factor=0.5, signal_s=15, poll_s=5)


@dataclass
class History:
    """How a schedule went. bytes: label -> digest of the final artefact's files and bytes."""

    number: int
    bytes: dict[str, str]
    wrong: list[str]
    seconds: float
    starts: int
    drivers: int
    faults: list[str] = field(default_factory=list)  # planned, in words
    met: list[str] = field(default_factory=list)  # that happened, by kind
    log: list[str] = field(default_factory=list)


class Bench:
    """A suite whose runs the schedules make, each in a store of its own."""

    def __init__(self, folder: Path) -> None:
        suite: Any = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["Suite"]
        self.folder, self.suite = folder, suite(folder / "suite")
        self.suite.keep_arms("plain", "fast")
        self.suite.resolve(pretrain={"steps": 8, "pause": 8.0}, finetune={"tasks": ["colour"]})
        self.specs: list[RunSpec] = [spec for arm in ("plain", "fast")
                                     for spec in self.suite.specs("eval", arm)]
        self.method = self.suite.folder / "method.py"
        self.text = self.method.read_text()

    def history(
        self,
        number: int | None,
        faults: Sequence[tuple[str, float, float]] = (),
        snapshot: bool = False,
    ) -> History:
        """Return how a schedule went; None: only `faults` (kind, when, lot), by default none.
        snapshot: jobs run a copy of the code."""
        store = self.folder / f"store-{number}"
        slurm = FakeSlurm(None)
        world = World(store, self.suite.root, slurm)
        told: list[str] = []
        try:
            users = _Users(world, self.specs, number)
            if snapshot:
                world.code = take(self.suite.root, users.home)
            if number is not None:
                told = _disturb(world, users, random.Random(number), self)
            for kind, when, lot in faults:
                _plan(world, users, self, kind, when, lot)
            users.come(0.0)
            world.run(users.content, MOST_S)
            wrong = world.wrong + users.complaints()
            found = users.artefacts()
        finally:
            world.clear()
            self.method.write_text(self.text)
            shutil.rmtree(store, ignore_errors=True)
        return History(number or 0, found, wrong, world.now, world.started, users.came, told,
                       world.met, world.log)


class _Users:
    """Whoever wants the runs: starts a driver, and again a while after the last one has gone."""

    def __init__(self, world: World, specs: Sequence[RunSpec], number: int | None) -> None:
        self.world, self.specs = world, specs
        self.home = Store(world.store)
        self.entries = {specs[0].label: self.home.entry(key)
                        for key, specs in closure(specs).items()}
        self.random = random.Random(f"users {number}")
        self.came, self.queue_first = 0, False

    def content(self) -> bool:
        return all(entry.is_done for entry in self.entries.values())

    def come(self, when: float) -> None:
        self.world.at(when, self._arrive)

    def _arrive(self) -> None:
        self.came += 1
        name = f"driver{self.came}"
        queue_only = self.queue_first and self.came == 1
        self.world.driver(name, driver_of(self.specs, self.world.store, self.world.code, CLUSTER,
                                          queue_only))
        if self.came < MOST_DRIVERS:
            self._watch(name)

    def _watch(self, name: str) -> None:
        """Come back some time after that driver is gone, unless all is done."""
        if name in self.world.living:
            self.world.at(self.world.now + 5, lambda: self._watch(name))
        elif not self.content():
            self.come(self.world.now + self.random.uniform(1, 90))

    def artefacts(self) -> dict[str, str]:
        found = {}
        for label, entry in self.entries.items():
            digest = hashlib.sha256()
            for path in sorted(entry.out.rglob("*")) if entry.is_done else ():
                if path.is_file():
                    digest.update(path.relative_to(entry.out).as_posix().encode())
                    digest.update(path.read_bytes())
            found[label] = digest.hexdigest() if entry.is_done else "lost"
        return found

    def complaints(self) -> list[str]:
        wrong = [f"{label} is not done" for label, entry in self.entries.items()
                 if not entry.is_done]
        for label, entry in self.entries.items():
            if entry.is_done:
                entry.verify(full=True)
                if entry.end() != "done" or (entry.dir / "failed.json").exists():
                    wrong.append(f"{label} has two ends")
        return wrong


def _disturb(world: World, users: _Users, rng: random.Random, bench: Bench) -> list[str]:
    """Plan the faults of a schedule; return them in words."""
    slurm, told = world.slurm, []
    slurm.accounting = rng.choice(["up", "up", "down", "never"])
    slurm.remembers = rng.choice([2.0, 30.0, 300.0])
    slurm.most = rng.choice([10**6, 10**6, 6])
    slurm.nodes = rng.choice([{"n1": 2, "n2": 2, "n3": 2}, {"n1": 1, "n2": 1}, {"n1": 8, "n2": 8}])
    users.queue_first = rng.random() < 0.5
    told.append(f"accounting {slurm.accounting}, remembers {slurm.remembers:g} s, "
                f"queue of {slurm.most}, submit first: {users.queue_first}")
    for _ in range(rng.randint(2, 7)):
        when, kind, lot = rng.uniform(0, 100), rng.choice(sorted(FAULTS)), rng.random()
        told.append(f"{kind} at {when:.0f}")
        _plan(world, users, bench, kind, when, lot)
    for name in [f"driver{n}" for n in range(1, 5)]:
        if rng.random() < 0.4:
            harm = world.harms[name] = Harm(rng.choice(["kill", "kill", "full"]),
                                            rng.randint(1, 250))
            told.append(f"{name}: {harm.kind} at step {harm.at}")
    for _ in range(rng.randint(0, 4)):
        start = rng.randint(1, 18)
        harm = world.job_harms[start] = Harm(rng.choice(["kill", "kill", "full"]),
                                             rng.randint(1, 60))
        told.append(f"start {start} of a job: {harm.kind} at step {harm.at}")
    return told


def _plan(world: World, users: _Users, bench: Bench, kind: str, when: float, lot: float) -> None:
    """Let a fault happen as soon after a moment as there is something it can befall."""
    def attempt() -> None:
        if FAULTS[kind](world, users, bench, lot):
            world.say(f"FAULT: {kind}")
            world.met.append(kind)
        else:
            world.at(world.now + 3, attempt)

    world.at(when, attempt)


Fault = Callable[[World, _Users, Bench, float], bool]  # the last: which of those it may befall


def _on_a_job(what: Callable[[FakeSlurm, Job], None], *states: str) -> Fault:
    """Return a fault that befalls one of the jobs in some states."""
    def happen(world: World, users: _Users, bench: Bench, lot: float) -> bool:
        jobs = [job for job in world.slurm.jobs.values() if job.state in states]
        if jobs and world.slurm.controller:
            what(world.slurm, jobs[int(lot * len(jobs))])
        return bool(jobs)
    return happen


def _lose_node(really: bool) -> Fault:
    def happen(world: World, users: _Users, bench: Bench, lot: float) -> bool:
        nodes = sorted({job.node for job in world.slurm.jobs.values() if job.state == "RUNNING"})
        if nodes and world.slurm.controller:
            world.slurm.lose_node(nodes[int(lot * len(nodes))], really)
        return bool(nodes)
    return happen


def _for_a_while(
    start: Callable[[World, Bench], None], end: Callable[[World, Bench], None], longest: float
) -> Fault:
    def happen(world: World, users: _Users, bench: Bench, lot: float) -> bool:
        start(world, bench)
        world.at(world.now + lot * longest, lambda: end(world, bench))
        return True
    return happen


def _switch(name: str, off: Any, on: Any) -> tuple[Callable[..., None], Callable[..., None]]:
    return (lambda world, _: setattr(world.slurm, name, off),
            lambda world, _: setattr(world.slurm, name, on))


def _kill_driver(world: World, users: _Users, bench: Bench, lot: float) -> bool:
    drivers = [name for name in world.living if name.startswith("driver")]
    if drivers:
        world.kill_driver(drivers[int(lot * len(drivers))])
    return bool(drivers)


def _second_driver(world: World, users: _Users, bench: Bench, lot: float) -> bool:
    users.come(world.now)
    return True


def _lose_replies(world: World, users: _Users, bench: Bench, lot: float) -> bool:
    world.slurm.lost_replies = 1 + int(3 * lot)
    return True


FAULTS: dict[str, Fault] = {
    "preemption with a signal": _on_a_job(lambda s, j: s.preempt(j, True), "RUNNING"),
    "preemption without": _on_a_job(lambda s, j: s.preempt(j, False), "RUNNING"),
    "scontrol requeue": _on_a_job(lambda s, j: s.requeue(j), "RUNNING"),
    "scancel from outside": _on_a_job(lambda s, j: s.cancel(j), "RUNNING", "PENDING"),
    "a job vanishes": _on_a_job(lambda s, j: s.forget(j), "RUNNING", "PENDING"),
    "a node dies": _lose_node(True),
    "a node loses contact": _lose_node(False),
    "slurmctld is down": _for_a_while(*_switch("controller", False, True), 120),
    "slurmdbd is down": _for_a_while(*_switch("accounting", "down", "up"), 120),
    "sbatch gets no reply": _lose_replies,
    "the driver is killed": _kill_driver,
    "a second driver": _second_driver,
    "the code is edited": _for_a_while(
        lambda _, bench: bench.method.write_text(bench.text.replace("* 31", "* 37")),
        lambda _, bench: bench.method.write_text(bench.text), 60),
}


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        bench = Bench(Path(folder))
        number = None if sys.argv[1] == "none" else int(sys.argv[1])
        history = bench.history(number)
        print(*history.faults, *history.log, sep="\n")
        print(history.wrong, f"{history.seconds:.0f} s", history.starts, "starts",
              history.drivers, "drivers")
        print(history.bytes == bench.history(None).bytes)


if __name__ == "__main__":
    main()
