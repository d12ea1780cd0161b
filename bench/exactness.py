"""What it costs that the same key means the same bytes: numerics, checkpoints, resuming.

    python bench/exactness.py [--repetitions 5] [--tasks mlm clm seq2seq]

Numerics: units per second of our loop (as bench/throughput.py counts them) under `portable`,
`universal` and `native`, and free: native without deterministic operations; in turn. Checkpoints:
an update that ends with one, beside the others; the share of the training time at the interval that
papers have by default. Resuming: from the start of the process to the end of the first update, of a
run that was stopped, and of which: importing, opening the data and building the model.
"""

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import common
import throughput
from loops.setting import SETTING, UNITS, WARMUP, How

MODES = ("portable", "universal", "native", "free")
UPDATES, EVERY = 40, 5  # of the runs that save checkpoints
INTERVAL = 1000  # updates between checkpoints, by default
STALL = 0.02  # of the training time: what checkpoints may take
SIZES = {"tiny": {"hidden": 64, "layers": 2}, "small": {}}


def work(what: str, **asked: Any) -> dict[str, Any]:
    """Do one thing in this process; return what it took."""
    return {"train": throughput.work, "checkpoints": _checkpoints, "resume": _resume}[what](**asked)


def _pretrain(folder: Path, size: str, reports: list[dict[str, Any]], last: int) -> None:
    """Pre-train as a stage does, on an artefact that is there, until the report `last`."""
    from contextlib import suppress

    SETTING.update(SIZES[size])
    from loops import ours

    from repro.context import RunContext
    from repro.errors import Interrupted
    from repro.train import determinism, optimizers, pretraining, schedules

    def report(**values: Any) -> None:
        reports.append(values | {"time": time.time(), "cpu": time.process_time()})

    determinism.configure("portable")
    reports.append({"time": time.time()})  # what is imported and configured by now
    with suppress(Interrupted):
        pretraining.pretrain(
            RunContext(stage="pretrain", arm="any", seed=0, inputs={"data": [folder / "data"]},
                       out=folder / "out", checkpoints=folder / "checkpoints", on_report=report,
                       stop_requested=lambda: len(reports) > last),
            batches=ours.batches_of("mlm", SETTING["batch_size"]), steps=UPDATES,
            objective=ours.objective_of("mlm"), schedule=schedules.linear,
            optimizer=partial(optimizers.adamw, lr=SETTING["lr"]), checkpoint_every=EVERY)


def _checkpoints(folder: str, size: str) -> dict[str, Any]:
    reports: list[dict[str, Any]] = []
    _pretrain(Path(folder), size, reports, UPDATES)
    updates = reports[1 + WARMUP:]
    # A report comes before the checkpoint of its update, so the next one waits for it.
    took = [(before["step"] % EVERY == 0, 1000 * (after["time"] - before["time"]))
            for before, after in zip(updates, updates[1:], strict=False)]
    plain, saving = ([ms for saved, ms in took if saved is kind] for kind in (False, True))
    stall = statistics.median(saving) - statistics.median(plain)
    newest = max((Path(folder) / "checkpoints").glob("step-*"))
    return {
        "update_ms": statistics.median(plain), "stall_ms": stall,
        "mib": sum(path.stat().st_size for path in newest.iterdir()) / 2**20,
        "share": stall / (INTERVAL * statistics.median(plain)),
        "updates_between": stall / (STALL * statistics.median(plain)),
    }


def _resume(folder: str, size: str, started: float) -> dict[str, Any]:
    reports: list[dict[str, Any]] = []
    _pretrain(Path(folder), size, reports, 1)
    ready, first = reports[0], reports[1]
    assert first["step"] == EVERY + 1, first
    return {"seconds": first["time"] - started, "importing": ready["time"] - started,
            "restoring_and_first_update": first["time"] - ready["time"],
            "cpu_seconds": first["cpu"]}


def _stopped(folder: str, size: str) -> None:
    _pretrain(Path(folder), size, [], EVERY)


def numerics(tasks: list[str], repetitions: int) -> dict[str, Any]:
    """Return task -> mode -> ours under `portable`, beside it."""
    found = {}
    for task in tasks:
        def measure(mode: str, task: str = task) -> dict[str, Any]:
            env = common.environment(1, mode)
            return common.worker(__file__, env, what="train", task=task, loop=throughput.OURS,
                                 how=list(How(numerics=mode)))

        runs = common.in_turn(MODES, repetitions, measure)
        found[task] = {"units": UNITS[task], "repetitions": runs, "summary": {
            mode: common.compared(runs[MODES[0]], runs[mode], "units_per_cpu_second")
            for mode in MODES[1:]}}
    return found


def stopped_runs(repetitions: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what checkpoints and resuming take, by size of the model."""
    saving: dict[str, Any] = {size: [] for size in SIZES}
    resuming: dict[str, Any] = {size: [] for size in SIZES}
    env = common.environment(1, "portable")
    for repetition in range(repetitions):
        for size in SIZES:
            with tempfile.TemporaryDirectory() as name:
                _make_data(Path(name))
                saving[size].append(common.worker(
                    __file__, env, what="checkpoints", folder=name, size=size))
            with tempfile.TemporaryDirectory() as name:
                _make_data(Path(name))
                common.timed([sys.executable, __file__, "--stopped", name, size], env)
                resuming[size].append(common.worker(
                    __file__, env, what="resume", folder=name, size=size, started=time.time()))
            print(repetition + 1, size, saving[size][-1], resuming[size][-1], flush=True)
    return saving, resuming


def _make_data(folder: Path) -> None:
    from loops import artefacts

    artefacts.write("mlm", folder / "data", UPDATES * SETTING["batch_size"])


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    if common.answer(work):
        return
    if sys.argv[1:2] == ["--stopped"]:
        _stopped(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", choices=UNITS, default=["mlm", "clm", "seq2seq"])
    asked = parser.parse_args()
    saving, resuming = stopped_runs(asked.repetitions)
    common.write("exactness", {
        "machine": common.machine(), "interval": INTERVAL,
        "checkpoints": {size: medians(runs) for size, runs in saving.items()},
        "resuming": {size: medians(runs) for size, runs in resuming.items()},
        "numerics": numerics(asked.tasks, asked.repetitions),
        "repetitions": {"checkpoints": saving, "resuming": resuming},
    })


if __name__ == "__main__":
    main()
