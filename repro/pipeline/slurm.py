"""Jobs on a Slurm cluster, submitted with submitit: one array per call and kind of pack."""

import os
import re
import shlex
import sys
import uuid
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import SlurmExecutor, SlurmJob

from repro.errors import UserError
from repro.pipeline import files
from repro.pipeline.cluster import Cluster
from repro.pipeline.environment import variables
from repro.pipeline.jobs import Busy, Job, Pack
from repro.pipeline.queue import Commands, Queue
from repro.pipeline.slurm_job import run_job
from repro.pipeline.store import Store

_TITLE = 120
# What sbatch says when it may take the same job later; anything else is a refusal.
_LATER = re.compile(
    r"unable to contact|connection refused|timed out|no answer in|temporarily|try again|"
    r"communication|submit ?limit|submitjobs|max ?jobs|job dependency problem|shutdown|"
    r"slurmdbd|zero bytes|socket", re.IGNORECASE)


class ArrayExecutor(SlurmExecutor):
    """submitit's executor, always with an array, and `sbatch` called through our one door."""

    def __init__(self, folder: Path, run: Commands, python: str) -> None:
        super().__init__(folder, python=python)
        self.run = run

    @classmethod
    def affinity(cls) -> int:
        return 2  # whether there is a Slurm here is for sbatch to say

    def _internal_process_submissions(
        self, delayed_submissions: list[DelayedSubmission]
    ) -> list[SlurmJob[Any]]:
        pickles = []
        for delayed in delayed_submissions:
            delayed.set_timeout(self.parameters["time"], self.max_num_timeout)
            pickles.append(self.folder / f"{uuid.uuid4().hex}.pkl")
            delayed.dump(pickles[-1])
        self.parameters["map_count"] = len(delayed_submissions)
        first = self._submit_command(self._submitit_command_str)
        jobs = [SlurmJob(folder=self.folder, job_id=f"{first.job_id}_{index}")
                for index in range(len(pickles))]
        for job, pickle in zip(jobs, pickles, strict=True):
            job.paths.move_temporary_file(pickle, "submitted_pickle")
        return jobs

    def _submit_command(self, command: str) -> SlurmJob[Any]:
        script = self.folder / "submission.sh"
        script.write_text(self._make_submission_file_text(command, ""))
        reply = self.run("sbatch", str(script))
        if reply.code:
            kind = Busy if _LATER.search(reply.error) else UserError
            raise kind(f"sbatch: {reply.reason}")
        number = self._get_job_id_from_submission_command(reply.out)
        return SlurmJob(folder=self.folder, job_id=number)


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
        free = self.cluster.max_jobs - self.queue.waiting_or_running()
        return list(packs[: max(0, free)])

    def submit(self, packs: Sequence[Pack]) -> list[Job]:
        jobs = []
        for array in _arrays(packs):
            jobs += self._submit_array(array)
        return jobs

    def _submit_array(self, packs: Sequence[Pack]) -> list[Job]:
        title = f"{_common_title(packs)}.{uuid.uuid4().hex[:16]}"
        intents = []
        for index, pack in enumerate(packs):
            intent = {**pack.intent(self.name, title), "title": title, "index": index,
                      "user": os.getuid()}
            for key in pack.keys:
                self.store.entry(key).write("intent", intent, durable=False)
            intents.append(intent)
        folder = self.store.job_folder(intents[0])
        folder.mkdir(mode=0o700)
        python = shlex.join([*self.cluster.container, "env", *self._settings(packs[0]),
                             self.cluster.python or sys.executable])
        executor = ArrayExecutor(folder, self.queue.run, python)
        executor.update_parameters(**self.parameters(packs, title, folder))
        try:
            submitted = executor._internal_process_submissions(
                [DelayedSubmission(run_job, str(self.store.root), list(pack.keys))
                 for pack in packs])
        except Busy:
            raise
        except UserError as error:
            files.remove(folder)
            raise UserError(f"{title}: refused by {self.cluster.name}: {error}") from error
        jobs = [{**intent, "job_id": job.job_id}
                for intent, job in zip(intents, submitted, strict=True)]
        for job in jobs:
            self.store.record(job)
            self.queue.expect(job)
        return jobs

    def parameters(self, packs: Sequence[Pack], title: str, folder: Path) -> dict[str, Any]:
        """Return what submitit (and through it sbatch) is told about an array of equal packs."""
        site, need = self.cluster, packs[0].need
        minutes = max(len(pack.keys) for pack in packs) * need.minutes * site.time_factor
        partition = site.gpu_partition if need.gpus and site.gpu_partition else site.partition
        further: dict[str, Any] = {"chdir": str(self.store.root), "requeue": True}
        if not site.requeue:
            further = {"chdir": str(self.store.root), "no-requeue": True}
        if need.gpus:
            kind = f"{site.gres_type}:" if site.gres_type else ""
            count = need.gpus * need.tasks // need.nodes
            further[site.gpu_flag] = f"{'gpu:' if site.gpu_flag == 'gres' else ''}{kind}{count}"
        if packs[0].after:
            further |= {"dependency": _afterok(packs[0].after), "kill-on-invalid-dep": "yes"}
        if site.reservation:
            further["reservation"] = site.reservation
        if not site.use_srun:
            further["signal"] = f"B:USR2@{site.signal_s}"
        given = {"partition": partition, "account": site.account, "qos": site.qos,
                 "constraint": site.constraint, "exclusive": site.exclusive or None,
                 "setup": site.setup or None}
        return {name: value for name, value in given.items() if value is not None} | {
            "job_name": title,
            "time": ceil(minutes),
            "nodes": need.nodes,
            "ntasks_per_node": need.tasks // need.nodes,
            "cpus_per_task": need.cpus,
            "mem": f"{ceil(need.memory_gb * 1024)}MB",
            "signal_delay_s": site.signal_s,
            "array_parallelism": site.array_throttle or len(packs),
            "stderr_to_stdout": True,
            "use_srun": site.use_srun,
            "srun_args": [f"--cpus-per-task={need.cpus}"],  # not inherited since Slurm 22.05
            "wckey": None,
            "additional_parameters": site.extra | further,
        }

    def _settings(self, pack: Pack) -> list[str]:
        """Return arguments of `env`: after the site's setup lines, so that these do not win."""
        found: list[str] = []
        for name, value in {**self.cluster.env, **variables(pack, self.assets)}.items():
            found += ["-u", name] if value is None else []
        return found + [f"{name}={value}" for name, value in
                        {**self.cluster.env, **variables(pack, self.assets)}.items()
                        if value is not None]


def mend(store: Store, job: Job) -> None:
    """Write what a job will look for, if its submitter was killed before it could."""
    folder = store.job_folder(job)
    pickle = JobPaths(folder, job["job_id"]).submitted_pickle
    if not pickle.exists():
        DelayedSubmission(run_job, str(store.root), list(job["keys"])).dump(pickle)


def _arrays(packs: Sequence[Pack]) -> list[list[Pack]]:
    """Return packs that ask for the same and wait for the same, together; in the order given."""
    groups: dict[tuple[object, ...], list[Pack]] = {}
    for pack in packs:
        after = tuple(sorted(job["job_id"] for job in pack.after))
        same = (pack.need, pack.numerics, pack.root, _stage(pack), after)
        groups.setdefault(same, []).append(pack)
    return list(groups.values())


def _stage(pack: Pack) -> str:
    """Return paper and stage of a pack: the start of its title."""
    return pack.title.partition("@")[0]


def _afterok(jobs: Sequence[Job]) -> str:
    return "afterok:" + ":".join(sorted({job["job_id"] for job in jobs}))


def _common_title(packs: Sequence[Pack]) -> str:
    """Return the titles of the packs of one array as one."""
    first, *others = [pack.title for pack in packs]
    text = first if not others else f"{os.path.commonprefix([first, *others])}x{len(packs)}"
    return text[:_TITLE]
