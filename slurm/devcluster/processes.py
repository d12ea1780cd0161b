"""Processes as /proc shows them, free ports, and waiting."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


class Failure(Exception):
    """What the user is told in one line."""


def proc(pid: int, name: str) -> bytes:
    """Return a file of /proc/<pid>, empty when the process is gone or not ours to look at."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def is_running(pid: int) -> bool:
    """Return whether a process lives; one that only waits to be reaped does not."""
    state = proc(pid, "stat").rpartition(b")")[2].split()[:1]
    return bool(state) and state[0] not in (b"Z", b"X")


def find(variables: Iterable[str], file: str) -> set[int]:
    """Return the processes that have all these variables in their environment, or hold `file` open.
    """
    wanted, found = [variable.encode() for variable in variables], set()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        environment = proc(pid, "environ").split(b"\0")
        if all(one in environment for one in wanted) or file in _open_files(pid):
            found.add(pid)
    return found - {os.getpid()}


def _open_files(pid: int) -> Iterable[str]:
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield os.readlink(handle)


def kill(pids: Iterable[int]) -> None:
    """End processes at once and wait until they are gone."""
    pids = set(pids)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try_for(10, lambda: not any(map(is_running, pids)))


def try_for(seconds: float, what: Callable[[], object]) -> bool:
    """Return whether `what` came true in time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def wait(seconds: float, what: Callable[[], object], failure: str) -> None:
    if not try_for(seconds, what):
        raise Failure(failure)


def is_free(port: int) -> bool:
    """Return whether nobody listens at a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
