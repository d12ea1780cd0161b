"""Time a few updates of each shape of a profile, here and now, without any data.

The updates are made by a process of its own, in the environment of a job, with the training loop of
a run and the batches of the dry run.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

from repro.check import dry_run
from repro.errors import UserError
from repro.forecast.ranges import Range
from repro.forecast.rates import Calibration
from repro.forecast.work import Work
from repro.paper import Paper

WARM_UP = 3
CHUNKS = 5
LEAST = 2  # updates a chunk
MOST = 200


def calibrate(paper: Paper, work: list[Work], tree: dict[str, Any], seconds: float
              ) -> dict[str, Calibration]:
    """Return shape -> calibration of every shape that is trained, about `seconds` for each.

    Raises UserError where the process fails, with its last line.
    """
    from repro.train.determinism import NUMERICS_ENV, THREADS

    shapes = {one.shape: one for one in work if one.shape}
    if not shapes:
        return {}
    jobs = [{"shape": shape, "config": one.spec.config,
             "vocab": dry_run.vocabulary(paper, tree, one.spec.arm, one.spec.stage).size,
             "tokens": one.tokens / one.spec.config["steps"]} for shape, one in shapes.items()]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS))
    done = subprocess.run(
        [sys.executable, "-m", __name__], text=True, capture_output=True, cwd=paper.root,
        input=json.dumps({"jobs": jobs, "numerics": tree["numerics"], "root": str(paper.root),
                          "seconds": seconds}),
        env=os.environ | threads | NUMERICS_ENV[tree["numerics"]])
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"calibration: {last}")
    found = json.loads(done.stdout.splitlines()[-1])
    # Runs of a job share the process, and so what it takes to load the libraries.
    return {shape: Calibration(Range(*times),
                               ready + found["loaded"] / shapes[shape].spec.resources.pack)
            for shape, (times, ready) in found["shapes"].items()}


def main() -> None:
    """Read jobs from standard input; write `loaded`, the seconds the libraries take, and `shapes`:
    shape -> [[low, high] seconds a token, seconds to build it].

    On a processor of its own a run takes its processor time, however busy others are now; so that
    is what is measured, apart from the updates of a GPU.
    """
    asked = json.load(sys.stdin)
    from repro.pipeline import arithmetic
    from repro.train import loop  # noqa: F401

    arithmetic.configure(asked["numerics"])
    loaded, found = time.process_time(), {}
    for job in asked["jobs"]:
        started = time.process_time()
        updates = _updates(job["config"], job["vocab"], asked["root"])
        ready = time.process_time() - started
        on_cpu = job["config"].get("device", "cpu") == "cpu"
        per_update = _timed(updates, asked["seconds"],
                            time.process_time if on_cpu else time.monotonic)
        found[job["shape"]] = [[side / job["tokens"] for side in per_update], ready]
    print(json.dumps({"loaded": loaded, "shapes": found}))


def _updates(config: dict[str, Any], vocab_size: int, root: str) -> Any:
    """Return updates(count), which makes so many and waits for them."""
    from repro.config.build import build
    from repro.text.tokenizer import VocabInfo
    from repro.train import determinism
    from repro.train.loop import Plan, fit
    from repro.train.streams import Streams

    batches, objective = (build(config[name], root)() for name in ("batches", "objective"))
    vocab = VocabInfo(vocab_size, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
    streams = Streams(0)
    model = objective.build(vocab, streams).to(determinism.device(config.get("device", "cpu")))
    optimizer = build(config["optimizer"], root)(model)
    batch = batches.example(vocab)

    def loss(data: Any, index: int) -> dict[str, Any]:
        return objective.loss(model, *data, streams, index)

    def updates(count: int) -> None:
        plan = Plan(steps=count, accumulation=config.get("accumulation", 1),
                    clip_norm=config.get("clip_norm"),
                    clip_groups=tuple(config.get("clip_groups") or ()),
                    precision=config.get("precision", "fp32"), log_every=count,
                    checkpoint_every=count, tokens_per_step=1, phase="calibration")
        fit(model, lambda _: batch, loss, optimizer, plan, streams=streams,
            schedule=lambda step, steps: 1.0)

    return updates


def _timed(updates: Any, seconds: float, clock: Any) -> tuple[float, float]:
    """Return the quickest and the slowest seconds an update, of CHUNKS chunks of updates."""
    updates(WARM_UP)
    once = _each(updates, LEAST, clock)
    count = min(MOST, max(LEAST, round(seconds / CHUNKS / max(once, 1e-6))))
    taken = [_each(updates, count, clock) for _ in range(CHUNKS)]
    return min(taken), max(taken)


def _each(updates: Any, count: int, clock: Any) -> float:
    begin = clock()
    updates(count)
    return (clock() - begin) / count


if __name__ == "__main__":
    main()
