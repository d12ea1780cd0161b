"""Processes told apart for good: host, boot, process id and start time.

A bare process id is reused and means nothing on another host.
"""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any

Identity = dict[str, Any]


def identify(pid: int | None = None) -> Identity | None:
    """Return what names a process of this host (default: this one) for ever, None when there is
    none."""
    return _myself(os.getpid()) if pid is None else _identity(pid)


@cache
def _myself(pid: int) -> Identity | None:
    return _identity(pid)


def _identity(pid: int) -> Identity | None:
    start = _start_time(pid)
    if start is None:
        return None
    return {"host": host(), "boot": _boot(), "pid": pid, "start": start}


def is_alive(identity: Identity | None) -> bool:
    """Return whether that process still runs (a zombie does not). False for other hosts."""
    if not identity or identity["host"] != host() or identity["boot"] != _boot():
        return False
    return _start_time(identity["pid"]) == identity["start"]


@cache
def host() -> str:
    return socket.gethostname()


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_time(pid: int) -> float | None:
    """Return the start time of a process in clock ticks since boot (Linux) or in seconds."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        state, *rest = stat.rpartition(")")[2].split()
        return None if state in "ZXx" else float(rest[18])
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def find_command(part: str) -> Identity | None:
    """Return the oldest living process of this host that has an argument equal to `part`."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if part in (process.info["cmdline"] or ()):
            identity = identify(process.info["pid"])
            if identity is not None:
                found.append(identity)
    return min(found, key=lambda one: one["start"], default=None)
