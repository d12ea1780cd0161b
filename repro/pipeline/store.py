"""Finished runs by key, and all that is known of unfinished ones.

    <store>/<k2>/<key16>/   request.json  what to run (the key's ingredients)      submitter
                            intent.json   job name, written before submitting       submitter
                            job.json      the job that carries the run              submitter
                            exec.lock     held by the one process that runs it      job
                            starts.log    one line a start                          job
                            progress.json step, loss, tokens/s                      job
                            ckpt/ log/    checkpoints, output                       job
                            out/          the artefact, read-only, with MANIFEST.json
                            run.json done.json | failed.json | interrupted.json     job, at the end
                            (the time of done.json is that of the run's last use)
    <store>/jobs/           one record per living job
    <store>/holds/          keys that a living command relies on: gc leaves them
    <store>/quarantine/     entries whose bytes no longer match their digests
    <store>/submit.lock     held while anything is submitted
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Protocol

from repro.errors import UserError
from repro.pipeline import files, records
from repro.pipeline.spec import SHORT, digest

MANIFEST = "MANIFEST.json"
RUNS = "runs.json"  # of a stage in the workspace: run -> sha256 of its manifest
QUARANTINE = "quarantine"
ENDS = ("done", "failed", "interrupted")
_AWAY = "`repro store verify --set-aside` moves it out of the way"


class Named(Protocol):
    """A run by its key, and who asked for it: `spec.RunSpec`, or a run of a remote."""

    key: str
    label: str
    paper: str
    profile: str
    arm: str
    ingredients: dict[str, Any]


class CorruptedEntry(UserError):
    """A finished run whose files do not have the digests they were stored with."""


class Entry:
    """One run's directory. Reading never raises for a file that is not there (yet)."""

    def __init__(self, store: Path, key: str) -> None:
        self.key = key
        self.dir = store / key[:2] / key[:SHORT]

    @property
    def out(self) -> Path:
        return self.dir / "out"

    @property
    def checkpoints(self) -> Path:
        return self.dir / "ckpt"

    @property
    def log(self) -> Path:
        return self.dir / "log" / "run.log"

    @property
    def exec_lock(self) -> Path:
        return self.dir / "exec.lock"

    @property
    def starts(self) -> Path:
        return self.dir / "starts.log"

    def read(self, name: str) -> dict[str, Any] | None:
        """Return request, intent, job, progress, run, done, failed or interrupted .json. Raises
        UserError with file and field when it is not what such a file holds."""
        path = self.dir / f"{name}.json"
        try:
            data = files.read_json(path)
            return None if data is None else records.check(name, data, path)
        except UserError as error:
            raise UserError(f"{error}; {_AWAY}") from error

    def write(self, name: str, data: dict[str, Any], durable: bool = True) -> None:
        files.write_json(self.dir / f"{name}.json", data, durable)

    def clear(self, *names: str) -> None:
        for name in names:
            (self.dir / f"{name}.json").unlink(missing_ok=True)

    def end(self) -> str | None:
        """Return how the run ended (`done`, `failed`, `interrupted`), None when it has not."""
        return next((end for end in ENDS if (self.dir / f"{end}.json").exists()), None)

    @property
    def is_done(self) -> bool:
        return (self.dir / "done.json").exists()

    def executing(self) -> bool:
        """Return whether a process is running it now, whoever started that."""
        return files.is_locked(self.exec_lock)

    def used(self) -> None:
        """Note that a finished run was of use now: those used last are kept longest."""
        with suppress(OSError):  # of another user, or just deleted
            os.utime(self.dir / "done.json")

    def verify(self, full: bool = False) -> None:
        """Raise CorruptedEntry unless out/ holds exactly the stored files.

        Size and modification time are compared; the sha256 where those differ, or of all if `full`.
        """
        stored = self._stored()
        try:
            present = [n for n in files.tree(self.out) if n != MANIFEST]
            odd = sorted(set(present) ^ set(stored))
            if odd:
                kind = "missing" if odd[0] in stored else "not part of the run"
                raise CorruptedEntry(f"{self.out / odd[0]}: {kind}")
            for name, facts in stored.items():
                stat = (self.out / name).stat()
                same = [stat.st_size, stat.st_mtime_ns] == [facts["bytes"], facts.get("mtime_ns")]
                if (full or not same) and files.sha256(self.out / name) != facts["sha256"]:
                    raise CorruptedEntry(f"{self.out / name}: sha256 is not the one stored "
                                         f"({facts['sha256'][:12]}...)")
            manifest = (self.out / MANIFEST).read_bytes()
        except PermissionError as error:
            raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from error
        except OSError as error:  # gone meanwhile, or a bad disk
            raise CorruptedEntry(f"{error.filename or self.out}: {error.strerror}") from error
        except CorruptedEntry:
            raise
        except UserError as error:
            raise CorruptedEntry(str(error)) from error
        expected = _manifest(self.key, {n: facts["sha256"] for n, facts in stored.items()})
        if manifest != files.as_json(expected).encode():
            raise CorruptedEntry(f"{self.out / MANIFEST}: does not match done.json")

    def _stored(self) -> dict[str, dict[str, Any]]:
        """Return the files of a finished run with their facts. Raises CorruptedEntry."""
        path = self.dir / "done.json"
        try:
            done = records.check("done", files.read_json(path), path)
        except UserError as error:
            raise CorruptedEntry(str(error)) from error
        if done["key"] != self.key:
            raise CorruptedEntry(f"{path}: key: must be {self.key}, not {done['key']}")
        return done["files"]

    def finish(
        self, scratch: Path, record: dict[str, Any], expected: Mapping[str, str] | None = None
    ) -> None:
        """Seal the artefact in `scratch` and make it this run's: digests, read-only, renamed,
        run.json, done.json. Nothing counts as finished before the last of these.

        expected: file -> sha256, where they are known. Raises CorruptedEntry if it is another.
        """
        names = [n for n in files.tree(scratch) if n != MANIFEST]
        if not names:
            raise UserError(f"{record.get('label', self.dir)}: the stage left nothing in its "
                            "artefact directory")
        digests = {name: files.sha256(scratch / name) for name in names}
        if expected is not None and digests != dict(expected):
            odd = sorted(set(digests.items()) ^ set(expected.items()))[0][0]
            raise CorruptedEntry(f"{scratch / odd}: sha256 is not the one in its manifest")
        files.write_json(scratch / MANIFEST, _manifest(self.key, digests))
        for name in (*names, MANIFEST):
            (scratch / name).chmod(0o444)
            _force_to_disk(scratch / name)
        files.replace_tree(scratch, self.out)
        facts = {}
        for name in names:
            stat = (self.out / name).stat()
            facts[name] = {"sha256": digests[name], "bytes": stat.st_size,
                           "mtime_ns": stat.st_mtime_ns}
        self.write("run", {**record, "outputs": digests})
        self.clear("failed", "interrupted")
        self.write("done", {"key": self.key, "files": facts})


class Store:
    """All runs below one directory, shared by every workspace that names it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            (root / "jobs").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(f"store {root}: cannot be made: {error}") from error

    def entry(self, key: str) -> Entry:
        return Entry(self.root, key)

    def entries(self) -> Iterator[Entry]:
        """Yield every run directory that has a readable request; `repro store verify` tells of
        the others."""
        for folder in self.folders():
            with suppress(UserError):
                yield self.named(folder)

    def folders(self) -> list[Path]:
        """Return every run directory."""
        return sorted(self.root.glob(f"??/{'[0-9a-f]' * SHORT}"))

    def named(self, folder: Path) -> Entry:
        """Return the run of a directory. Raises UserError unless its request says which."""
        path = folder / "request.json"
        request = records.check("request", files.read_json(path), path)
        check_request(request, entry := self.entry(request["key"]))
        if entry.dir != folder:
            raise UserError(f"{path}: key: {request['key'][:SHORT]} belongs elsewhere")
        return entry

    def submitting(self) -> AbstractContextManager[bool]:
        """Hold the lock under which jobs are submitted: seconds at most, so wait for it."""
        return files.locked(self.root / "submit.lock")

    def prepare(self, spec: Named, root: Path) -> Entry:
        """Write the run's request (only while no copy of it lives). root: of the suite's code."""
        entry = self.entry(spec.key)
        for folder in (entry.dir, entry.checkpoints, entry.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        entry.write("request", {
            "key": spec.key,
            "label": spec.label,
            "paper": spec.paper,
            "profile": spec.profile,
            "arm": spec.arm,
            "root": str(root),
            "ingredients": spec.ingredients,
        })
        return entry

    def jobs(self) -> list[dict[str, Any]]:
        """Return the records of jobs not yet forgotten: living ones, and dead ones nobody saw."""
        found = []
        for path in sorted((self.root / "jobs").glob("*.json")):
            with suppress(UserError):
                if (job := files.read_json(path)) is not None:
                    found.append(records.check("job", job, path))
        return found

    def record(self, job: dict[str, Any]) -> None:
        """Note a submitted job with its runs, and in the list of jobs."""
        for key in job["keys"]:
            self.entry(key).write("job", job, durable=False)
        files.write_json(self.root / "jobs" / f"{job['name']}.json", job, durable=False)

    def forget(self, jobs: Iterable[dict[str, Any]]) -> None:
        """Take jobs that ended off the list. The scheduler's files of one that left a run without
        an end stay (they may say why), as do those that other jobs share."""
        over = []
        for job in jobs:
            (self.root / "jobs" / f"{job['name']}.json").unlink(missing_ok=True)
            if all(self.entry(key).end() for key in job["keys"]):
                over.append(self.job_folder(job))
        if over:
            shared = {self.job_folder(job) for job in self.jobs()}
            for folder in {*over} - shared:
                files.remove(folder)

    def job_folder(self, job: dict[str, Any]) -> Path:
        """Return where the scheduler keeps a job's own files; the jobs of an array share one."""
        return self.root / "jobs" / job["folder"]

    def checked(self, key: str, full: bool = False) -> bool:
        """Return whether a run is finished and intact.

        A damaged one is moved to quarantine, and CorruptedEntry says so; then it is not there.
        """
        entry = self.entry(key)
        if not entry.is_done:
            return False
        try:
            entry.verify(full)
        except CorruptedEntry as error:
            raise CorruptedEntry(f"{error}; {self.quarantine(entry.dir)}") from error
        entry.used()
        return True

    def quarantine(self, folder: Path) -> str:
        """Move a run's directory out of the way; return what was done, in words."""
        target = self.root / QUARANTINE / f"{folder.name}.{time.time_ns()}"
        target.parent.mkdir(exist_ok=True)
        try:
            os.rename(folder, target)
        except FileNotFoundError:
            return "gone meanwhile"
        except OSError as error:
            raise UserError(f"{folder}: damaged, and cannot be moved to {target}: "
                            f"{error.strerror}") from error
        return f"moved to {target}"

    def link(self, key: str, target: Path) -> None:
        """Make `target` hold the artefact by hard link; no-op when it does. Every byte is checked
        before it is linked. Raises CorruptedEntry, after quarantine, if one is not as stored.
        """
        entry = self.entry(key)
        linked = _same_files(entry.out, target)
        if not self.checked(key, full=not linked):
            raise CorruptedEntry(f"{entry.dir}: the finished run is not there")
        if not linked:
            files.link_tree(entry.out, target)

    def seed_from(self, spec: Named, folder: Path, root: Path) -> bool:
        """Take a finished artefact back from a workspace, by hard link; return whether it was.

        The directory must carry a manifest with this run's key, and every file its digest; else
        nothing is taken. Raises UserError if the key fits but a file does not.
        """
        try:
            manifest = files.read_json(folder / MANIFEST)
        except UserError:
            return False
        if not isinstance(manifest, dict) or manifest.get("key") != spec.key:
            return False
        digests = records.check_fields({"files": records.TEXTS}, manifest,
                                       folder / MANIFEST)["files"]
        for name in sorted({*digests, *files.tree(folder)} - {MANIFEST}):
            if name not in digests or not (folder / name).is_file():
                kind = "not in its manifest" if name not in digests else "missing"
                raise CorruptedEntry(f"{folder / name}: {kind}")
            if files.sha256(folder / name) != digests[name]:
                raise CorruptedEntry(f"{folder / name}: sha256 is not the one in its manifest")
        entry = self.entry(spec.key)
        entry.dir.mkdir(parents=True, exist_ok=True)
        with files.locked(entry.exec_lock, wait_s=0) as held:
            if not held or entry.is_done:
                return entry.is_done
            self.prepare(spec, root)
            scratch = entry.dir / "out.tmp"
            files.remove(scratch)
            files.link_tree(folder, scratch)
            entry.finish(scratch, {"key": spec.key, "label": spec.label,
                                   "ingredients": spec.ingredients, "seeded_from": str(folder)},
                         digests)
        return True


def check_request(request: dict[str, Any], entry: Entry) -> None:
    """Raise UserError unless a request's ingredients have the key of its directory."""
    if digest(request["ingredients"]) != request["key"] or request["key"] != entry.key:
        raise UserError(f"{entry.dir}/request.json: its content does not have the key it names")


def _manifest(key: str, digests: dict[str, str]) -> dict[str, Any]:
    return {"key": key, "files": dict(sorted(digests.items()))}


def _same_files(source: Path, target: Path) -> bool:
    """Return whether both trees are the same inodes."""
    if not (target / MANIFEST).is_file() or not source.is_dir():
        return False
    names = files.tree(source)
    return names == files.tree(target) and all(
        os.path.samefile(source / name, target / name) for name in names
    )


def _force_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in files.FULL:
            raise UserError(files.disk_full(path)) from error
        raise
    finally:
        os.close(handle)
