"""Who starts jobs and who watches them, as the machine settings and the job records say."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from repro.errors import UserError
from repro.naming import nearest
from repro.pipeline.jobs import Busy, Job, Look, Watcher
from repro.pipeline.local import LocalJobs, LocalLauncher
from repro.pipeline.store import Store
from repro.settings import Settings

if TYPE_CHECKING:
    from repro.pipeline.jobs import Launcher


LAUNCHERS = ("local", "slurm")


class Fleet:
    """All jobs of a store, of whatever kind: each is looked at by the watcher of its launcher."""

    def __init__(self, watchers: dict[str, Callable[[], Watcher]]) -> None:
        self._makers = watchers
        self._made: dict[str, Watcher] = {}

    def watcher(self, kind: str) -> Watcher:
        """Return the watcher of a kind of jobs; it has looked once. Raises UserError."""
        if kind not in self._makers:
            raise UserError(f"job.json of a run: launcher: {kind!r}{nearest(kind, self._makers)}; "
                            "`repro store verify --set-aside` moves it out of the way")
        if kind not in self._made:
            self._made[kind] = self._makers[kind]()
            self._made[kind].refresh()
        return self._made[kind]

    def refresh(self, force: bool = False) -> None:
        """Look again at the kinds of jobs met so far."""
        for watcher in self._made.values():
            watcher.refresh(force)

    @property
    def trouble(self) -> str:
        """Why a scheduler does not answer, "" when all do."""
        return next((one.trouble for one in self._made.values() if one.trouble), "")

    def look(self, job: Job) -> Look:
        return self.watcher(job["launcher"]).look(job)

    def find(self, intent: Job) -> Job | None:
        return self.watcher(intent["launcher"]).find(intent)

    def why(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Return job name -> how it ended, "" where nobody knows."""
        return {job["name"]: reason for kind, some in _by_kind(jobs).items()
                for job, reason in zip(some, self.watcher(kind).why(some), strict=True)}

    def ticks(self, job: Job) -> int:
        """Return how often the job's scheduler was asked so far."""
        return self.watcher(job["launcher"]).ticks

    def cancel(self, jobs: Iterable[Job], now: bool = False) -> None:
        for kind, some in _by_kind(jobs).items():
            self.watcher(kind).cancel(some, now)


def _by_kind(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    kinds: dict[str, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(job["launcher"], []).append(job)
    return kinds


def fleet_of(store: Store) -> Fleet:
    """Return what watches the jobs of a store; a scheduler is asked only about its own."""
    def queue() -> Watcher:
        from repro.pipeline.queue import Queue

        return Queue(store)

    return Fleet(dict(zip(LAUNCHERS, (lambda: LocalJobs(store), queue), strict=True)))


def launcher_of(settings: Settings, fleet: Fleet) -> "Launcher":
    """Return what starts jobs, as the machine settings ask for. Raises UserError."""
    watcher = fleet.watcher(settings.executor)
    if settings.executor == "slurm":
        from repro.pipeline.cluster import Cluster
        from repro.pipeline.slurm import SlurmLauncher

        return SlurmLauncher(watcher, Cluster.load(settings.cluster), settings.assets)
    return LocalLauncher(watcher, settings.workers, settings.assets)


def mark_and_stop(
    store: Store, fleet: Fleet, jobs: list[Job], hurry: Callable[[], bool] = lambda: False
) -> None:
    """Stop jobs and wait for their end; their records say that this was wished, so that no driver
    starts them again by itself. Raises Busy when a scheduler does not listen: then nothing is
    marked."""
    for job in jobs:
        store.record({**job, "cancelled": True})
    try:
        _stop(store, fleet, jobs, hurry)
    except Busy:
        for job in jobs:
            store.record(job)
        raise


def _stop(store: Store, fleet: Fleet, jobs: list[Job], hurry: Callable[[], bool]) -> None:
    """Ask jobs to save and stop, and wait until they are gone; kill those that take longer than
    their kind may, or all once `hurry()` is true."""
    started, asked = time.monotonic(), -1e9
    while True:
        now = time.monotonic()
        fleet.refresh(force=now - asked > 1)
        living = [job for job in jobs if fleet.look(job).state != "gone"
                  or any(store.entry(key).executing() for key in job["keys"])]
        if not living:
            return
        if now - asked > 1:  # again: a job that only just started does not listen yet
            late = {job["name"] for job in living
                    if hurry() or now - started > fleet.watcher(job["launcher"]).grace_s}
            fleet.cancel([job for job in living if job["name"] not in late])
            fleet.cancel([job for job in living if job["name"] in late], now=True)
            asked = now
        time.sleep(0.05)
