"""The store, the workspace and a remote under damage: what is linked, read, pushed or pulled is
what was made, or one line says that it is not."""

import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutation
from targets import Target, quiet, same_json, toy

from repro.errors import UserError
from repro.pipeline import (
    audit,
    exchange,
    execute,
    files,
    gc,
    parcels,
    plans,
    processes,
    status,
    workspace,
)
from repro.pipeline.holds import Hold
from repro.pipeline.launch import fleet_of
from repro.pipeline.ledger import Ledger
from repro.pipeline.progress import Lines
from repro.pipeline.remotes import PREFIX, open_remote
from repro.pipeline.spec import closure
from repro.pipeline.store import MANIFEST, RUNS, Store
from repro.report import cost


class Made:
    """A toy suite whose data and pretrain runs are finished; one finetune run failed, another was
    stopped; nothing was executed."""

    def __init__(self, folder: Path) -> None:
        self.suite = toy().Suite(folder / "suite")
        self.store, self.root = self.suite.store, self.suite.root
        self.runs = self.suite.specs("pretrain")
        self.unfinished = self.suite.specs("finetune")
        for spec in [one[0] for one in closure(self.runs).values()]:
            entry = self.store.prepare(spec, self.root)
            scratch = entry.dir / "out.tmp"
            (scratch / "encoder").mkdir(parents=True)
            (scratch / "encoder" / "model.json").write_text(f'{{"total": {spec.seed or 5}}}')
            (scratch / "weights.bin").write_bytes(bytes(range(256)))
            entry.finish(scratch, {
                "key": spec.key, "label": spec.label, "ingredients": spec.ingredients, "starts": 1,
                "host": "h", "cpu": "c", "seconds": 1.5, "peak_memory_mb": 10.0, "tokens": 30,
                "flops": 3, "measurements": {"latency_ms": 0.5}, "state": {}})
        failed, stopped = (self.store.prepare(spec, self.root) for spec in self.unfinished)
        failed.write("failed", {"error": "loss is not finite", "kind": "UserError",
                                "time": time.time()})
        stopped.write("interrupted", {"step": 3, "total": 9, "time": 1.0})
        stopped.write("progress", {"step": 3, "total": 9, "loss": 0.5, "seconds": 2.0, "time": 1.0})
        job = {"launcher": "local", "name": "a.b", "labels": ["x"], "after": [], "folder": "a.b",
               "keys": [stopped.key], "submitted": 1.0, "driver": processes.identify(),
               "process": processes.identify() | {"start": 1.0}}
        stopped.write("intent", job)
        self.store.record(job)
        plans.note(self.store, {("pretrain", "plain"): self.runs,
                                ("finetune", "plain"): self.unfinished})
        with Hold(self.store, [self.runs[0].key]) as hold:
            self.hold = hold.path.read_bytes()
        hold.path.write_bytes(self.hold)
        out = self.suite.folder / "out" / "mini" / "plain" / "pretrain"
        for spec in self.runs:
            shutil.copytree(self.store.entry(spec.key).out, out / spec.folder)
        self.all = sorted(path for path in self.store.root.rglob("*")
                          if path.is_file() and path.suffix in (".json", ".bin"))
        self.artefacts = [path for path in self.all if "out" in path.parts]
        self.records = [path for path in self.all if "out" not in path.parts]
        self.link = folder / "linked"
        self.left = [self.store.root / "quarantine", self.link]

    # What users do

    def linked(self) -> Any:
        for key in closure(self.runs):
            self.store.link(key, self.link / key)
        return {name: files.sha256(self.link / name) for name in files.tree(self.link)}

    def read_by_a_job(self) -> Any:
        execute._CHECKED.clear()
        folders = [execute._input(self.store, key) for key in closure(self.runs)]
        return [[files.sha256(folder / name) for name in files.tree(folder)] for folder in folders]

    def audited(self) -> Any:
        found = audit.audit(self.store)
        for one in found.damaged:
            raise UserError(f"{one.run}: {one.what}; {one.todo}")
        return found.json()

    def pushed(self) -> Any:
        remote = open_remote("memory://fuzz", self.root)
        remote.fs.store.clear()
        found = exchange.push(self.store, remote)
        for line in found.refused:
            raise UserError(line)
        return sorted(name for name in remote.names("objects"))

    def looked_at(self) -> Any:
        settings = self.suite.settings()
        said = status.render(status.status(settings))
        for spec in (*self.runs, *self.unfinished):
            status.logs(settings, spec.fp, stream=io.StringIO())
        collected = gc.gc(settings, quota=0, dry_run=True)
        return [said, sorted((item.name, item.why) for item in collected.kept)]

    def driven(self) -> Any:
        said = io.StringIO()
        ledger = Ledger([*self.runs, *self.unfinished], self.store, fleet_of(self.store), 0,
                        self.root, Lines(said), lambda _: [])
        ledger.poll()
        return sorted(ledger.states.items())

    def costed(self) -> Any:
        return cost.gather(cost.runs_of(self.suite.paper, "mini", self.store.root))


def every(uses: list[Callable[[], Any]]) -> Callable[[], Any]:
    """Return what does all of these, and raises the first complaint only after the last."""
    def use() -> Any:
        found, complaint = [], None
        for one in uses:
            try:
                with quiet():
                    found.append(one())
            except UserError as error:
                complaint = complaint or error
        if complaint is not None:
            raise complaint
        return found

    return use


def artefacts(folder: Path) -> list[Target]:
    """Files of finished runs in the store: nobody may be given another byte."""
    made = Made(folder)
    return [Target(f"artefact, {what}", made.artefacts, mutation.BYTES | mutation.JSON, use,
                   lambda *_: False, True, around=made.records, left=made.left)
            for what, use in (("linked", made.linked), ("read by a job", made.read_by_a_job),
                              ("verified", made.audited), ("pushed", made.pushed))]


def records(folder: Path) -> list[Target]:
    """Records of the store: bytes stay what they are, everything else is refused or told anew."""
    made = Made(folder)
    first = [made.linked, made.read_by_a_job]
    uses = [*first, made.audited, made.pushed, made.looked_at, made.driven, made.costed]
    target = Target("records of the store", made.records, mutation.JSON, every(uses),
                    lambda *_: True, True, around=made.artefacts, left=made.left)
    target.also = lambda got: got[:len(first)] == target.before[:len(first)]
    return [target]


def seeds(folder: Path) -> list[Target]:
    """Artefacts in a workspace from which an emptied store is filled."""
    made = Made(folder)
    made.linked()
    place = folder / "workspace"
    shutil.copytree(made.link, place)
    store = Store(folder / "empty")

    def use() -> Any:
        files.remove(store.root)
        fresh = Store(store.root)
        taken = [fresh.seed_from(specs[0], place / key, made.root)
                 for key, specs in closure(made.runs).items()]
        return [[files.sha256(path) for path in sorted(fresh.root.glob("??/*/out/**/*"))
                 if path.is_file()], taken]

    target = Target("workspace, seeded", sorted(p for p in place.rglob("*") if p.is_file()),
                    mutation.BYTES | mutation.JSON, use, lambda *_: True, True)
    # A manifest of no run, or of another: the run is made anew.
    target.also = lambda got: False in got[1] and set(got[0]) <= set(target.before[0])
    return [target]


def judged(folder: Path) -> list[Target]:
    """What the verdict reads in the workspace: one file of each run, its manifest, the list."""
    made = Made(folder)
    out = made.suite.folder / "out" / "mini" / "plain" / "pretrain"
    files.write_json(out / RUNS, {spec.folder: files.sha256(out / spec.folder / MANIFEST)
                                  for spec in made.runs})

    def use() -> Any:
        workspace.check(made.suite.paper, "mini", {"pretrain": "weights.bin"})
        return True

    paths = [out / RUNS, *(out / spec.folder / name for spec in made.runs
                           for name in (MANIFEST, "weights.bin"))]
    return [Target("workspace, judged", paths, mutation.BYTES | mutation.JSON, use, same_json,
                   True)]


def remotes(folder: Path) -> list[Target]:
    """A shared remote that somebody damaged or forged."""
    made = Made(folder)
    remote = open_remote(f"{folder}/shelf", made.root)
    exchange.push(made.store, remote)
    store = Store(folder / "other")

    def use() -> Any:
        files.remove(store.root)
        fresh = Store(store.root)
        found = exchange.pull(fresh, remote, made.root, list(closure(made.runs)))
        for line in found.refused:
            raise UserError(line)
        assert audit.audit(fresh).damaged == []
        return [{entry.key: parcels.of_entry(entry).digests for entry in fresh.entries()},
                found.absent]

    shelf = folder / "shelf" / PREFIX
    paths = sorted(path for path in shelf.rglob("*") if path.is_file())
    return [Target("remote, pulled", paths, mutation.BYTES | mutation.JSON, use,
                   lambda *_: True, True)]
