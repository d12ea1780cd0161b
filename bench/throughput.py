"""Units trained on per second by our loop, beside what people use instead, in one run.

    python bench/throughput.py [--repetitions 5] [--threads 1] [--tasks mlm rtd ...]
    python bench/throughput.py --device cuda --precision bf16 --compile --size base

Beside it: transformers' Trainer, and a plain loop written by hand (`bench/loops`). All train the
same model classes on the same synthetic examples: fused AdamW, linear schedule, clipping at 1,
dropout 0.1. Ours runs under `portable` numerics, as papers do; the others with nothing pinned or
made deterministic. Where rows differ in length, ours sorts them by it and so do `trainer` and
`plain`; `trainer_random` does not, which is Trainer's default. Each measurement is a fresh process,
the loops in turn. Time runs from the end of the last warm-up update to the end of the last one.
Padding does not count. Memory is the highest resident size of the process. MFU: operations that
the objective needs, over the rate of a large matrix product measured in the same turn.
"""

import argparse
import importlib
import resource
from typing import Any

import common
from loops.setting import RAGGED, SETTING, SIZE, SIZES, UNITS, WARMUP, How

TIMED = {"mlm": 8, "rtd": 8, "clm": 8, "seq2seq": 24, "ctc": 16, "contrastive": 8, "finetune": 48}
OURS, GROUPED, RANDOM = "ours", ("trainer", "plain"), "trainer_random"
MATRIX = "matrix"
ROWS = {"ctc": "utterances"}  # the name of a batch's size, else batch_size
MEASURED = ("units_per_second", "units_per_cpu_second", "peak_mib")


def work(task: str, loop: str, how: list[Any]) -> dict[str, Any]:
    """Return units per second and peak memory of this process, after one training."""
    settings = How(*how)
    if loop == MATRIX:
        return importlib.import_module("loops.matrix").rate(settings)
    run = importlib.import_module(f"loops.{loop.partition('_')[0]}").run
    size = SETTING[ROWS.get(task, "batch_size")]
    clock = run(task, WARMUP + TIMED[task], size, settings._replace(grouped=loop != RANDOM))
    first, last = clock.entries[WARMUP - 1], clock.entries[-1]
    units = last.units - first.units
    found = {
        "units_per_second": units / (last.wall - first.wall),
        "units_per_cpu_second": units / (last.cpu - first.cpu),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "flops_per_unit": clock.flops_per_unit,
    }
    if settings.device != "cpu":
        import torch

        found["peak_device_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def loops_of(task: str) -> list[str]:
    """Return the loops that train a task, ours last."""
    return [*GROUPED, *([RANDOM] if task in RAGGED else []), OURS]


def summarise(results: dict[str, list[dict[str, Any]]], tasks: list[str]) -> dict[str, Any]:
    """Return medians and ratios by task, peer and unit, and the MFU of each loop."""
    summary: dict[str, Any] = {}
    for task in tasks:
        ours = results[f"{task} {OURS}"]
        found = summary[task] = {"units": UNITS[task], "peers": {}}
        units = [unit for unit in (*MEASURED, "peak_device_mib") if unit in ours[0]]
        for loop in loops_of(task)[:-1]:
            theirs = results[f"{task} {loop}"]
            found["peers"][loop] = {unit: common.compared(ours, theirs, unit) for unit in units}
        if flops := ours[0]["flops_per_unit"]:
            needed = flops / max(one["flops"] for one in results[f"{task} {MATRIX}"])
            found["mfu"] = {loop: needed * max(one["units_per_second"]
                                               for one in results[f"{task} {loop}"])
                            for loop in loops_of(task)}
    return summary


def table(summary: dict[str, Any]) -> str:
    """Return the summary as text."""
    lines = [f"{'':52} {'peer':>9} {'ours':>9} {'ratio':>6} {'low - high':>12}"]
    for task, found in summary.items():
        for loop, units in found["peers"].items():
            for unit, value in units.items():
                spread = f"{value['lowest']:.2f} - {value['highest']:.2f}"
                lines.append(
                    f"{task:12} {loop:15} {unit:23} {value['peer']:9,.0f} {value['ours']:9,.0f} "
                    f"{value['ratio']:6.2f} {spread:>12}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tasks", nargs="+", choices=TIMED, default=list(TIMED))
    parser.add_argument("--size", choices=SIZES, default=SIZE)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true", help="of the others; ours has none")
    parser.add_argument("--out", help="default: throughput, with threads or device if not 1, cpu")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table and write the results."""
    if common.answer(work):
        return
    asked = arguments()
    how = How(asked.threads, asked.device, asked.precision, asked.compile)

    def measure(name: str) -> dict[str, Any]:
        task, loop = name.split()
        env = common.environment(
            asked.threads, how.numerics if loop == OURS else None, BENCH_SIZE=asked.size,
            TOKENIZERS_PARALLELISM="false")
        return common.worker(__file__, env, task=task, loop=loop, how=list(how))

    names = [f"{task} {loop}" for task in asked.tasks
             for loop in (*loops_of(task), *([MATRIX] if task in ("mlm", "rtd", "clm") else []))]
    results = common.in_turn(names, asked.repetitions, measure)
    summary = summarise(results, asked.tasks)
    default = (f"throughput-{asked.device}" if asked.device != "cpu" else
               f"throughput-{asked.threads}" if asked.threads > 1 else "throughput")
    common.write(asked.out or default, {
        "machine": common.machine() | accelerator(asked.device),
        "setting": SIZES[asked.size] | {name: SETTING[name] for name in ("dropout", "stack")},
        "how": how._asdict(), "updates": {task: TIMED[task] for task in asked.tasks},
        "summary": summary, "repetitions": results,
    })
    print(table(summary))


def accelerator(device: str) -> dict[str, str]:
    """Return {gpu: its name} where one is used."""
    if device == "cpu":
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name()}


if __name__ == "__main__":
    main()
