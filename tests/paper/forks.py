"""Runs of a paper's smoke profile made twice, by processes forked from one that has loaded all.

    python tests/paper/forks.py SLUG FOLDER

The pre-training of every arm (its first member), and all stages of the last arm that has most.
Every run is the body of a real job (`execute.run_pack`). First one process makes them one after the
other; then two side by side do, and every training run is ended once, by SIGKILL or SIGTERM at a
random step, and resumed. Prints {runs, ended, differences} as JSON. What takes minutes is left to
`repro verify --all`: starting jobs (five seconds each), the other arms, the data a second time.
"""

import importlib
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

from repro import settings
from repro.config import code
from repro.config.resolve import resolve
from repro.paper import Paper
from repro.phases import trains
from repro.pipeline import drill, execute, verify
from repro.pipeline.spec import closure, expand_all
from repro.pipeline.store import Store

ROOT = Path(__file__).parents[2]
SPARE = 5  # starts beyond one for each run that is ended


def load(specs):
    """Import what the runs will need, so that the processes forked from this one have it."""
    for spec in specs:
        for module in code.section_modules(spec.config):
            importlib.import_module(module)


def fork(store, specs):
    """Start a process that executes runs; return its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        execute.run_pack(str(store.root), [spec.key for spec in specs])
    finally:
        os._exit(0)


def make(folder, specs, processes, kills):
    """Make runs in a store of their own, stage by stage; return key -> what each left."""
    store = Store(folder)
    faults = {spec.key: verify.fault_of(spec) for spec in specs
              if kills and trains(spec.stage)}
    for spec in specs:
        if not store.entry(spec.key).is_done:
            store.prepare(spec, ROOT)
    for key, (fraction, signal) in faults.items():
        drill.plan(store.entry(key), fraction, signal)
    for stage in dict.fromkeys(spec.stage for spec in specs):
        waiting = [spec for spec in specs
                   if spec.stage == stage and not store.entry(spec.key).is_done]
        for _ in range(len(waiting) + SPARE):
            shares = [share for n in range(processes) if (share := waiting[n::processes])]
            for pid in [fork(store, share) for share in shares]:
                os.waitpid(pid, 0)
            waiting = [spec for spec in waiting if not store.entry(spec.key).is_done]
            failed = [store.entry(spec.key).read("failed") for spec in waiting]
            if any(failed):
                sys.exit(next(filter(None, failed))["error"])
            if not waiting:
                break
    return {spec.key: verify.left_by(store, spec, faults.get(spec.key)) for spec in specs}


def main(slug, folder):
    paper = Paper.find(slug, ROOT)
    suite = settings.load(ROOT).suite
    tree = resolve(paper, "smoke", numerics=suite.numerics, epoch=suite.epoch,
                   seeds=suite.seeds).tree
    cells = expand_all(paper, tree, "smoke", suite.seeds[:1])
    own = Counter(arm for _, arm in cells if paper.arm(arm).members == 1)
    whole = max(reversed(own), key=own.get)
    runs = [spec for (stage, arm), specs in cells.items() for spec in specs
            if stage == "pretrain" and spec.member == 0 or arm == whole]
    specs = [one[0] for one in closure(runs).values()]
    load(specs)
    alone = make(folder / "alone", specs, 1, kills=False)
    for spec in specs:
        if spec.stage == "data":
            first, second = (Store(folder / way).entry(spec.key) for way in ("alone", "disturbed"))
            shutil.copytree(first.dir, second.dir)
    disturbed = make(folder / "disturbed", specs, 2, kills=True)
    ended = [run["ended"] for run in disturbed.values()]
    print(json.dumps({
        "runs": {run["label"]: run["bytes"] for run in alone.values()},
        "ended": {name: ended.count(name) for name in drill.SIGNALS},
        "differences": verify.differences(alone, disturbed, "disturbed"),
    }))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
