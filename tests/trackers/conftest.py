"""A store with hand-made runs, as `repro.trackers` reads them."""

import json

import pytest

from repro.pipeline import files
from repro.pipeline.plans import Planned
from repro.pipeline.store import Store

HISTORY = [{"step": 100, "loss": 5.5, "lr_factor": 1.0}, {"step": 200, "loss": 4.25,
                                                          "lr_factor": 0.5}]
TRIALS = [{"task": "pos", "learning_rate": 1e-3, "restart": 0, "dev": 0.5, "loss": 1.5,
           "steps": 9}, {"task": "pos", "learning_rate": 2e-3, "restart": 0, "dev": 0.75,
                         "loss": 1.0, "steps": 9}]
CONFIG = {"_fn": "repro.train.pretraining.pretrain", "steps": 200,
          "optimizer": {"_ref": "adamw", "lr": 0.001, "betas": [0.9, 0.999]}}


class Runs:
    """store, planned; add(letter, stage, history) makes a finished run and plans it."""

    def __init__(self, root):
        self.store, self.planned = Store(root), []

    def plan(self, letter, stage="pretrain"):
        run = Planned(letter * 64, f"toy/{stage}@mini-plain seed{len(self.planned)}", "toy",
                      "mini", "plain", stage)
        self.planned.append(run)
        self.store.entry(run.key).out.mkdir(parents=True)
        return run

    def finish(self, run, history=HISTORY, rows=()):
        entry = self.store.entry(run.key)
        for name, lines in (("history", history), ("rows", rows)):
            if lines:
                (entry.out / f"{name}.jsonl").write_text(
                    "".join(json.dumps(line) + "\n" for line in lines))
        entry.write("run", {
            "key": run.key, "label": run.label, "seconds": 40.0, "core_seconds": 39.5,
            "gpu_seconds": 0.0, "peak_memory_mb": 100.5, "tokens": 2000, "flops": 3000,
            "energy": {"joules": 474.0}, "finished": "2026-01-02T03:04:05Z",
            "measurements": {"pos": {"latency_ms": 2.5}}, "outputs": {},
            "ingredients": {"stage": run.stage, "entry": CONFIG["_fn"], "config": CONFIG,
                            "code": "abc", "versions": {}, "numerics": "portable", "epoch": 1,
                            "seed": 3, "member": 0, "inputs": {}}})
        files.write_json(entry.dir / "done.json", {"key": run.key, "files": {}})
        return run

    def add(self, letter, stage="pretrain", **what):
        return self.finish(self.plan(letter, stage), **what)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "store")
