"""Runs that a living command relies on, though no job or lock file says so (yet): a driver's runs
and those they read, what is being pushed or pulled. `repro store gc` leaves them alone."""

import os
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from repro.errors import UserError
from repro.pipeline import files, processes, records
from repro.pipeline.store import Store

FRESH_S = 86_400.0  # of other hosts, whose processes cannot be seen from here
_RENEW_S = 600.0
_SHAPE: dict[str, records.Kind] = {"process": records.PROCESS, "keys": records.KEYS}


class Hold:
    """Context manager: while inside, no gc deletes these runs. Waits for one that is under way, so
    look into the store only afterwards. Call `renew` now and then."""

    def __init__(self, store: Store, keys: Iterable[str]) -> None:
        self.store, self.keys = store, list(keys)
        self.path = _folder(store) / f"{uuid.uuid4().hex}.json"
        self.renewed = 0.0

    def __enter__(self) -> "Hold":
        self.path.parent.mkdir(exist_ok=True)
        with self.store.submitting():
            files.write_json(self.path, {"process": processes.identify(), "keys": self.keys},
                             durable=False)
        self.renewed = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    def renew(self) -> None:
        if time.monotonic() - self.renewed > _RENEW_S:
            self.renewed = time.monotonic()
            with suppress(OSError):
                os.utime(self.path)


def held(store: Store) -> set[str]:
    """Return the keys that living commands hold; forget what dead ones left."""
    found: set[str] = set()
    for path in _folder(store).glob("*.json"):
        try:
            hold = records.check_fields(_SHAPE, files.read_json(path), path)
            here = hold["process"]["host"] == processes.host()
            living = (processes.is_alive(hold["process"]) if here
                      else time.time() - path.stat().st_mtime < FRESH_S)
        except (UserError, OSError):
            living = False
        if living:
            found.update(hold["keys"])
        else:
            path.unlink(missing_ok=True)
    return found


def _folder(store: Store) -> Path:
    return store.root / "holds"
