"""`repro store gc`: delete from the store what nothing needs, all of it or down to a quota.

Never deleted: runs that a dvc.lock needs (of the working tree or of the last commit), that lie in
the workspace, that a living job or command carries or reads, that were asked for last (DVC may not
have recorded them yet; unfinished ones have checkpoints), whatever any of these was made from, and
damaged ones, about which `repro store verify` has something to say. With a quota the others go in
the order of their last use, until the store fits.

Checkpoints of finished runs and leftovers of jobs go always, and on command, never by itself, what
was set aside as damaged.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.pipeline import files, lockfiles, plans, snapshot
from repro.pipeline.holds import held
from repro.pipeline.launch import fleet_of
from repro.pipeline.status import state_of
from repro.pipeline.store import MANIFEST, QUARANTINE, Entry, Store
from repro.settings import Settings

FREE = "not needed, but within the quota"
_ABANDONED_S = 86_400.0
_DAMAGED = "damaged; see `repro store verify`"
_STATES = {"running": "its job is not over", "queued": "its job is not over",
           "unknown": "the queue cannot be read", "damaged": _DAMAGED}


@dataclass(frozen=True)
class Item:
    """A run, or another thing in the store. bytes: of its files. why: it is kept, or goes."""

    name: str
    key: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Collected:
    """deleted, kept: runs. other: paths that went beside them. freed: bytes given back (0 for what
    is hard-linked elsewhere too). left: bytes of the store afterwards. quota: bytes, None: none."""

    deleted: list[Item]
    other: list[str]
    kept: list[Item]
    freed: int
    left: int
    quota: int | None
    dry_run: bool

    def json(self) -> dict[str, Any]:
        return asdict(self)


def gc(
    settings: Settings, quota: int | None = None, dry_run: bool = False, set_aside: bool = True
) -> Collected:
    """Collect garbage in the store. quota: stop as soon as it has no more bytes than that. dry_run:
    only say what would go. set_aside: also what was set aside as damaged. Raises UserError when it
    cannot be known what a dvc.lock needs."""
    store = Store(settings.store)
    locked = lockfiles.keys(settings.root)
    with store.submitting():
        entries = {entry.key: entry for entry in store.entries()}
        needed = _needed(store, entries, settings.root, locked)
        other = {path: files.size(path) for path in _leftovers(store, entries, needed)
                 if set_aside or path.parent.name != QUARANTINE}
        left = files.size(store.root) - sum(other.values())
        deleted, kept, doomed = [], _unreadable(store, entries), list(other)
        for entry in sorted(entries.values(), key=_last_use):
            below = sum(size for path, size in other.items() if path.is_relative_to(entry.dir))
            size = files.size(entry.dir) - below
            if entry.key in needed or (quota is not None and left <= quota):
                kept.append(Item(_label(entry), entry.key, size, needed.get(entry.key, FREE)))
                continue
            deleted.append(Item(_label(entry), entry.key, size, "nothing needs it"))
            doomed.append(entry.dir)
            left -= size
        freed = sum(map(_freed, doomed))
        trash = _empty if dry_run else _take_out(store, doomed)
    trash()
    return Collected(deleted, list(map(str, other)), kept, freed, left, quota, dry_run)


def tidy(settings: Settings, say: Callable[[str], None]) -> None:
    """Collect garbage if the store has more bytes than the machine setting `quota` allows."""
    if settings.quota is None or files.size(settings.store) <= settings.quota:
        return
    try:
        found = gc(settings, settings.quota, set_aside=False)
        say(f"quota: {render(found).splitlines()[-1]}")
    except UserError as error:
        say(f"quota: nothing was deleted: {error}")


def render(found: Collected) -> str:
    """Return what went, or would go, one line each; what is kept and why; the sums."""
    verb = "would delete" if found.dry_run else "deleted"
    lines = [f"{verb} {item.name}, {_mb(item.bytes)}: {item.why}" for item in found.deleted]
    lines += [f"{verb} {path}" for path in found.other]
    reasons: dict[str, list[int]] = {}
    for item in found.kept:
        reasons.setdefault(item.why, []).append(item.bytes)
    lines += [f"kept {len(sizes)} runs, {_mb(sum(sizes))}: {why}"
              for why, sizes in sorted(reasons.items())]
    lines.append(f"{verb} {len(found.deleted)} runs and {len(found.other)} other items, "
                 f"{_mb(found.freed)} freed; {len(found.kept)} runs kept, the store has "
                 f"{_mb(found.left)}")
    if found.quota is not None and found.left > found.quota:
        lines.append(f"still {_mb(found.left - found.quota)} over the quota: all of it is needed")
    return "\n".join(lines)


def _take_out(store: Store, doomed: Iterable[Path]) -> Callable[[], None]:
    """Take paths out of the store at once, by renaming, so that a kill leaves no half of a run;
    return what deletes them, which needs no lock."""
    trash = store.root / "trash" / uuid.uuid4().hex
    trash.mkdir(parents=True)
    for number, path in enumerate(doomed):
        with suppress(FileNotFoundError):  # set aside, or forgotten, meanwhile
            path.rename(trash / str(number))
    return lambda: shutil.rmtree(store.root / "trash", ignore_errors=True)


def _empty() -> None:
    return None


def _needed(
    store: Store, entries: dict[str, Entry], root: Path, locked: dict[str, str]
) -> dict[str, str]:
    """Return key -> why that run must stay; of several reasons the most telling."""
    fleet = fleet_of(store)
    needed = {run.key: "asked for last" for run in plans.read(store)}
    needed |= {key: "in the workspace" for key in _in_workspace(root)}
    needed |= {key: "a command at work needs it" for key in held(store)}
    needed |= {key: f"dvc.lock of {paper}" for key, paper in locked.items()}
    for entry in entries.values():
        try:
            for name in ("done", "run"):
                entry.read(name)
            state = state_of(entry, fleet)
        except UserError:
            state = "damaged"
        if state in _STATES:
            needed[entry.key] = _STATES[state]
    for key in _inputs(entries, needed):
        needed.setdefault(key, "a run that is kept was made from it")
    return needed


def _leftovers(store: Store, entries: dict[str, Entry], needed: dict[str, str]) -> list[Path]:
    """Return what no run needs: old checkpoints, damaged entries, files of jobs, copies of code."""
    fleet = fleet_of(store)
    living = [job for job in store.jobs() if fleet.look(job).state != "gone"]
    names = {name for job in living for name in (job["name"], job["folder"])}
    found = [entry.dir / name for key, entry in entries.items() if key in needed and entry.is_done
             for name in ("ckpt", "out.pull")]
    found += [folder for folder in store.folders() if _is_abandoned(folder)]
    found += (store.root / QUARANTINE).glob("*")
    found += [path for path in (store.root / "jobs").iterdir()
              if path.name.removesuffix(".json") not in names]
    roots = {(entry.read("request") or {}).get("root") for key, entry in entries.items()
             if not entry.is_done and key in needed}
    found += [path for path in snapshot.folder(store).glob("*") if str(path) not in roots]
    return [path for path in found if path.exists()]


def _unreadable(store: Store, entries: dict[str, Entry]) -> list[Item]:
    """Return the runs whose request cannot be read, so that nobody knows what they are."""
    known = {entry.dir for entry in entries.values()}
    return [Item(f"? ({folder.name})", "", files.size(folder), _DAMAGED)
            for folder in store.folders()
            if folder not in known and (folder / "done.json").exists()]


def _is_abandoned(folder: Path) -> bool:
    """Return whether a directory never became a run: a pull that was broken off for good."""
    with suppress(OSError):
        old = time.time() - folder.stat().st_mtime > _ABANDONED_S
        return (old and not any((folder / name).exists() for name in ("request.json", "done.json"))
                and not files.is_locked(folder / "exec.lock"))
    return False


def _label(entry: Entry) -> str:
    return f"{(entry.read('request') or {}).get('label', '?')} ({entry.dir.name})"


def _last_use(entry: Entry) -> float:
    """Return when a run was last of use, in seconds; of an unfinished one, when it last changed."""
    for name in ("done.json", "progress.json", "request.json"):
        with suppress(OSError):
            return (entry.dir / name).stat().st_mtime
    return 0.0


def _inputs(entries: dict[str, Entry], keys: Iterable[str]) -> set[str]:
    """Return the keys of all runs that some runs read, directly or not."""
    found: set[str] = set()
    todo = [key for key in keys if key in entries]
    while todo:
        request = entries[todo.pop()].read("request") or {}
        for inputs in request.get("ingredients", {}).get("inputs", {}).values():
            fresh = set(inputs) - found
            todo += [key for key in fresh if key in entries]
            found |= fresh
    return found


def _in_workspace(root: Path) -> Iterator[str]:
    """Yield the keys of the artefacts below papers/*/out."""
    for folder in root.glob("papers/*/out"):
        for base, _, names in os.walk(folder):  # which may change meanwhile
            if MANIFEST in names:
                with suppress(UserError):
                    yield lockfiles.key_of(files.read_json(Path(base) / MANIFEST))


def _freed(path: Path) -> int:
    """Return the bytes that deleting a path gives back: those with no link elsewhere."""
    found = [str(path)] if path.is_file() else [
        os.path.join(base, name) for base, _, names in os.walk(path) for name in names]
    total = 0
    for file in found:
        with suppress(FileNotFoundError):
            stat = os.lstat(file)
            total += stat.st_size if stat.st_nlink == 1 else 0
    return total


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
