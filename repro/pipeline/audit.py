"""`repro store verify`: read every byte of the store again; say what is not as it was stored."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.naming import nearest
from repro.pipeline import files, records
from repro.pipeline.launch import LAUNCHERS
from repro.pipeline.spec import SHORT, digest
from repro.pipeline.store import CorruptedEntry, Entry, Store

RECORDS = ("job", "intent", "failed", "interrupted", "progress")
_THREADS = 4  # hashing leaves Python's lock; more only make a disk seek


@dataclass(frozen=True)
class Damage:
    """A run that is not as it was stored. todo: what to do, or what was done about it."""

    run: str
    folder: str
    what: str
    todo: str


@dataclass(frozen=True)
class Audit:
    """runs, files, bytes: finished runs that were read through. unfinished: runs of which only the
    records were looked at. gone: runs that a finished one was made from and that are no longer
    there, which is no damage."""

    runs: int
    files: int
    bytes: int
    unfinished: int
    gone: int
    damaged: list[Damage]

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Seen:
    label: str
    folder: Path
    finished: bool = False
    files: int = 0
    bytes: int = 0
    inputs: tuple[str, ...] = ()
    wrong: str = ""


def audit(store: Store, set_aside: bool = False) -> Audit:
    """Read every finished run: files against digests, records against the key, inputs against
    what is there. set_aside: move damaged ones to <store>/quarantine, so that they are made again.
    """
    with ThreadPoolExecutor(min(_THREADS, len(os.sched_getaffinity(0)))) as pool:
        seen = [one for one in pool.map(lambda f: _look(store, f), store.folders()) if one]
    damaged = [Damage(one.label, str(one.folder), one.wrong, _todo(store, one, set_aside))
               for one in seen if one.wrong]
    whole = [one for one in seen if one.finished and not one.wrong]
    needed = {key for one in whole for key in one.inputs}
    return Audit(
        runs=len(whole),
        files=sum(one.files for one in whole),
        bytes=sum(one.bytes for one in whole),
        unfinished=sum(not one.finished and not one.wrong for one in seen),
        gone=sum(not store.entry(key).is_done for key in needed),
        damaged=damaged,
    )


def render(found: Audit) -> str:
    """Return a line for each damaged run, and the sums."""
    lines = [f"damaged: {one.run}: {one.what}; {one.todo}" for one in found.damaged]
    return "\n".join([*lines, f"{found.runs} finished runs are as stored ({found.files} files, "
                              f"{found.bytes / 1e6:,.1f} MB read), {found.unfinished} unfinished, "
                              f"{len(found.damaged)} damaged"])


def _look(store: Store, folder: Path) -> _Seen | None:
    """Return what there is to say about a run's directory; None when it went away meanwhile."""
    label = f"? ({folder.name})"
    finished = (folder / "done.json").exists()
    inputs: tuple[str, ...] = ()
    sizes: list[int] = []
    try:
        entry = store.named(folder)
        request = entry.read("request") or {}
        label, made_of = request["label"], request["ingredients"]
        inputs = tuple(key for keys in made_of["inputs"].values() for key in keys)
        for name in RECORDS:
            launcher = (entry.read(name) or {}).get("launcher", LAUNCHERS[0])
            if launcher not in LAUNCHERS:
                raise CorruptedEntry(f"{folder / name}.json: launcher: {launcher!r}"
                                     f"{nearest(launcher, LAUNCHERS)}")
        if finished:
            entry.verify(full=True)
            sizes = _check_record(entry)
            _check_inputs(store, entry, inputs)
    except UserError as error:
        if not folder.exists():
            return None
        if not (folder / "request.json").exists() and not finished:
            return None  # being made, or only a drill's plan
        return _Seen(label, folder, finished, wrong=str(error))
    return _Seen(label, folder, finished, len(sizes), sum(sizes), inputs)


def _check_record(entry: Entry) -> list[int]:
    """Return the sizes of a run's files. Raises CorruptedEntry unless run.json tells of this key
    and these files."""
    path = entry.dir / "run.json"
    run, done = entry.read("run"), entry.read("done")
    if run is None or done is None:
        raise CorruptedEntry(f"{path}: missing")
    if "ingredients" not in run or run.get("key") != entry.key or \
            digest(run["ingredients"]) != entry.key:
        raise CorruptedEntry(f"{path}: its ingredients do not have the key {entry.key[:SHORT]}")
    if run.get("outputs") != {name: facts["sha256"] for name, facts in done["files"].items()}:
        raise CorruptedEntry(f"{path}: outputs: not the digests of done.json")
    return [facts["bytes"] for facts in done["files"].values()]


def _check_inputs(store: Store, entry: Entry, inputs: tuple[str, ...]) -> None:
    """Raise CorruptedEntry if the directory of an input holds another run than it should."""
    for key in inputs:
        path = store.entry(key).dir / "request.json"
        with suppress(UserError):  # of its own entry
            request = files.read_json(path)
            if request is not None and records.check("request", request, path)["key"] != key:
                raise CorruptedEntry(f"{entry.dir}/request.json: input {key} is not the run in "
                                     f"{path.parent}")


def _todo(store: Store, one: _Seen, set_aside: bool) -> str:
    if files.is_locked(one.folder / "exec.lock"):
        return "it is being made again now"
    if set_aside:
        return f"{store.quarantine(one.folder)}; the next `repro run` or `dvc repro` makes it again"
    return "`repro store verify --set-aside` moves it away, so that it is made again"
