"""Write bench/RESULTS.md from bench/results/*.json. Nothing there is typed.

    python bench/report.py
"""

import json
import statistics
from collections.abc import Iterator
from typing import Any

import common

# What was set as a goal before anything was measured: ours over Trainer's units per second.
GOALS = {"mlm": 2.0, "rtd": 1.5, "clm": 1.2, "seq2seq": 1.3, "ctc": 1.1, "contrastive": 1.1,
         "finetune": 1.5}
PACK, FINISHED, STATUS, RESOLVE, STALL, RESUME, RESIDENT = 1.5, 1.0, 0.5, 1.5, 0.02, 3.0, 2048
RUNS = 1000
NAMES = {"mlm": "masked LM", "rtd": "replaced tokens", "clm": "causal LM",
         "seq2seq": "seq2seq denoising", "ctc": "speech, CTC", "contrastive": "image-text",
         "finetune": "fine-tuning, classification"}
HEAD = """# Measurements

Rendered by `python bench/report.py` from `bench/results/*.json`; how each was made is said in
[README.md](README.md) and at the head of its script. Ratios are medians over repetitions that
measured all sides in turn, with the lowest and the highest; above 1 means that ours is faster (or
takes more memory)."""
Rows = Iterator[list[str]]


def load(name: str) -> dict[str, Any] | None:
    """Return a result, None where it was not measured."""
    path = common.RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; nothing without rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if rows else ""


def machine(found: dict[str, Any]) -> str:
    """Return where something was measured, without the name of the host."""
    if "machine" not in found:
        return "Measured earlier; the machine was not noted."
    one = found["machine"]
    widest = next((name for name in ("avx512f", "avx2") if name in one["features"]), "no AVX2")
    gpu = f", {one['gpu']}" if "gpu" in one else ""
    versions = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
    return (f"{one['cpu']} ({widest}), {one['cores']} cores, {one['memory_gib']} GiB{gpu}; load "
            f"average {one['load']}; {versions}.")


def ratio(value: dict[str, float]) -> str:
    return f"{value['ratio']:.2f} ({value['lowest']:.2f} - {value['highest']:.2f})"


def middle(values: list[float]) -> float:
    return statistics.median(values)


def throughput(found: dict[str, Any]) -> str:
    """Return one table of tasks and peers."""
    rows = []
    for task, one in found["summary"].items():
        for peer, units in one["peers"].items():
            speed, cpu, memory = (units[name] for name in (
                "units_per_second", "units_per_cpu_second", "peak_mib"))
            share = one.get("mfu", {})
            rows.append([NAMES[task], peer, f"{speed['ours']:,.0f} {one['units']}",
                         f"{speed['peer']:,.0f}", ratio(speed), ratio(cpu), ratio(memory),
                         " / ".join(f"{share[loop]:.0%}" for loop in ("ours", peer) if share)])
    return table(["task", "peer", "ours a second", "peer", "ratio", "ratio by CPU time",
                  "memory, ours / peer", "MFU, ours / peer"], rows)


def data(found: dict[str, Any]) -> Iterator[str]:
    rows = [[cores, peer, f"{one['mb_per_second']['ours']:.1f}",
             f"{one['mb_per_second']['peer']:.1f}", ratio(one["mb_per_second"]),
             ratio(one["mb_per_cpu_second"])]
            for cores, cell in found["packing"].items() for peer, one in cell["summary"].items()]
    yield f"Tokenising and packing, MB of text a second ({found['megabytes']:g} MB):\n"
    yield table(["cores", "peer", "ours", "peer", "ratio", "ratio by CPU time"], rows)
    first = found["first_batch"]["summary"]
    yield "\nTime to the first batch of a packed corpus (below 1 is faster):\n"
    yield table(["", "ours, s", "datasets, s", "ours / peer"], [
        [name, f"{first[unit]['ours']:.3f}", f"{first[unit]['peer']:.3f}", ratio(first[unit])]
        for name, unit in (("opening and one batch", "seconds"),
                           ("the whole process, imports included", "process_seconds"))])
    yield "\nLarge corpora: highest resident size in MiB. The data stage also removes duplicates.\n"
    yield table(["", "text, MB", "MB/s", "after imports", "highest", "of it mapped files"], [
        *[["tokenise and write", f"{row['megabytes']:g}", f"{row['write']['mb_per_second']:.1f}",
           f"{row['write']['before_mib']:.0f}", f"{row['write']['peak_mib']:.0f}", ""]
          for row in found["corpus"]],
        *[["read batches", f"{row['megabytes']:g}", "", f"{row['read']['before_mib']:.0f}",
           f"{row['read']['peak_mib']:.0f}", f"{row['read']['mapped_mib']:.0f}"]
          for row in found["corpus"]],
        *[["data stage", f"{row['megabytes']:g}", f"{row['mb_per_second']:.1f}",
           f"{row['before_mib']:.0f}", f"{row['peak_mib']:.0f}", ""] for row in found["stage"]]])


def slope(rows: list[dict[str, Any]]) -> float:
    """Return the MiB of memory that a further MB of text takes, from the least to the most."""
    first, last = rows[0], rows[-1]
    return (last["peak_mib"] - first["peak_mib"]) / (last["megabytes"] - first["megabytes"])


def orchestration(found: dict[str, Any]) -> Iterator[str]:
    names = [name for name in found["growth"][0] if name not in ("papers", "stages")]
    yield "Seconds (of CPU time), where there is nothing to do:\n"
    yield table(["papers", "stages", *names], [
        [str(row["papers"]), str(row["stages"]), *(seconds(row[name]) for name in names)]
        for row in found["growth"]])
    yield "\n`repro resolve`, seconds (of CPU time):\n"
    yield table(["paper", "seconds"], [[slug, seconds(one)]
                                       for slug, one in found["resolve"].items()])


def seconds(one: dict[str, list[float]]) -> str:
    return f"{middle(one['seconds']):.2f} ({middle(one['cpu_seconds']):.2f})"


def dispatch(found: dict[str, Any]) -> Iterator[str]:
    first, again = found["fake"]["first"], found["fake"]["again"]
    yield (f"{found['papers']} papers, {first['runs']} runs, into a fake scheduler: "
           f"{first['seconds']} s ({first['cpu_seconds']} s of CPU time); asked again: "
           f"{again['seconds']} s. By the number of runs, seconds (of CPU time):\n")
    yield table(["runs", "queue them", "`repro status` of them", "find them finished"], [
        [str(row["runs"]), f"{row['queue']['seconds']:.2f} ({row['queue']['cpu_seconds']:.2f})",
         seconds(row["status"]), seconds(row["finished"])] for row in found.get("growth", [])])


def exactness(found: dict[str, Any]) -> Iterator[str]:
    yield "Our speed under `portable`, over that under other numerics (by CPU time):\n"
    yield table(["task", *next(iter(found["numerics"].values()), {"summary": {}})["summary"]], [
        [NAMES[task], *(ratio(one) for one in cell["summary"].values())]
        for task, cell in found["numerics"].items()])
    yield "\nCheckpoints, written where the loop waits:\n"
    yield table(["model", "checkpoint, MiB", "update, ms", "wait, ms",
                 f"share at every {found['interval']}", "2 % at every"], [
        [size, f"{one['mib']:.1f}", f"{one['update_ms']:.1f}", f"{one['stall_ms']:.1f}",
         f"{one['share']:.2%}", f"{one['updates_between']:.0f}"]
        for size, one in found["checkpoints"].items()])
    yield "\nFrom the start of a process to the first update of a run that was stopped, seconds:\n"
    yield table(["model", "all", "CPU time", "importing", "data, model, checkpoint, update"], [
        [size, f"{one['seconds']:.2f}", f"{one['cpu_seconds']:.2f}", f"{one['importing']:.2f}",
         f"{one['restoring_and_first_update']:.2f}"] for size, one in found["resuming"].items()])


def goals() -> Rows:
    """Yield goal, figure, whether it is met."""
    if found := load("throughput"):
        for task, goal in GOALS.items():
            if one := found["summary"].get(task):
                value = one["peers"]["trainer"]["units_per_second"]["ratio"]
                yield judged(f"{NAMES[task]}: at least {goal:g} x Trainer", f"{value:.2f} x",
                             value >= goal)
        for task, one in found["summary"].items():
            worst = max(peer["peak_mib"]["ratio"] for peer in one["peers"].values())
            yield judged(f"{NAMES[task]}: no more memory than a peer", f"{worst:.2f} x",
                         worst <= 1)
    if found := load("data"):
        for cores, cell in found["packing"].items():
            value = min(one["mb_per_second"]["ratio"] for one in cell["summary"].values())
            yield judged(f"tokenise and pack, {cores} core(s): at least {PACK:g} x datasets.map",
                         f"{value:.2f} x", value >= PACK)
        last = [row[what] | row for row in found["corpus"][-1:] for what in ("write", "read")]
        yield judged(f"memory of {last[0]['megabytes']:g} MB of text: below 2 GiB",
                     f"{max(row['peak_mib'] for row in last):.0f} MiB",
                     max(row["peak_mib"] for row in last) < RESIDENT)
        each = slope(found["stage"])
        whole = found["stage"][-1]["peak_mib"] + each * (10_000 - found["stage"][-1]["megabytes"])
        yield judged("memory of the data stage on 10 GB of text: below 2 GiB",
                     f"{each:.1f} MiB more for each MB, so {whole / 1024:.0f} GiB",
                     whole < RESIDENT)
    yield from goals_of_commands()


def goals_of_commands() -> Rows:
    if (found := load("dispatch")) and "growth" in found:
        for row in found["growth"]:
            if row["runs"] == RUNS:
                for name, what, goal in (("finished", "find {} runs finished", FINISHED),
                                         ("status", "`repro status` of {} runs", STATUS)):
                    value = middle(row[name]["seconds"])
                    yield judged(f"{what.format(RUNS)}: at most {goal:g} s", f"{value:.2f} s",
                                 value <= goal)
    if found := load("orchestration"):
        slug, one = max(found["resolve"].items(), key=lambda item: middle(item[1]["seconds"]))
        value = middle(one["seconds"])
        yield judged(f"`repro resolve`: at most {RESOLVE:g} s a paper",
                     f"{value:.2f} s ({slug})", value <= RESOLVE)
    if found := load("exactness"):
        for size, one in found["checkpoints"].items():
            yield judged(f"checkpoints, {size} model: below {STALL:.0%} of the time",
                         f"{one['share']:.2%}", one["share"] < STALL)
        value = found["resuming"]["tiny"]["seconds"]
        yield judged(f"resuming a tiny model: first update within {RESUME:g} s",
                     f"{value:.2f} s", value <= RESUME)


def judged(goal: str, value: str, met: bool) -> list[str]:
    return [goal, value, "yes" if met else "**no**"]


def elsewhere() -> Rows:
    """Yield what other scripts found, in a line each."""
    if found := load("kills"):
        yield ["`kills.py`", f"{found['identical']} of {found['kills']} training runs that were "
               "killed and resumed end in the same bytes"]
    if found := load("faults"):
        yield ["`faults.py`", f"{found['identical']} of {found['schedules']} random fault "
               f"schedules end in the same bytes; {found['lost']} runs lost"]
    if found := load("fuzz"):
        yield ["`fuzz.py`", f"{found['cases']} damaged files, {len(found['defects'])} defects"]
    if found := load("code_digests"):
        one = found["all"]
        yield ["`code_digests.py`", f"{one['edits_missed']} of {one['can_change']} edits missed; "
               f"{one['needless_rate']:.0%} of the other sections needlessly recomputed"]
    if found := load("forecast"):
        yield ["`forecast.py`", f"{found['runs']} runs of {found['paper']}: forecast "
               f"{found['error']:+.0%} off"]
    if found := load("site"):
        yield ["`site.py`", f"the site of {found['papers']} papers in {found['core_seconds']} "
               f"core-seconds, {found['all_kb'] / 1000:.1f} MB"]


def sections() -> Iterator[str]:
    yield HEAD
    yield "\n## Goals, and what was found\n"
    yield table(["goal", "found", "met"], list(goals()))
    for path in sorted(common.RESULTS.glob("throughput*.json"), key=lambda path: len(path.stem)):
        found = load(path.stem)
        how = found["how"]
        where = how["device"] if how["device"] != "cpu" else f"{how['threads']} thread(s)"
        compiled = ", peers compiled" if how["compiled"] else ""
        yield f"\n## Training: {where}, {how['precision']}{compiled}\n\n{machine(found)}\n"
        yield throughput(found)
    for name, title, render in (
            ("data", "Text to batches", data), ("orchestration", "DVC and settings", orchestration),
            ("dispatch", "Runs by the thousand", dispatch),
            ("exactness", "The cost of exactness", exactness)):
        if found := load(name):
            yield f"\n## {title}\n\n{machine(found)}\n"
            yield from render(found)
    yield "\n## Measured elsewhere\n"
    yield table(["script", "found"], list(elsewhere()))


def main() -> None:
    path = common.ROOT / "bench" / "RESULTS.md"
    path.write_text("\n".join(sections()) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(common.ROOT)}")


if __name__ == "__main__":
    main()
