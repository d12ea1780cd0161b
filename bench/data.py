"""From text to batches: tokenise and pack, time to the first batch, memory of large corpora.

    python bench/data.py [--megabytes 32] [--repetitions 5] [--cores 1 2]
                         [--corpus 250 500 1000] [--stage 25 50 100]

Beside ours: `datasets.map` with transformers' fast tokenizer, in one process (whose threads take
all cores) and in one process a core. Same text, same vocabulary, both end on disk as packed tokens,
in fresh processes, in turn. Both sides are limited to the same cores.

--corpus: megabytes of text streamed through our tokeniser and writer, then read for training, with
the highest resident size of each; 10000 is the 10 GB corpus. --stage: the same for the whole data
stage, which also removes duplicates and texts of the tasks, and learns the vocabulary.
"""

import argparse
import importlib
import os
import resource
import shutil
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import common

LENGTH, BATCH, BATCHES, CHUNK = 128, 32, 200, 500
OURS, PEERS = "ours", ("datasets.map", "datasets.map, a process a core")
MODULES = dict.fromkeys(PEERS, "feeding.hub") | {OURS: "feeding.ours"}


def resident(field: str = "VmHWM") -> float:
    """Return a size of this process in MiB: VmHWM (highest), RssAnon, RssFile (mapped files)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024, 1)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those it waited for."""
    return sum(used.ru_utime + used.ru_stime for used in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def work(what: str, folder: str, **asked: Any) -> dict[str, Any]:
    """Do one thing in this process; return what it took."""
    return WORK[what](Path(folder), **asked)


def _pack(folder: Path, loop: str, megabytes: float, cores: int) -> dict[str, Any]:
    module, out = importlib.import_module(MODULES[loop]), folder / "made"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    processes = cores if loop == PEERS[1] else 1
    began, cpu = time.perf_counter(), cpu_seconds()
    tokens = module.pack(folder / "text.txt", folder, out, processes, LENGTH)
    return {"mb_per_second": megabytes / (time.perf_counter() - began),
            "mb_per_cpu_second": megabytes / (cpu_seconds() - cpu), "tokens": tokens}


def _save(folder: Path, loop: str, out: str) -> dict[str, Any]:
    module = importlib.import_module(MODULES[loop])
    module.save(folder / "text.txt", folder, Path(out), LENGTH)
    return {}


def _first(folder: Path, loop: str) -> dict[str, Any]:
    """Seconds without imports; those of the whole process are taken from outside."""
    module = importlib.import_module(MODULES[loop])
    began = time.perf_counter()
    shape = module.first_batch(folder, BATCH, LENGTH)
    assert shape == (BATCH, LENGTH), shape
    return {"seconds": time.perf_counter() - began}


def _stream(folder: Path, megabytes: float) -> dict[str, Any]:
    from feeding import ours, text

    before, began = resident(), time.perf_counter()
    tokens = ours.stream(text.documents(megabytes), folder, folder / "streamed", CHUNK)
    seconds = time.perf_counter() - began
    found = {"tokens": tokens, "mb_per_second": megabytes / seconds, "before_mib": before,
             "peak_mib": resident()}
    ours.as_artefact(folder, folder / "streamed")
    return found


def _read(folder: Path) -> dict[str, Any]:
    from feeding import ours

    before = resident()
    took = ours.read_batches(folder / "streamed", BATCH, LENGTH, BATCHES)
    return took | {"before_mib": before, "peak_mib": resident(), "own_mib": resident("RssAnon"),
                   "mapped_mib": resident("RssFile")}


def _stage(folder: Path, megabytes: float) -> dict[str, Any]:
    from feeding import ours

    before, began = resident(), time.perf_counter()
    ours.prepare(folder / "stage.txt", folder / "stage")
    seconds = time.perf_counter() - began
    return {"mb_per_second": megabytes / seconds, "before_mib": before, "peak_mib": resident()}


WORK = {"pack": _pack, "save": _save, "first": _first, "stream": _stream, "read": _read,
        "stage": _stage}


def write_text(path: Path, megabytes: float) -> None:
    """Write a document a line."""
    from feeding import text

    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{document}\n" for document in text.documents(megabytes))


def packing(folder: Path, megabytes: float, cores: int, repetitions: int) -> dict[str, Any]:
    """Return every repetition of tokenising and packing on so many cores, and ratios."""
    os.sched_setaffinity(0, set(sorted(ALLOWED)[:cores]))  # of the children, too
    env = common.environment(cores, RAYON_NUM_THREADS=str(cores))
    loops = [OURS, PEERS[0], *([PEERS[1]] if cores > 1 else [])]
    found = common.in_turn(loops, repetitions, lambda loop: common.worker(
        __file__, env | ({"TOKENIZERS_PARALLELISM": "true"} if loop != PEERS[1] else {}),
        what="pack", folder=str(folder), loop=loop, megabytes=megabytes, cores=cores))
    os.sched_setaffinity(0, ALLOWED)
    return {"repetitions": found, "summary": {
        loop: {unit: common.compared(found[OURS], found[loop], unit)
               for unit in ("mb_per_second", "mb_per_cpu_second")} for loop in loops[1:]}}


def first_batches(folder: Path, repetitions: int) -> dict[str, Any]:
    """Return seconds to the first batch of a packed corpus, imports included and not."""
    env = common.environment(1, RAYON_NUM_THREADS="1")
    loops = {OURS: folder / "ours", PEERS[0]: folder / "hub"}
    for loop, place in loops.items():
        place.mkdir()
        common.worker(__file__, env, what="save", folder=str(folder), loop=loop, out=str(place))

    def measure(loop: str) -> dict[str, Any]:
        began = time.perf_counter()
        inside = common.worker(__file__, env, what="first", folder=str(loops[loop]),
                               loop=loop)
        return {"seconds": inside["seconds"], "process_seconds": time.perf_counter() - began}

    found = common.in_turn(loops, repetitions, measure)
    return {"repetitions": found, "summary": {
        unit: common.compared(found[OURS], found[PEERS[0]], unit)
        for unit in ("seconds", "process_seconds")}}


def large(folder: Path, sizes: list[float]) -> list[dict[str, Any]]:
    """Return memory and speed of writing and of reading corpora of so many megabytes of text."""
    env, found = common.environment(1, RAYON_NUM_THREADS=str(len(ALLOWED))), []
    for megabytes in sizes:
        shutil.rmtree(folder / "streamed", ignore_errors=True)
        wrote = common.worker(__file__, env | {"TOKENIZERS_PARALLELISM": "true"}, what="stream",
                              folder=str(folder), megabytes=megabytes)
        read = common.worker(__file__, env, what="read", folder=str(folder))
        found.append({"megabytes": megabytes, "write": wrote, "read": read})
        print(found[-1], flush=True)
    return found


def stages(folder: Path, sizes: list[float]) -> list[dict[str, Any]]:
    """Return memory and speed of the whole data stage on so many megabytes of text."""
    env, found = common.environment(1, RAYON_NUM_THREADS=str(len(ALLOWED))), []
    for megabytes in sizes:
        write_text(folder / "stage.txt", megabytes)
        shutil.rmtree(folder / "stage", ignore_errors=True)
        (folder / "stage").mkdir()
        found.append({"megabytes": megabytes} | common.worker(
            __file__, env, what="stage", folder=str(folder), megabytes=megabytes))
        print(found[-1], flush=True)
    return found


ALLOWED = os.sched_getaffinity(0)


def main() -> None:
    if common.answer(work):
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=32)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--corpus", type=float, nargs="*", default=[250, 500, 1000])
    parser.add_argument("--stage", type=float, nargs="*", default=[25, 50, 100])
    asked = parser.parse_args()
    from feeding import text

    with tempfile.TemporaryDirectory(prefix="repro-data-") as name:
        folder = Path(name)
        write_text(folder / "text.txt", asked.megabytes)
        text.vocabulary(list(islice(text.documents(asked.megabytes), text.LEARNT_FROM)), folder)
        found = {
            "machine": common.machine(), "megabytes": asked.megabytes, "window": LENGTH,
            "packing": {cores: packing(folder, asked.megabytes, cores, asked.repetitions)
                        for cores in asked.cores if cores <= len(ALLOWED)},
            "first_batch": first_batches(folder, asked.repetitions),
            "corpus": large(folder, asked.corpus),
            "stage": stages(folder, asked.stage),
        }
    common.write("data", found)


if __name__ == "__main__":
    main()
