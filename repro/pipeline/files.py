"""Files that survive a kill: atomic writes, digests, hard-linked trees, locks between processes."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from repro.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write a file so that a reader sees the old or the new content, never half of it.

    durable: also after a power cut. Raises UserError when the disk is full; the old content is
    then still there.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(scratch, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        if error.errno in FULL:
            raise UserError(disk_full(path)) from error
        raise


def disk_full(path: Path | str) -> str:
    """Return the one line a user gets for a full disk."""
    return (f"{path}: no space left on this disk or quota; free some (`repro store gc`) or set "
            "another `store`, then run again: finished runs and checkpoints are kept")


def check_room(folder: Path, size: int) -> None:
    """Raise UserError unless so many bytes fit on the disk of a folder."""
    if shutil.disk_usage(folder).free < size:
        raise UserError(disk_full(folder))


def write_json(path: Path, data: Any, durable: bool = True) -> None:
    """Write JSON atomically. Raises UserError when the disk is full."""
    write_text(path, as_json(data), durable)


def as_json(data: Any) -> str:
    """Return the text that `write_json` writes."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any | None:
    """Return the content, None when the file is missing. Raises UserError when unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def append_line(path: Path, line: str) -> None:
    """Append one line and force it to the disk. Raises UserError when that is full."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in FULL:
            raise UserError(disk_full(path)) from error
        raise


def sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree(folder: Path) -> list[str]:
    """Return the files below a directory, relative, sorted. Raises UserError for a link in it."""
    names = []
    for base, _, files in os.walk(folder):
        for name in files:
            path = Path(base) / name
            if path.is_symlink():
                raise UserError(f"{path}: an artefact may not hold symbolic links")
            names.append(path.relative_to(folder).as_posix())
    return sorted(names)


def link_tree(source: Path, target: Path) -> None:
    """Make `target` hold the files of `source` by hard link (copy where links are impossible).

    `target` appears whole or not at all; what was there before is replaced.
    """
    scratch = target.with_name(f".{target.name}.tmp")
    remove(scratch)
    scratch.mkdir(parents=True)
    for name in tree(source):
        copy = scratch / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        link_file(source / name, copy)
    replace_tree(scratch, target)


def link_file(source: Path, target: Path) -> None:
    """Hard-link one file; copy it (read-only) where the file system cannot link."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in FULL:
            raise UserError(disk_full(target)) from error
        if error.errno not in _NO_LINK:
            raise
        shutil.copy2(source, target)
        target.chmod(0o444)


def replace_tree(scratch: Path, target: Path) -> None:
    """Move a finished directory into place; the former one goes only afterwards."""
    former = target.with_name(f".{target.name}.former.tmp")
    remove(former)
    if target.exists():
        os.rename(target, former)
    os.rename(scratch, target)
    remove(former)


def remove(path: Path) -> None:
    """Delete a file or a directory tree, read-only files included; fine when missing."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.is_dir():
        shutil.rmtree(path)


def size(folder: Path) -> int:
    """Return the bytes of a file, or of those below a directory; hard links inside count once."""
    if folder.is_file():
        return folder.lstat().st_size
    seen = {}
    for base, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                stat = os.lstat(os.path.join(base, name))
                seen[stat.st_ino] = stat.st_size
    return sum(seen.values())


@contextmanager
def locked(
    path: Path,
    wait_s: float | None = None,
    give_up: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Hold an exclusive lock on `path` between processes; it goes with its holder, however killed.

    wait_s: seconds to try for, None = for ever. Yields False when not obtained in time, or when
    `give_up()` became true. flock: works on one host and on NFS and Lustre mounted with locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = None if wait_s is None else time.monotonic() + wait_s
        while not (held := _try_lock(handle, path)):
            if give_up() or (end is not None and time.monotonic() >= end):
                break
            time.sleep(0.02)
        yield held
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Return whether some process holds the lock on `path`."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at the same time do not take each other for the holder.
        return not _try_lock(handle, path, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _try_lock(handle: int, path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(f"{path}: this file system cannot lock ({error}); set another `store`"
                        ) from error
    return True
