"""`repro store push` and `pull`: finished runs between this store and a remote.

Asking twice is a no-op, and what was broken off goes on where it stood: files are stored by their
SHA-256, and a run is there only when its own file, written last, is. Any number of machines may
push and pull at the same time. The same key with other bytes is reported, never overwritten.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from repro.errors import UserError
from repro.pipeline import files, parcels
from repro.pipeline.holds import Hold
from repro.pipeline.parcels import Parcel
from repro.pipeline.records import is_key
from repro.pipeline.remotes import Remote
from repro.pipeline.store import CorruptedEntry, Entry, Store

JOBS = 4  # runs at a time

Say = Callable[[str], None]


@dataclass
class Exchange:
    """How it went. moved: labels of the runs that were copied; there: runs that were there before;
    absent: keys that the side they were wanted from does not have; refused: one line each."""

    moved: list[str] = field(default_factory=list)
    there: int = 0
    absent: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0

    def json(self) -> dict[str, Any]:
        return asdict(self)


def render(found: Exchange, verb: str) -> str:
    """Return a line for everything that was refused, and the sums. verb: pushed or pulled."""
    lines = [f"refused: {line}" for line in found.refused]
    absent = f", {len(found.absent)} not there" if found.absent else ""
    return "\n".join([*lines, f"{verb} {len(found.moved)} runs ({found.files} files, "
                              f"{found.bytes / 1e6:,.1f} MB); {found.there} were there already"
                              f"{absent}, {len(found.refused)} refused"])


def push(
    store: Store, remote: Remote, keys: Iterable[str] | None = None, say: Say = lambda _: None
) -> Exchange:
    """Upload finished runs that the remote lacks, of some keys or all; read every byte before."""
    chosen = [entry.key for entry in store.entries() if entry.is_done] if keys is None else keys
    remote.tidy()
    return _each(_Push(store, remote, say), list(chosen))


def pull(
    store: Store,
    remote: Remote,
    root: Path,
    keys: Iterable[str] | None = None,
    say: Say = lambda _: None,
) -> Exchange:
    """Download runs that the store lacks, of some keys or all there are. Every byte is checked
    before a run counts as finished. root: of the suite the runs are for."""
    if keys is None:
        keys = filter(is_key, (Path(name).stem for name in remote.names("runs")))
    return _each(_Pull(store, remote, say, root), list(keys))


class _Exchanger:
    """Does one run at a time, in several threads."""

    def __init__(self, store: Store, remote: Remote, say: Say) -> None:
        self.store, self.remote, self.say = store, remote, say
        self.found, self.lock = Exchange(), Lock()

    def one(self, key: str) -> None:
        raise NotImplementedError

    def attempt(self, key: str) -> None:
        try:
            self.one(key)
        except UserError as error:
            with self.lock:
                self.found.refused.append(str(error))

    def there(self) -> None:
        with self.lock:
            self.found.there += 1

    def absent(self, key: str) -> None:
        with self.lock:
            self.found.absent.append(key)

    def moved(self, parcel: Parcel, count: int, size: int) -> None:
        with self.lock:
            self.found.moved.append(parcel.label)
            self.found.files += count
            self.found.bytes += size
            self.say(f"{parcel.label}: {count} files, {size / 1e6:,.1f} MB")

    def parcel(self, key: str) -> Parcel | None:
        name = parcels.place(key)
        data = self.remote.read(name, parcels.MOST_BYTES)
        return None if data is None else parcels.unpack(data, key, f"{self.remote}: {name}")

    def same(self, ours: dict[str, str], theirs: Parcel, entry: Entry) -> None:
        """Raise UserError if a run has other digests here than there."""
        if ours != theirs.digests:
            odd = sorted(set(ours.items()) ^ set(theirs.digests.items()))[0][0]
            raise UserError(f"{theirs.label}: {odd} is not the same here ({entry.out}) and on "
                            f"{self.remote}, under one key: `repro verify` shows which is right")


class _Push(_Exchanger):
    def one(self, key: str) -> None:
        entry = self.store.entry(key)
        if not entry.is_done:
            return self.absent(key)
        ours = parcels.of_entry(entry)
        theirs = self.parcel(key)
        if theirs is not None:
            self.same(ours.digests, theirs, entry)
            return self.there()
        if not self.store.checked(key, full=True):
            return self.absent(key)
        count = size = 0
        for name, facts in ours.files.items():
            place = _object(facts["sha256"])
            if self.remote.size(place) != facts["bytes"]:
                self.remote.put(entry.out / name, place)
                count, size = count + 1, size + facts["bytes"]
        self.remote.put(parcels.pack(ours), parcels.place(key))
        self.moved(ours, count, size)


class _Pull(_Exchanger):
    def __init__(self, store: Store, remote: Remote, say: Say, root: Path) -> None:
        super().__init__(store, remote, say)
        self.root = root

    def one(self, key: str) -> None:
        entry = self.store.entry(key)
        parcel = self.parcel(key)
        if parcel is None:
            return self.there() if entry.is_done else self.absent(key)
        try:
            finished = self.store.checked(key)
        except CorruptedEntry as error:
            self.say(f"damaged: {error}; taken from {self.remote}")
            finished = False
        if not finished:
            entry.dir.mkdir(parents=True, exist_ok=True)
            with files.locked(entry.exec_lock, wait_s=0) as held:
                if not held:
                    raise UserError(f"{parcel.label}: it is being made here now; not taken")
                if not entry.is_done:
                    return self._take(entry, parcel)
        stored = (entry.read("done") or {"files": {}})["files"]
        self.same({name: facts["sha256"] for name, facts in stored.items()}, parcel, entry)
        self.there()

    def _take(self, entry: Entry, parcel: Parcel) -> None:
        """Download a run's files beside the run, then make them its artefact."""
        scratch = entry.dir / "out.pull"
        scratch.mkdir(exist_ok=True)
        for name in set(files.tree(scratch)) - parcel.files.keys():
            (scratch / name).unlink()
        files.check_room(scratch, parcel.bytes)
        count = size = 0
        for name, facts in parcel.files.items():
            target = scratch / name
            if not target.is_file() or files.sha256(target) != facts["sha256"]:
                self.remote.fetch(_object(facts["sha256"]), target, facts["bytes"],
                                  facts["sha256"])
                count, size = count + 1, size + facts["bytes"]
        self.store.prepare(parcel, self.root)
        entry.finish(scratch, {**parcel.record, "pulled_from": str(self.remote)}, parcel.digests)
        self.moved(parcel, count, size)


def _object(sha256: str) -> str:
    return f"objects/{sha256[:2]}/{sha256}"


def _each(work: _Exchanger, keys: Sequence[str]) -> Exchange:
    keys = list(dict.fromkeys(keys))
    with Hold(work.store, keys) as hold, ThreadPoolExecutor(JOBS) as pool:
        for _ in pool.map(work.attempt, keys):
            hold.renew()
    work.found.refused.sort()
    return work.found
