"""A place that several machines share finished runs through: a folder, any URL that fsspec opens,
or a remote of DVC's configuration (with DVC's own credentials).

    <remote>/repro-store/objects/<aa>/<sha256>     the bytes of files, each once
                         runs/<kk>/<key>.json      a run: its key's ingredients, its files; written
                                                   last, so a run is there whole or not at all
                         tmp/                      uploads under way, where a name is not given at
                                                   the end of an upload anyway
"""

import hashlib
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from repro.errors import UserError
from repro.naming import nearest
from repro.pipeline import files

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PREFIX = "repro-store"
_CHUNK = 1 << 20
_BLOCK = 8 << 20
_STALE_S = 86_400.0
# A reader sees an upload to these whole or not at all; elsewhere it is renamed into place.
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "http", "https"}


class Remote:
    """Files by name below one place. Every trouble with it is one UserError that names it."""

    def __init__(self, fs: "AbstractFileSystem", path: str, shown: str) -> None:
        self.fs, self.path, self.shown = fs, f"{path.rstrip('/')}/{PREFIX}", shown
        protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
        self._renames = not protocols & _WHOLE

    def __str__(self) -> str:
        return self.shown

    def read(self, name: str, most: int) -> bytes | None:
        """Return the bytes of a file, None when there is none. Raises UserError if it has more than
        `most`."""
        with self._talking(name):
            try:
                with self.fs.open(self._at(name), "rb") as file:
                    data = file.read(most + 1)
            except FileNotFoundError as error:
                return _absent(error)
        if len(data) > most:
            raise UserError(f"{self}: {name}: longer than {most} bytes; not taken")
        return data

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, None when there is none."""
        with self._talking(name):
            try:
                return self.fs.info(self._at(name))["size"]
            except FileNotFoundError as error:
                return _absent(error)

    def names(self, folder: str) -> list[str]:
        """Return the names of all files below a folder."""
        start = self._at(folder)
        with self._talking(folder):
            self.fs.invalidate_cache()
            found = self.fs.find(start) if self.fs.exists(start) else []
        return sorted(f"{folder}/{str(path).rpartition(f'/{folder}/')[2]}" for path in found)

    def fetch(self, name: str, target: Path, size: int, sha256: str) -> None:
        """Write a file of the remote into `target` if it has these bytes. Raises UserError, and
        leaves nothing, if not."""
        scratch = target.with_name(f".{target.name}.part")
        digest, got = hashlib.sha256(), 0
        try:
            with self._talking(name), _writing(scratch) as out, \
                    self.fs.open(self._at(name), "rb", block_size=_BLOCK) as file:
                while got <= size and (block := file.read(_CHUNK)):
                    got += len(block)
                    digest.update(block)
                    out.write(block)
            if got != size or digest.hexdigest() != sha256:
                length = f"more than {size}" if got > size else got
                wrong = f"{length} bytes instead of {size}" if got != size else "other bytes"
                raise UserError(f"{self}: {name}: damaged ({wrong}): not taken; delete it there, "
                                "and push again from a store that has it")
            scratch.replace(target)
        finally:
            with suppress(OSError):
                scratch.unlink()

    def put(self, source: Path | bytes, name: str) -> None:
        """Upload a file, or bytes, under a name: whole or not at all."""
        target = self._at(name)
        scratch = self._at(f"tmp/{uuid.uuid4().hex}") if self._renames else target
        with self._talking(name):
            if self._renames:
                for path in (scratch, target):
                    self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            if isinstance(source, bytes):
                self.fs.pipe_file(scratch, source)
            else:
                self.fs.put_file(str(source), scratch)
            if self._renames:
                self.fs.mv(scratch, target)

    def tidy(self) -> None:
        """Delete what killed uploads left, a day later."""
        with suppress(Exception):  # a remote that tells no times, or lets nobody delete
            for info in self.fs.ls(self._at("tmp"), detail=True):
                when = info.get("mtime") or info.get("created")
                if isinstance(when, float) and time.time() - when > _STALE_S:
                    self.fs.rm_file(info["name"])

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    @contextmanager
    def _talking(self, name: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # each kind of remote has exceptions of its own
            raise UserError(f"{self}: {name}: {_reason(error)}") from error


@contextmanager
def _writing(path: Path) -> Iterator[Any]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            yield file
    except OSError as error:
        if error.errno in files.FULL:
            raise UserError(files.disk_full(path)) from error
        raise


def open_remote(text: str, root: Path) -> Remote:
    """Return what a command line calls a remote: a URL, the name of a DVC remote of the suite at
    `root`, or a folder. Raises UserError when it is none of these, or cannot be opened."""
    shown = _without_password(text)
    try:
        if "://" in text:
            import fsspec

            fs, path = fsspec.core.url_to_fs(text)
            return Remote(fs, path, shown)
        if "/" not in text and (found := _of_dvc(text, root)) is not None:
            return found
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"remote {shown}: {_reason(error)}") from error
    from fsspec.implementations.local import LocalFileSystem

    return Remote(LocalFileSystem(), str(Path(text).expanduser().absolute()), shown)


def _of_dvc(name: str, root: Path) -> Remote | None:
    """Return the DVC remote of a name, None when it is an existing folder rather than one."""
    from dvc.repo import Repo

    known: list[str] = []
    if (root / ".dvc").is_dir():
        with Repo(str(root)) as repo:
            known = sorted(repo.config["remote"])
            if name.lower() in known:
                found = repo.cloud.get_remote(name)
                return Remote(found.fs.fs, found.path, f"DVC remote {name}")
    if Path(name).is_dir():
        return None
    raise UserError(f"remote {name!r}: no remote of DVC's configuration, no URL and no folder"
                    f"{nearest(name, known)}; write ./{name} for a folder that is to be made")


def _without_password(text: str) -> str:
    """Return a URL without the name and password it may hold."""
    parts = urlsplit(text) if "://" in text else None
    if parts is None or "@" not in parts.netloc:
        return text
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _absent(error: FileNotFoundError) -> None:
    """Return None if a file is not there; raise what fsspec's web client hides behind that."""
    cause = error.__cause__
    if not (cause is None or isinstance(cause, FileNotFoundError)
            or getattr(cause, "status", None) == 404):
        raise cause


def _reason(error: Exception) -> str:
    """Return the first line of what a library complains about."""
    said = re.sub(r"://[^/@\s]+@", "://", next(iter(str(error).strip().splitlines()), ""))
    return f"{type(error).__name__}: {said}"[:300].rstrip(": ")
