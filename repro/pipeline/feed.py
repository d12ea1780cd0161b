"""What a driver starts next."""

import time
from dataclasses import replace
from pathlib import Path

from repro.pipeline.jobs import Busy, Job, Launcher, Pack
from repro.pipeline.ledger import BAD, UNREADY, Ledger
from repro.pipeline.packing import pack_runs

_BACK_OFF_S = 5.0


class Feeder:
    """Submits the runs that may start, longest remaining way first. root: of the code they run."""

    def __init__(self, ledger: Ledger, launcher: Launcher, root: Path) -> None:
        self.ledger, self.launcher, self.root = ledger, launcher, root
        self.store, self.fleet = ledger.store, ledger.fleet
        self._older: dict[str, set[str]] = {}
        self._not_before = 0.0
        self._said = ""

    def feed(self) -> None:
        """Submit what may be submitted now; with links, whole chains. Raises UserError when the
        scheduler refuses for good."""
        if time.monotonic() < self._not_before or not self._next():
            return
        with self.store.submitting():
            self.fleet.refresh(force=True)
            if self.fleet.watcher(self.launcher.name).trouble:
                return  # what runs already is not known
            living = self._sweep()
            try:
                while packs := [pack for pack in self._next() if pack.name not in living]:
                    living |= {pack.name for pack in packs}
                    self._submit(packs)
            except Busy as error:
                self._not_before = time.monotonic() + max(_BACK_OFF_S, self.launcher.poll_s)
                if str(error) != self._said:
                    self._said = str(error)
                    self.ledger.display.say(f"no job is taken now ({error}); trying again")

    def _submit(self, packs: list[Pack]) -> None:
        fresh = []
        for pack in packs:
            keys = tuple(key for key in pack.keys if self._must_start(key))
            if keys:
                labels = tuple(self.ledger.specs[key].label for key in keys)
                fresh.append(replace(pack, keys=keys, labels=labels))
        for pack in fresh:
            for key in pack.keys:
                entry = self.store.prepare(self.ledger.specs[key], self.root)
                entry.clear("failed", "interrupted", "job")
        for job in self.launcher.submit(fresh) if fresh else ():
            for key in job["keys"]:
                self.ledger.states[key], self.ledger.jobs[key] = "active", job

    def _next(self) -> list[Pack]:
        """Return the packs that may be submitted now."""
        ready = self._ready()
        if not ready:
            return []
        specs = [self.ledger.specs[key]
                 for key in sorted(ready, key=lambda key: -self.ledger.weights[key])]
        packs = pack_runs(specs, self.launcher.pack_size, self.root, ready)
        packs.sort(key=lambda pack: -self.ledger.weights[pack.keys[0]])
        return self.launcher.choose(packs)

    def _ready(self) -> dict[str, tuple[Job, ...]]:
        """Return the runs that may start, with the living jobs they must be queued behind; block
        those that never will start."""
        found: dict[str, tuple[Job, ...]] = {}
        ledger = self.ledger
        for key, spec in ledger.specs.items():
            if ledger.states.get(key) != "waiting":
                continue
            ups = {one.key: ledger.states[one.key] for one in spec.upstream}
            if BAD & set(ups.values()):
                ledger.states[key] = "blocked"
                ledger.errors[key] = "not started: a run it needs did not finish"
                continue
            ahead = [up for up, state in ups.items() if state != "done"]
            if not ahead:
                found[key] = ()
            elif self.launcher.links and all(self._may_link(up) for up in ahead):
                # Those behind which another of them is queued itself need no word.
                last = set(ahead) - {older for up in ahead for older in self._ancestors(up)}
                jobs = {ledger.jobs[up]["name"]: ledger.jobs[up] for up in ahead if up in last}
                found[key] = tuple(jobs.values())
        return found

    def _ancestors(self, key: str) -> set[str]:
        """Return the keys of all runs a run needs, directly or not."""
        if key not in self._older:
            ups = self.ledger.specs[key].upstream
            self._older[key] = {one.key for one in ups}.union(
                *(self._ancestors(one.key) for one in ups))
        return self._older[key]

    def _may_link(self, key: str) -> bool:
        job = self.ledger.jobs.get(key)
        return (self.ledger.states[key] == "active" and job is not None
                and job["launcher"] == self.launcher.name and self.fleet.look(job).alive)

    def _must_start(self, key: str) -> bool:
        """Return whether a run must be submitted now; looks again, since other drivers work too."""
        entry = self.store.entry(key)
        if entry.is_done:
            self.ledger.close(key, "done")
            return False
        failed = entry.read("failed")
        if failed is not None and failed["time"] >= self.ledger.started \
                and failed.get("kind") != UNREADY:
            self.ledger.close(key, "failed")
            return False
        if self.ledger.attach(key):
            return False
        job = entry.read("job")
        ending = job is not None and self.fleet.look(job).state != "gone"
        return not ending and not entry.executing()

    def _sweep(self) -> set[str]:
        """Forget the jobs that ended; return the names of the others."""
        jobs = self.store.jobs()
        over = [job for job in jobs if self.fleet.look(job).state == "gone"]
        self.store.forget(over)
        return {job["name"] for job in jobs} - {job["name"] for job in over}
