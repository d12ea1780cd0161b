"""Runs made by processes forked from one that has loaded what they need.

A job starts in five seconds, nearly all of them imports; a fork of a process that has them, in a
tenth. Proofs of exactness make hundreds of short runs and end most of them once: they are made
here. The body of a run is that of every job (`execute.run_pack`), with the same environment.

    python -m repro.pipeline.forks STORE PROCESSES < keys of prepared runs, upstream first
"""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from repro.pipeline.environment import merged, variables
from repro.pipeline.spec import RunSpec
from repro.pipeline.store import Store

STARTS = 5  # of one run; one that is ended on purpose needs two
_POLL_S = 0.01


def make(
    store: Store,
    specs: Sequence[RunSpec],
    root: Path,
    processes: int,
    assets: Path | None = None,
) -> None:
    """Make runs (upstream first) that the store lacks, at most `processes` at once. Those that
    failed or did not end well in STARTS starts are left as they are: their entries say so."""
    missing = [spec for spec in specs if not store.entry(spec.key).is_done]
    for spec in missing:
        store.prepare(spec, root)
    for numerics in dict.fromkeys(spec.numerics for spec in missing):  # a process has one kind
        worker = subprocess.Popen(
            [sys.executable, "-m", __name__, str(store.root), str(processes)],
            env=merged(variables(numerics, 1, root, assets)), text=True, stdin=subprocess.PIPE)
        with worker:
            try:
                worker.communicate("\n".join(
                    spec.key for spec in missing if spec.numerics == numerics))
            except BaseException:
                worker.terminate()
                raise


def main(store: Store, processes: int, keys: Sequence[str]) -> None:
    """Make prepared runs in children of this process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    needs: dict[str, set[str]] = {}
    for key in keys:
        made_of = store.entry(key).read("request")["ingredients"]
        needs[key] = {one for some in made_of["inputs"].values() for one in some} & set(keys)
        _load(made_of["config"])
    _finish(store, processes, needs, os.getppid())


def _load(config: object) -> None:
    """Import what a run will need, so that the children have it."""
    from repro.config import code

    for module in code.section_modules(config):
        importlib.import_module(module)


def _finish(store: Store, processes: int, needs: dict[str, set[str]], driver: int) -> None:
    """Make runs, each when what it needs is there. Nothing is started after a failure, or once the
    driver is gone."""
    waiting, starts, done = list(needs), Counter[str](), set[str]()
    living: dict[int, str] = {}
    try:
        while (waiting or living) and os.getppid() == driver:
            while len(living) < processes and (
                    key := next((one for one in waiting if needs[one] <= done), None)):
                waiting.remove(key)
                starts[key] += 1
                living[_fork(store, key)] = key
            pid = os.waitpid(-1, os.WNOHANG)[0]
            if not pid:
                time.sleep(_POLL_S)
                continue
            key = living.pop(pid)
            entry = store.entry(key)
            if entry.is_done:
                done.add(key)
                continue
            if entry.read("failed") or starts[key] == STARTS:
                break
            waiting.insert(0, key)
    finally:
        for pid in living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(store: Store, key: str) -> int:
    """Start a process that executes a run; return its id."""
    from repro.pipeline.execute import run_pack

    pid = os.fork()
    if pid:
        return pid
    try:
        run_pack(str(store.root), [key])
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(Store(Path(sys.argv[1])), int(sys.argv[2]), sys.stdin.read().split())
