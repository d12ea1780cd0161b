"""Jobs as processes of this machine."""

import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path

from repro.errors import UserError
from repro.pipeline import files, processes
from repro.pipeline.jobs import Job, Look, Pack
from repro.pipeline.store import Store


class LocalJobs:
    """Looks at jobs of this host. A job is its controller's process."""

    ticks = 0
    trouble = ""
    grace_s = 20.0

    def __init__(self, store: Store) -> None:
        self.store = store
        self.children: list[subprocess.Popen[bytes]] = []

    def refresh(self, force: bool = False) -> None:
        self.ticks += 1
        self.children = [child for child in self.children if child.poll() is None]

    def look(self, job: Job) -> Look:
        return Look("running" if processes.is_alive(job["process"]) else "gone")

    def why(self, jobs: Sequence[Job]) -> list[str]:
        return ["" for _ in jobs]

    def find(self, intent: Job) -> Job | None:
        folder = self.store.job_folder(intent)
        process = processes.find_command(str(folder))
        if process is None:
            return None
        if not list(folder.glob("*_submitted.pkl")) and not processes.is_alive(intent["driver"]):
            # Its driver was killed before it said what to run: it would wait for that in vain.
            with suppress(ProcessLookupError):
                os.killpg(process["pid"], signal.SIGKILL)
            return None
        return {**intent, "process": process}

    def cancel(self, jobs: Iterable[Job], now: bool = False) -> None:
        number = signal.SIGKILL if now else signal.SIGTERM
        for job in jobs:
            with suppress(ProcessLookupError):
                if processes.is_alive(job["process"]):
                    os.killpg(job["process"]["pid"], number)
                    continue
                orphan = self.find(job)  # its controller was killed, the run itself goes on
                if orphan is not None:
                    os.kill(orphan["process"]["pid"], number)


class LocalLauncher:
    """Starts jobs in sessions of their own: no Ctrl-C, hang-up or death of the driver reaches them.
    `workers` cores and the machine's memory are shared by all drivers of the store on this host."""

    name = "local"
    links = False
    poll_s = 0.1
    retries = 0

    def __init__(self, jobs: LocalJobs, workers: int, assets: Path | None = None) -> None:
        self.jobs, self.store = jobs, jobs.store
        self.workers, self.assets = workers, assets

    def pack_size(self, runs: int, most: int) -> int:
        return min(most, ceil(runs / self.workers))

    def choose(self, packs: Sequence[Pack]) -> list[Pack]:
        used = [(job["cpus"], job["memory_gb"], job["gpus"]) for job in self._living()]
        chosen = []
        for pack in packs:
            need = pack.need
            if need.gpus > gpu_count():
                raise UserError(f"{pack.labels[0]}: needs {need.gpus} GPU, this machine has "
                                f"{gpu_count()}")
            cpus, memory, gpus = (sum(values) for values in zip(*used, (0, 0, 0), strict=True))
            fits = (cpus + need.cpus <= self.workers and memory + need.memory_gb <= _memory_gb()
                    and gpus + need.gpus <= gpu_count())
            if used and not fits:  # a run larger than the machine still gets its chance, alone
                break
            used.append((need.cpus, need.memory_gb, need.gpus))
            chosen.append(pack)
        return chosen

    def submit(self, packs: Sequence[Pack]) -> list[Job]:
        from repro.pipeline.environment import merged, variables  # torch's neighbours and
        from repro.pipeline.execute import run_pack  # submitit are not for `repro status`
        from repro.pipeline.session import SessionExecutor

        jobs = []
        for pack in packs:
            taken = {gpu for job in self._living() for gpu in job["gpu_ids"]}
            gpus = [gpu for gpu in range(gpu_count()) if gpu not in taken][: pack.need.gpus]
            intent = {**pack.intent(self.name, pack.name), "gpu_ids": gpus, "cpus": pack.need.cpus,
                      "memory_gb": pack.need.memory_gb, "gpus": pack.need.gpus}
            for key in pack.keys:
                self.store.entry(key).write("intent", intent)
            folder = self.store.job_folder(intent)
            files.remove(folder)
            folder.mkdir(mode=0o700)
            set_to = variables(pack.numerics, pack.need.cpus, pack.root, self.assets)
            set_to["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
            executor = SessionExecutor(folder, merged(set_to))
            executor.submit(run_pack, str(self.store.root), list(pack.keys))
            self.jobs.children.append(executor.child)
            job = {**intent, "process": processes.identify(executor.child.pid)}
            self.store.record(job)
            jobs.append(job)
        return jobs

    def _living(self) -> list[Job]:
        return [job for job in self.store.jobs() if job["launcher"] == self.name
                and self.jobs.look(job).alive]


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def gpu_count() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
