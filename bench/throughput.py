"""Tokens per second of our training loop beside what people use instead, in one run.

    python bench/throughput.py [--repetitions 5] [--threads 1] [--tasks mlm rtd clm finetune]

Beside it: transformers' Trainer, and a plain loop written by hand (`bench/loops`). All train the
same model classes on the same synthetic rows: fp32, CPU, fused AdamW, linear schedule, gradient
clipping at 1, dropout 0.1. Each repetition is a fresh process, the loops in turn, so that a busy
machine slows all alike. Time runs from the end of the last warm-up update to the end of the last
one, on the wall and as CPU time of the process (the same on an idle machine with one thread; on a
busy one the second is the steadier). Padding is no token. Memory is the highest resident size.
"""

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from loops.setting import SETTING, WARMUP

TIMED = {"mlm": 8, "rtd": 8, "clm": 8, "finetune": 48}  # updates
OURS, PEERS = "ours", ("trainer", "plain")
UNITS = ("tokens_per_second", "tokens_per_cpu_second", "peak_mib")
ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


def work(task: str, loop: str, threads: int) -> dict[str, float]:
    """Return tokens per second and peak memory of this process, after one training."""
    run = importlib.import_module(f"loops.{loop}").run
    clock = run(task, WARMUP + TIMED[task], threads)
    first, last = clock.entries[WARMUP - 1], clock.entries[-1]
    tokens = last.tokens - first.tokens
    return {
        "tokens_per_second": tokens / (last.wall - first.wall),
        "tokens_per_cpu_second": tokens / (last.cpu - first.cpu),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def spawn(task: str, loop: str, threads: int) -> dict[str, float]:
    """Return what `work` returns, from a fresh process."""
    command = [sys.executable, __file__, "--worker", task, loop, "--threads", str(threads)]
    env = os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {task} {loop}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(results: dict[str, list[dict[str, float]]], tasks: list[str]) -> dict[str, Any]:
    """Return the medians and ours over each peer's, by task, peer and unit.

    The ratio is the median over repetitions, each of which measured all loops in turn.
    """
    summary: dict[str, Any] = {}
    for task in tasks:
        ours = results[f"{task} {OURS}"]
        for peer in PEERS:
            theirs = results[f"{task} {peer}"]
            for unit in UNITS:
                ratios = [a[unit] / b[unit] for a, b in zip(ours, theirs, strict=True)]
                summary.setdefault(task, {}).setdefault(peer, {})[unit] = {
                    "peer": statistics.median(result[unit] for result in theirs),
                    "ours": statistics.median(result[unit] for result in ours),
                    "ratio": statistics.median(ratios),
                    "lowest": min(ratios),
                    "highest": max(ratios),
                }
    return summary


def table(summary: dict[str, Any]) -> str:
    """Return the summary as text."""
    lines = [f"{'':40} {'peer':>9} {'ours':>9} {'ratio':>6} {'low - high':>12}"]
    for task, peers in summary.items():
        for peer, units in peers.items():
            for unit, value in units.items():
                spread = f"{value['lowest']:.2f} - {value['highest']:.2f}"
                lines.append(
                    f"{task:8} {peer:8} {unit:22} {value['peer']:9,.0f} {value['ours']:9,.0f} "
                    f"{value['ratio']:6.2f} {spread:>12}"
                )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tasks", nargs="+", choices=TIMED, default=list(TIMED))
    parser.add_argument("--out", type=Path, help="default: bench/results/throughput.json, and for "
                        "N threads throughput-N.json")
    parser.add_argument("--worker", nargs=2, metavar=("TASK", "LOOP"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(work(*asked.worker, asked.threads)))
        return
    results: dict[str, list[dict[str, float]]] = {
        f"{task} {loop}": [] for task in asked.tasks for loop in (*PEERS, OURS)}
    for repetition in range(asked.repetitions):
        for name, measured in results.items():
            measured.append(spawn(*name.split(), asked.threads))
            print(f"{repetition + 1}/{asked.repetitions} {name:18} "
                  f"{measured[-1]['tokens_per_second']:10,.0f} tokens/s", flush=True)
    import torch
    import transformers

    summary = summarise(results, asked.tasks)
    report = {
        "setting": SETTING | {"threads": asked.threads},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "updates": {task: TIMED[task] for task in asked.tasks},
        "summary": summary,
        "repetitions": results,
    }
    suffix = f"-{asked.threads}" if asked.threads > 1 else ""
    out = asked.out or Path(__file__).parent / f"results/throughput{suffix}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n{asked.threads} thread(s), {asked.repetitions} repetitions, medians\n"
          f"{table(summary)}")


if __name__ == "__main__":
    main()
