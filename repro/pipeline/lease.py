"""One host at a time drives a workspace.

DVC's own locks hold a bare process id and look dead from another host, so each driver keeps a file
`.repro/leases/<host>-<pid>.json` fresh; a fresh one of another host is refused.
"""

import os
import time
from pathlib import Path

from repro.errors import UserError
from repro.pipeline import files, processes

FRESH_S = 60.0
_RENEW_S = 10.0


class Lease:
    """Context manager; call `renew` now and then while inside."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".repro" / "leases"
        self.path = self.folder / f"{processes.host()}-{os.getpid()}.json"
        self.renewed = 0.0

    def __enter__(self) -> "Lease":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write()
        here = self.path.stat().st_mtime  # the file server's clock, as for the others
        for other in self.folder.glob("*.json"):
            holder = files.read_json(other)
            if holder is None or other == self.path:
                continue
            if holder["host"] == processes.host():
                if not processes.is_alive(holder):
                    other.unlink(missing_ok=True)
            elif here - other.stat().st_mtime < FRESH_S:
                self.path.unlink()
                raise UserError(f"{self.folder.parent.parent}: process {holder['pid']} on host "
                                f"{holder['host']} drives this workspace; wait for it, stop it, or "
                                f"(if that host is gone) try again in {FRESH_S:.0f} s")
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    def renew(self) -> None:
        if time.monotonic() - self.renewed > _RENEW_S:
            self._write()

    def _write(self) -> None:
        files.write_json(self.path, processes.identify(), durable=False)
        self.renewed = time.monotonic()
