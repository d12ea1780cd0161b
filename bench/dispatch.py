"""How long it takes to queue 100 papers, to say how they are doing, and to find all finished.

    python bench/dispatch.py [--papers 100] [--runs 250 500 1000 2000] [--real]

The papers are synthetic: data, then pretrain, finetune and eval of three arms and five seeds, 46
runs each, of which the baseline arm is shared by every ten papers. They go through the driver of
`repro submit` into a fake scheduler (tests/pipeline/fake_slurm.py); with --real also into the
cluster that SLURM_CONF names, held, and are cancelled again. Growth, by the number of runs: to
queue them, to find them finished (`ensure`), and `repro status` of them queued, a fresh process of
its own with a `squeue` that answers what the scheduler would. Seconds are wall and CPU time; memory
is the highest resident size of the process above that at its start.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "pipeline"))

import common  # noqa: E402
from fake_slurm import FakeSlurm  # noqa: E402

from repro.pipeline import plans  # noqa: E402
from repro.pipeline.cluster import Cluster  # noqa: E402
from repro.pipeline.ensure import Outcome, ensure  # noqa: E402
from repro.pipeline.launch import Fleet  # noqa: E402
from repro.pipeline.progress import Display  # noqa: E402
from repro.pipeline.queue import Commands, Queue, command  # noqa: E402
from repro.pipeline.slurm import SlurmLauncher  # noqa: E402
from repro.pipeline.spec import RunSpec  # noqa: E402
from repro.pipeline.store import Store  # noqa: E402
from repro.schema import Resources  # noqa: E402

STAGES = {"pretrain": Resources(minutes=10), "finetune": Resources(minutes=10),
          "eval": Resources(minutes=2, pack=5)}
ARMS, SEEDS, SHARING = 3, range(5), 10
SETTINGS = {f"setting_{number}": number for number in range(40)}  # as many as a real section has
TRIES = 5


def paper(number: int) -> list[RunSpec]:
    """Return the runs of one synthetic paper, upstream first. Arm 0 is that of its ten."""
    slug = f"paper_{number:03d}"

    def spec(stage: str, arm: int, seed: int | None, need: Resources,
             inputs: dict[str, tuple[RunSpec, ...]]) -> RunSpec:
        family = f"family {number // SHARING}" if arm == 0 else slug
        return RunSpec(stage, f"repro.train.{stage}.{stage}",
                       {"_fn": stage, "family": family, "arm": arm, **SETTINGS}, "0" * 64,
                       {"python": "3.11"}, "portable", 1, seed, 0, inputs, slug, "mini",
                       f"arm_{arm}", 1, need)

    data = spec("data", 0, None, Resources(minutes=5), {})
    runs = [data]
    for arm in range(ARMS):
        for seed in SEEDS:
            before: dict[str, tuple[RunSpec, ...]] = {"data": (data,)}
            for stage, need in STAGES.items():
                runs.append(spec(stage, arm, seed, need, before))
                before = {"data": (data,), stage: (runs[-1],)}
    return runs


class Counted:
    """Commands to Slurm, counted and timed."""

    def __init__(self, run: Commands) -> None:
        self.run, self.calls, self.seconds = run, {}, 0.0

    def __call__(self, *argv: str) -> Any:
        self.calls[argv[0]] = self.calls.get(argv[0], 0) + 1
        began = time.perf_counter()
        try:
            return self.run(*argv)
        finally:
            self.seconds += time.perf_counter() - began


def submit(specs: list[RunSpec], store: Store, run: Commands, cluster: Cluster) -> Outcome:
    """Queue runs as `repro submit` does."""
    queue = Queue(store, run)
    fleet = Fleet({"slurm": lambda: queue})
    fleet.watcher("slurm")
    launcher = SlurmLauncher(queue, cluster)
    return ensure(specs, store=store, fleet=fleet, launcher=launcher, root=HERE.parent,
                  display=Display(), queue_only=True)


def measured(what: Callable[[], Outcome], run: Counted) -> dict[str, Any]:
    """Return what one submission cost."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = what()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert outcome.exit_code == 0, outcome.errors
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {"runs": len(outcome.states), "seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
            "slurm_calls": dict(run.calls), "slurm_seconds": round(run.seconds, 2),
            "memory_mib": round((after.ru_maxrss - before.ru_maxrss) / 1024, 1)}


def twice(specs: list[RunSpec], store: Store, run: Commands, cluster: Cluster) -> dict[str, Any]:
    """Return the cost of queueing everything, and of asking for it again."""
    found = {}
    for name in ("first", "again"):
        counted = Counted(run)
        found[name] = measured(lambda: submit(specs, store, counted, cluster), counted)  # noqa: B023
    return found


def status_of(store: Store, chosen: list[RunSpec], slurm: FakeSlurm, root: Path) -> dict[str, Any]:
    """Return what `repro status` costs with these runs in the queue."""
    cells: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in chosen:
        cells.setdefault((spec.stage, spec.arm), []).append(spec)
    plans.note(store, cells)
    (root / "papers").mkdir()
    (root / "queue.txt").write_text(slurm("squeue").out)
    program = root / "squeue"
    program.write_text(f"#!/bin/sh\ncat {root / 'queue.txt'}\n")
    program.chmod(0o755)
    env = common.environment(1, PATH=f"{root}:{os.environ['PATH']}", REPRO_STORE=str(store.root))
    tries = []
    for _ in range(TRIES):
        said, took = common.timed([sys.executable, *common.CLI, "status"], env, root)
        tries.append(took)
    shown = said.count("queued  ")
    assert shown == len(chosen), said
    return {name: [one[name] for one in tries] for name in tries[0]}


def finished(specs: list[RunSpec], store: Store, cluster: Cluster) -> dict[str, Any]:
    """Return what it costs to ask for runs that are all finished."""
    for spec in specs:
        entry = store.prepare(spec, HERE.parent)
        scratch = entry.dir / "out.tmp"
        scratch.mkdir()
        for name in ("history.jsonl", "summary.json"):
            (scratch / name).write_text(f"{spec.key}\n")
        entry.finish(scratch, {"key": spec.key, "label": spec.label})
    tries = []
    for _ in range(TRIES):
        counted = Counted(FakeSlurm())
        tries.append(measured(lambda: submit(specs, store, counted, cluster), counted))  # noqa: B023
    return {name: [one[name] for one in tries] for name in ("seconds", "cpu_seconds")}


def growth(specs: list[RunSpec], sizes: list[int], cluster: Cluster) -> list[dict[str, Any]]:
    """Return the cost of queueing runs, of `repro status`, and of finding them finished."""
    distinct, rows = list({spec.key: spec for spec in specs}.values()), []
    for size in sizes:
        chosen, folder = distinct[:size], Path(tempfile.mkdtemp(prefix="dispatch-"))
        try:
            slurm = FakeSlurm()
            counted, queued = Counted(slurm), Store(folder / "queued")
            row = {"runs": len(chosen), "queue": measured(
                lambda: submit(chosen, queued, counted, cluster), counted)}  # noqa: B023
            row["status"] = status_of(queued, chosen, slurm, folder)
            row["finished"] = finished(chosen, Store(folder / "finished"), cluster)
        finally:
            shutil.rmtree(folder)
        print(row, flush=True)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--papers", type=int, default=100)
    parser.add_argument("--runs", type=int, nargs="*", default=[250, 500, 1000, 2000])
    parser.add_argument("--real", action="store_true")
    asked = parser.parse_args()
    specs = [spec for number in range(asked.papers) for spec in paper(number)]
    folder = Path(tempfile.mkdtemp(prefix="dispatch-"))
    cluster = Cluster(name="fake", partition="cpu", max_jobs=10**6)
    try:
        found = {"machine": common.machine(), "papers": asked.papers, "asked_for": len(specs),
                 "fake": twice(specs, Store(folder / "fake"), FakeSlurm(), cluster)}
        if asked.real:
            held = Cluster(name="real", max_jobs=10**6, extra={"hold": True})
            try:
                found["real"] = twice(specs, Store(folder / "real"), command, held)
            finally:
                store = Store(folder / "real")
                Queue(store).cancel(store.jobs())  # these, and nothing else of the user
    finally:
        shutil.rmtree(folder)
    found["growth"] = growth(specs, asked.runs, cluster)
    common.write("dispatch", found)


if __name__ == "__main__":
    main()
