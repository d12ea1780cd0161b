"""Where jobs run: one small interface, and this machine as its first kind.

A job is a plain record (job.json): {launcher, name, keys, cpus, memory_gb, gpus, driver, submitted,
process}. All but `process` is known beforehand and written as intent.json before the job starts, so
that a job whose submitter was killed in between is found again by its name.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from repro.errors import UserError
from repro.pipeline import files, processes
from repro.pipeline.execute import THREADS, run_pack
from repro.pipeline.store import Store
from repro.settings import Settings
from repro.train.determinism import NUMERICS_ENV

Job = dict[str, Any]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Pack:
    """Runs for one job, executed in this order, and what one of them needs at a time."""

    name: str
    keys: tuple[str, ...]
    numerics: str | None
    cpus: int
    memory_gb: float
    gpus: int

    def intent(self, launcher: str) -> Job:
        return {
            "launcher": launcher,
            "name": self.name,
            "keys": list(self.keys),
            "cpus": self.cpus,
            "memory_gb": self.memory_gb,
            "gpus": self.gpus,
            "driver": processes.identify(),
            "submitted": time.time(),
        }


class Launcher(Protocol):
    """What the pipeline asks of a scheduler."""

    name: str
    workers: int  # jobs side by side
    poll_s: float  # how often a driver may ask `alive`

    def fits(self, pack: Pack) -> bool:
        """Return whether the pack may be submitted now (a free worker, a queue limit)."""

    def submit(self, packs: Sequence[Pack]) -> list[Job]:
        """Start one job per pack and return their records. Called under the submit lock."""

    def alive(self, job: Job) -> bool:
        """Return whether a job is queued or running; one that is ending counts as ended."""

    def cancel(self, job: Job, now: bool = False) -> None:
        """Ask a job to save and stop; `now`: end it at once. Fine if it ended already."""

    def find_by_name(self, intent: Job) -> Job | None:
        """Return the record of a living job with the intent's name, None if there is none."""


class LocalLauncher:
    """Jobs as processes of this machine, in sessions of their own: no Ctrl-C, hang-up or death of
    the driver reaches them. `workers` cores and the machine's memory are shared by all drivers of
    the store on this host."""

    name = "local"
    poll_s = 0.1

    def __init__(self, store: Store, root: Path, workers: int, assets: Path | None = None) -> None:
        self.store, self.root, self.workers, self.assets = store, root, workers, assets
        self._children: list[subprocess.Popen[bytes]] = []

    def fits(self, pack: Pack) -> bool:
        if pack.gpus > _gpu_count():
            raise UserError(f"{pack.name}: needs {pack.gpus} GPU, this machine has {_gpu_count()}")
        living = self._living()
        if not living:
            return True  # a run larger than the machine still gets its chance, alone
        return (
            sum(job["cpus"] for job in living) + pack.cpus <= self.workers
            and sum(job["memory_gb"] for job in living) + pack.memory_gb <= _memory_gb()
            and sum(job["gpus"] for job in living) + pack.gpus <= _gpu_count()
        )

    def submit(self, packs: Sequence[Pack]) -> list[Job]:
        from repro.pipeline.session import SessionExecutor  # submitit: not for `repro status`

        jobs = []
        for pack in packs:
            taken = {gpu for job in self._living() for gpu in job["gpu_ids"]}
            gpus = [gpu for gpu in range(_gpu_count()) if gpu not in taken][: pack.gpus]
            intent = {**pack.intent(self.name), "gpu_ids": gpus}
            for key in pack.keys:
                self.store.entry(key).write("intent", intent)
            folder = self.store.job_folder(pack.name)
            files.remove(folder)
            folder.mkdir(mode=0o700)
            executor = SessionExecutor(folder, self._environment(pack, gpus))
            executor.submit(run_pack, str(self.store.root), list(pack.keys))
            self._children.append(executor.child)
            job = {**intent, "process": processes.identify(executor.child.pid)}
            self.store.record(job)
            jobs.append(job)
        return jobs

    def alive(self, job: Job) -> bool:
        self._children = [child for child in self._children if child.poll() is None]
        return processes.is_alive(job["process"])

    def cancel(self, job: Job, now: bool = False) -> None:
        with suppress(ProcessLookupError):
            if processes.is_alive(job["process"]):
                os.killpg(job["process"]["pid"], signal.SIGKILL if now else signal.SIGTERM)
                return
            orphan = self.find_by_name(job)  # its controller was killed, the run itself goes on
            if orphan is not None:
                os.kill(orphan["process"]["pid"], signal.SIGKILL if now else signal.SIGTERM)

    def find_by_name(self, intent: Job) -> Job | None:
        folder = self.store.job_folder(intent["name"])
        process = processes.find_command(str(folder))
        if process is None:
            return None
        if not list(folder.glob("*_submitted.pkl")) and not processes.is_alive(intent["driver"]):
            # Its driver was killed before it said what to run: it would wait for that in vain.
            with suppress(ProcessLookupError):
                os.killpg(process["pid"], signal.SIGKILL)
            return None
        return {**intent, "process": process}

    def _living(self) -> list[Job]:
        return [job for job in self.store.jobs() if job["launcher"] == self.name
                and self.alive(job)]

    def _environment(self, pack: Pack, gpus: list[int]) -> dict[str, str]:
        """Return the job's environment: what numerics need must be there before Python starts."""
        pinned = {name for variables in NUMERICS_ENV.values() for name in variables}
        env = {name: value for name, value in os.environ.items() if name not in pinned}
        env |= NUMERICS_ENV[pack.numerics] if pack.numerics else {}
        env |= dict.fromkeys(_THREAD_VARIABLES, str(THREADS))
        env |= {"RAYON_NUM_THREADS": str(pack.cpus), "PYTHONHASHSEED": "0"}
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        env["PYTHONPATH"] = os.pathsep.join(
            part for part in (str(self.root), os.environ.get("PYTHONPATH", "")) if part
        )
        if self.assets is not None:
            env["REPRO_ASSETS"] = str(self.assets)
        return env


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _gpu_count() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def launcher_of(settings: Settings, store: Store) -> Launcher:
    """Return the launcher the machine settings ask for."""
    return LocalLauncher(store, settings.root, settings.workers, settings.assets)


def stop(
    store: Store,
    launcher: Launcher,
    jobs: list[Job],
    wait_s: float,
    hurry: Callable[[], bool] = lambda: False,
) -> None:
    """Ask jobs to save and stop, and wait until they are gone; kill those that take longer than
    `wait_s` seconds, or all once `hurry()` is true."""
    asked, end = -1.0, time.monotonic() + wait_s
    while living := [job for job in jobs if launcher.alive(job)
                     or any(store.entry(key).executing() for key in job["keys"])]:
        now = time.monotonic()
        if now - asked > 1:  # again: a job that only just started does not listen yet
            for job in living:
                launcher.cancel(job, now=now > end or hurry())
            asked = now
        time.sleep(0.05)
