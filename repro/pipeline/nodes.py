"""What `repro doctor` asks of a cluster: its commands, and one small job that looks around."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro.config import resolved
from repro.errors import UserError
from repro.pipeline import files, processes
from repro.pipeline.jobs import Job
from repro.pipeline.launch import fleet_of, launcher_of
from repro.pipeline.queue import Queue
from repro.pipeline.store import Store
from repro.schema import Resources
from repro.settings import Settings

_WAIT_S = 120.0
_SKEW_S = 5.0
_PROBE = Resources(minutes=5, memory_gb=1.0)
Say = Callable[[str, str, str, str], None]  # name, level, found, advice


def look_around(settings: Settings, say: Say) -> None:
    """Say what was found: Slurm's commands, accounting, and what a job sees on a node."""
    try:
        store = Store(settings.store)
        fleet = fleet_of(store)
        launcher = launcher_of(settings, fleet)
    except UserError as error:
        say("cluster", "error", str(error), "mend the cluster file")
        return
    queue = launcher.queue
    queue.refresh(force=True)
    if queue.trouble:
        say("slurm", "error", queue.trouble, "call this where squeue works")
        return
    say("slurm", "ok", f"squeue answers; {queue.ours()} jobs of ours in the queue", "")
    reply = queue.run("sacct", "--noheader", "--allocations", "--jobs=1")
    say("accounting", "ok" if not reply.code else "warning",
        "sacct answers" if not reply.code else reply.reason,
        "" if not reply.code else "fine: the queue is enough, reasons of old jobs are not known")
    token = store.root / "jobs" / f".doctor.{os.getpid()}.lock"
    try:
        with files.locked(token):
            job = launcher.submit_single("doctor", _PROBE, probe, str(token))
            report = _wait(queue, store, job)
        _judge(report, job, store, say)
    except UserError as error:
        say("job", "error", str(error), "mend the cluster file")
    finally:
        token.unlink(missing_ok=True)


def probe(token: str) -> None:
    """Body of the job: write down, beside its log, what a node sees. token: a locked file."""
    seen = {
        "node": os.environ.get("SLURMD_NODENAME", processes.host()),
        "python": platform.python_version(),
        "locked": files.is_locked(Path(token)),
        "versions": resolved.versions(),
        "time": time.time(),
    }
    files.write_json(Path(os.environ["SUBMITIT_FOLDER"]) / "seen.json", seen)


def _wait(queue: Queue, store: Store, job: Job) -> dict[str, Any] | None:
    """Return what the job wrote, None if it wrote nothing; give up after two minutes."""
    path, end = store.job_folder(job) / "seen.json", time.monotonic() + _WAIT_S
    while time.monotonic() < end and not path.exists() and queue.look(job).state != "gone":
        time.sleep(1)
        queue.refresh()
    time.sleep(1)
    return files.read_json(path)


def _judge(seen: dict[str, Any] | None, job: Job, store: Store, say: Say) -> None:
    number, folder = job["job_id"], store.job_folder(job)
    if seen is None:
        say("job", "error", f"job {number} left nothing in {folder}",
            "is the store on a file system of all nodes, and Python there? or is the queue long? "
            f"see its log in that directory, and `squeue --job={number}`")
        return
    say("job", "ok", f"job {number} ran on {seen['node']}, Python {seen['python']}", "")
    say("locks between nodes", "ok" if seen["locked"] else "error",
        "seen" if seen["locked"] else f"{seen['node']} does not see a lock held here",
        "" if seen["locked"] else "mount the store's file system with locks (flock), or set "
                                  "another store")
    other = {name: version for name, version in resolved.versions().items()
             if seen["versions"].get(name) != version}
    say("versions on the nodes", "error" if other else "ok",
        ", ".join(f"{name} {seen['versions'].get(name)} instead of {version}"
                  for name, version in other.items()) or "as here",
        "install requirements.lock there" if other else "")
    skew = abs(seen["time"] - (folder / "seen.json").stat().st_mtime)
    if skew > _SKEW_S:
        say("clocks", "warning", f"{seen['node']} and the file server are {skew:.0f} s apart",
            "times shown will be wrong; runs will not")
    store.forget([job])
