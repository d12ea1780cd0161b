"""Jobs on a Slurm cluster, submitted with submitit: one array per call and kind of pack."""

import os
import re
import shlex
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import SlurmExecutor, SlurmJob

from repro.errors import UserError
from repro.pipeline import files
from repro.pipeline.cluster import Cluster
from repro.pipeline.environment import variables
from repro.pipeline.jobs import Busy, Job, Pack, title
from repro.pipeline.queue import Commands, Queue
from repro.pipeline.slurm_job import run_job
from repro.pipeline.store import Store
from repro.schema import Resources

_TITLE = 120
_LARGEST_ARRAY = 500  # sites allow 1,001 tasks by default
# What sbatch says when it may take the same job later; anything else is a refusal.
_LATER = re.compile(
    r"unable to contact|connection refused|timed out|no answer in|temporarily|try again|"
    r"communication|zero bytes|socket|shutdown|(qos|assoc)\w*submit|dependency problem",
    re.IGNORECASE)


class ArrayExecutor(SlurmExecutor):
    """submitit's executor, always with an array, and `sbatch` called through our one door."""

    def __init__(self, folder: Path, run: Commands, python: str) -> None:
        super().__init__(folder, python=python)
        self.run = run

    @classmethod
    def affinity(cls) -> int:
        return 2  # whether there is a Slurm here is for sbatch to say

    def submit_tasks(self, tasks: Mapping[int, DelayedSubmission]) -> dict[int, str]:
        """Submit array index -> what to run; return index -> job number. Raises Busy, UserError."""
        pickles = {index: self.folder / f"{uuid.uuid4().hex}.pkl" for index in tasks}
        for index, delayed in tasks.items():
            delayed.set_timeout(self.parameters["time"], self.max_num_timeout)
            delayed.dump(pickles[index])
        self.parameters["map_count"] = len(tasks)  # names of the logs; the indices are ours
        first = self._submit_command(self._submitit_command_str)
        numbers = {index: f"{first.job_id}_{index}" for index in tasks}
        for index, number in numbers.items():
            JobPaths(self.folder, number).move_temporary_file(pickles[index], "submitted_pickle")
        return numbers

    def _submit_command(self, command: str) -> SlurmJob[Any]:
        script = self.folder / "submission.sh"
        script.write_text(self._make_submission_file_text(command, ""))
        reply = self.run("sbatch", str(script))
        if reply.code:
            kind = Busy if _LATER.search(reply.error) else UserError
            raise kind(f"sbatch: {reply.reason}")
        number = self._get_job_id_from_submission_command(reply.out)
        return SlurmJob(folder=self.folder, job_id=number)


@dataclass(frozen=True)
class Array:
    """Packs for one call of sbatch, by array index. dependency: sbatch's word for what they wait
    for, "" = nothing."""

    packs: dict[int, Pack]
    dependency: str


class SlurmLauncher:
    """Starts jobs on the cluster a profile describes, and may queue them behind others."""

    name = "slurm"
    links = True
    retries = 2

    def __init__(self, queue: Queue, cluster: Cluster, assets: Path | None = None) -> None:
        self.queue, self.cluster, self.assets = queue, cluster, assets
        self.store: Store = queue.store
        self.poll_s = queue.poll_s = cluster.poll_s
        self.workers = min(cluster.array_throttle or cluster.max_jobs, cluster.max_jobs)

    def pack_size(self, runs: int, most: int) -> int:
        return most

    def choose(self, packs: Sequence[Pack]) -> list[Pack]:
        free = self.cluster.max_jobs - self.queue.ours()
        return list(packs[: max(0, free)])

    def submit(self, packs: Sequence[Pack]) -> list[Job]:
        return [job for array in arrays(packs) for job in self._submit_array(array)]

    def _submit_array(self, array: Array) -> list[Job]:
        first = next(iter(array.packs.values()))
        labels = (label for pack in array.packs.values() for label in pack.labels)
        name = f"{title(labels)[:_TITLE]}.{uuid.uuid4().hex[:16]}"
        intents = {}
        for index, pack in array.packs.items():
            intents[index] = {**pack.intent(self.name, name), "title": name, "index": index,
                              "user": os.getuid()}
            for key in pack.keys:
                self.store.entry(key).write("intent", intents[index], durable=False)
        executor = self._executor(name, first, self._parameters(array))
        numbers = self._sbatch(executor, {
            index: DelayedSubmission(run_job, str(self.store.root), list(pack.keys))
            for index, pack in array.packs.items()})
        jobs = [{**intents[index], "job_id": number} for index, number in numbers.items()]
        for job in jobs:
            self.store.record(job)
            self.queue.expect(job)
        return jobs

    def submit_single(
        self, what: str, need: Resources, body: Callable[..., object], *args: object
    ) -> Job:
        """Start a job that carries no run: body(*args), a function of a module. Return its record.
        Raises Busy, UserError."""
        name = f"repro-{what}.{uuid.uuid4().hex[:16]}"
        pack = Pack(name, (), (what,), None, need, str(Path(__file__).parents[2]))
        executor = self._executor(name, pack, self._parameters(Array({0: pack}, "")))
        number = self._sbatch(executor, {0: DelayedSubmission(body, *args)})[0]
        job = {**pack.intent(self.name, name), "title": name, "index": 0, "user": os.getuid(),
               "job_id": number}
        self.store.record(job)
        self.queue.expect(job)
        return job

    def _executor(self, name: str, pack: Pack, parameters: dict[str, Any]) -> ArrayExecutor:
        """Return an executor with a folder of its own. The settings of a job come after the site's
        setup lines, so that those do not win."""
        settings = self.cluster.env | variables(
            pack.numerics, pack.need.cpus, pack.root, self.assets)
        unset = [word for key, value in settings.items() if value is None for word in ("-u", key)]
        words = [*self.cluster.container, "env", *unset,
                 *(f"{key}={value}" for key, value in settings.items() if value is not None),
                 self.cluster.python or sys.executable]
        folder = self.store.root / "jobs" / name
        folder.mkdir(mode=0o700)
        # Without srun Slurm signals the script's own process only: Python must be that.
        python = f"{'' if self.cluster.use_srun else 'exec '}{shlex.join(words)}"
        executor = ArrayExecutor(folder, self.queue.run, python)
        executor.update_parameters(job_name=name, **parameters)
        return executor

    def _sbatch(
        self, executor: ArrayExecutor, tasks: Mapping[int, DelayedSubmission]
    ) -> dict[int, str]:
        try:
            return executor.submit_tasks(tasks)
        except Busy:
            raise
        except UserError as error:
            files.remove(executor.folder)
            name = executor.parameters["job_name"]
            raise UserError(f"{self.cluster.name} refuses {name}: {error}") from error

    def _parameters(self, array: Array) -> dict[str, Any]:
        """Return submitit's parameters for an array: sbatch's options, and how Python is called."""
        packs, site = list(array.packs.values()), self.cluster
        need = packs[0].need
        found = options(site, need, max(1, *(len(pack.keys) for pack in packs)))
        throttle = f"%{site.array_throttle}" if site.array_throttle else ""
        found |= {"array": f"{_ranges(list(array.packs))}{throttle}",
                  "chdir": str(self.store.root)}
        if array.dependency:
            found |= {"dependency": array.dependency, "kill-on-invalid-dep": "yes"}
        return {
            "time": int(found.pop("time")),
            "signal_delay_s": site.signal_s,
            "setup": site.setup or None,
            "stderr_to_stdout": True,
            "use_srun": site.use_srun,
            "srun_args": [f"--cpus-per-task={need.cpus}"],  # not inherited since Slurm 22.05
            "wckey": None,
            "additional_parameters": {key: value is None or value for key, value in found.items()},
        }


def options(site: Cluster, need: Resources, runs: int) -> dict[str, str | None]:
    """Return sbatch's options for a job of some runs one after the other; None: a flag. Raises
    UserError for what the site's profile rules out."""
    if need.tasks > 1 and not site.use_srun:
        raise UserError(f"{site.name}: use_srun: false allows one task a job, asked for "
                        f"{need.tasks}")
    minutes = ceil(runs * need.minutes * site.time_factor)
    partition = site.gpu_partition if need.gpus and site.gpu_partition else site.partition
    named = {"partition": partition, "account": site.account, "qos": site.qos,
             "constraint": site.constraint, "reservation": site.reservation}
    found: dict[str, str | None] = {key: value for key, value in named.items() if value is not None}
    found |= {
        "time": str(minutes),
        "nodes": str(need.nodes),
        "ntasks-per-node": str(need.tasks // need.nodes),
        "cpus-per-task": str(need.cpus),
        "mem": f"{ceil(need.memory_gb * 1024)}MB",
        "signal": f"{'' if site.use_srun else 'B:'}USR2@{site.signal_s}",
        "requeue" if site.requeue else "no-requeue": None,
    }
    if need.gpus:
        kind = f"{site.gres_type}:" if site.gres_type else ""
        count = f"{kind}{need.gpus * need.tasks // need.nodes}"
        found[site.gpu_flag] = f"gpu:{count}" if site.gpu_flag == "gres" else count
    if site.exclusive:
        found["exclusive"] = None
    for key, value in site.extra.items():
        if value is not False:
            found[key] = None if value is True else str(value)
    return found


def arrays(packs: Sequence[Pack]) -> list[Array]:
    """Return packs of the same kind together, in as few arrays as their dependencies allow.

    Packs that wait for one task each of the same array get that task's index and start task by task
    (aftercorr); others share an array with those that wait for the same jobs (afterok).
    """
    groups: dict[tuple[object, ...], dict[tuple[str, ...], list[Pack]]] = {}
    for pack in packs:
        numbers = tuple(sorted(job["job_id"] for job in pack.after))
        upstream = numbers[0].partition("_")[0] if len(numbers) == 1 else ",".join(numbers)
        kind = (pack.need, pack.numerics, pack.root, pack.labels[0].partition("@")[0], upstream)
        groups.setdefault(kind, {}).setdefault(numbers, []).append(pack)
    found = []
    for group in groups.values():
        most = max(map(len, group.values()))
        if len(group) > 1 and len(group) >= most:
            for layer in range(most):
                some = {int(numbers[0].partition("_")[2]): packs[layer]
                        for numbers, packs in group.items() if len(packs) > layer}
                array = next(iter(group))[0].partition("_")[0]
                found.append(Array(some, f"aftercorr:{array}"))
            continue
        for numbers, some in group.items():
            waits = f"afterok:{':'.join(numbers)}" if numbers else ""
            for first in range(0, len(some), _LARGEST_ARRAY):
                part = some[first:first + _LARGEST_ARRAY]
                found.append(Array(dict(enumerate(part)), waits))
    return found


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as sbatch writes them: 0-3,7."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in found)


def mend(store: Store, job: Job) -> None:
    """Write what a job will look for, if its submitter was killed before it could."""
    pickle = JobPaths(store.job_folder(job), job["job_id"]).submitted_pickle
    if not pickle.exists():
        DelayedSubmission(run_job, str(store.root), list(job["keys"])).dump(pickle)
