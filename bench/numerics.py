"""Which machines agree to the last bit, under which numerics, and what it costs.

    python bench/numerics.py [--qemu qemu-x86_64] [--rounds 5] [--out bench/results/numerics.json]

Here: small operations (repro/pipeline/fingerprint.py) under `portable` with one thing changed at a
time: a pin left out, another value, features hidden from the C library. On other machines: the same
binaries under qemu-user, which emulates other processors instruction by instruction, their names
included. Speed: updates of two papers' arms. Whole runs of real processors are compared by `repro
verify` and `repro golden`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import operations
import torch

from repro import settings
from repro.config.build import build
from repro.context import RunContext
from repro.errors import Interrupted
from repro.paper import Paper
from repro.pipeline import arithmetic, files, golden, machine
from repro.pipeline.environment import pinned
from repro.pipeline.progress import Lines
from repro.pipeline.spec import expand_all
from repro.pipeline.stage import load_tree
from repro.pipeline.store import Store
from repro.train.determinism import NUMERICS_ENV

HERE = Path(__file__).resolve().parent
PORTABLE = NUMERICS_ENV["portable"]
FIXED = [name for name, pins in NUMERICS_ENV.items() if pins]
EMULATED = {"Haswell": "Intel, AVX2 (2013)", "EPYC-Rome": "AMD, AVX2 (2019)"}
ARMS = {"electra": "electra", "tiny_lm": "large"}
UPDATES = 40
_NO_512 = "-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD"
CHANGES = {
    **{f"without {name}": {name: None} for name in PORTABLE},
    **{f"MKL_CBWR={value}": {"MKL_CBWR": value}
       for value in ("COMPATIBLE", "SSE4_2", "AVX512", "AUTO")},
    "ATEN_CPU_CAPABILITY=default": {"ATEN_CPU_CAPABILITY": "default"},
    "OPENBLAS_CORETYPE=Zen": {"OPENBLAS_CORETYPE": "Zen"},
    "C library without AVX-512": {"GLIBC_TUNABLES": f"glibc.cpu.hwcaps={_NO_512}"},
    "C library without AVX-512, AVX2, FMA":
        {"GLIBC_TUNABLES": f"glibc.cpu.hwcaps={_NO_512},-AVX2,-FMA,-FMA4"},
    "native": dict.fromkeys(PORTABLE),
}


def call(words: Sequence[str | Path], env: dict[str, str], emulator: Sequence[str] = ()) -> str:
    """Return what a Python process prints."""
    done = subprocess.run([*emulator, sys.executable, *words], env=env, text=True, check=False,
                          capture_output=True, cwd=HERE.parent)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr[-400:]}")
    return done.stdout


def operated(changes: dict[str, str | None], numerics: str = "portable",
             emulator: Sequence[str] = ()) -> dict[str, str]:
    """Return operation -> digest under numerics with some variables changed (None = not set)."""
    env = {name: value for name, value in pinned(numerics).items() if name not in changes}
    env |= {name: value for name, value in changes.items() if value is not None}
    return json.loads(call([operations.__file__, numerics], env, emulator))


def differing(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    return [name for name in theirs if ours[name] != theirs[name]]


def speed(rounds: int) -> dict[str, Any]:
    """Return arm -> numerics -> milliseconds an update takes here, in turn."""
    found, speeds = settings.load(HERE.parent), {}
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request.json"
        for slug, arm in ARMS.items():
            asked = ask(Paper.find(slug, HERE.parent), arm, found)
            times: dict[str, list[float]] = {mode: [] for mode in NUMERICS_ENV}
            for _ in range(rounds):
                for mode, seen in times.items():
                    files.write_json(request, {**asked, "numerics": mode})
                    seen.append(float(call([Path(__file__), "--speed", request], pinned(mode))))
            speeds[f"{slug}/{arm}"] = {mode: {"median": round(statistics.median(seen), 2),
                                              "all": seen} for mode, seen in times.items()}
    return speeds


def ask(paper: Paper, arm: str, found: settings.Settings) -> dict[str, Any]:
    """Return a request for the pre-training of an arm; its data are made where they are missing."""
    tree = load_tree(paper, "mini", found.suite)
    seed = found.suite.seeds[0]
    (chain,) = [chain[:1] for chain in golden.chains_of(expand_all(paper, tree, "mini", [seed]))
                if chain[0].arm == arm]
    golden.ensure_data(paper, [chain], found, Lines(sys.stderr))
    return {"seed": seed, "root": str(found.root),
            "chains": [golden.request_of(chain, Store(found.store))]}


def milliseconds(request: Path) -> float:
    """Return the median CPU time of one update, in this process: a busy machine matters less."""
    asked = files.read_json(request)
    arithmetic.configure(asked["numerics"])
    (chain,) = asked["chains"]
    clock = [time.process_time()]
    with tempfile.TemporaryDirectory() as folder:
        context = RunContext(
            stage="pretrain", arm=chain["links"][0]["arm"], seed=asked["seed"],
            inputs={"data": [Path(path) for path in chain["data"]]}, out=Path(folder),
            checkpoints=Path(folder) / "checkpoints",
            on_report=lambda **_: clock.append(time.process_time()),
            stop_requested=lambda: len(clock) > UPDATES,
        )
        with suppress(Interrupted):
            build(chain["links"][0]["config"], asked["root"])(context)
    steps = [b - a for a, b in zip(clock[5:], clock[6:], strict=False)]
    return round(1000 * statistics.median(steps), 2)


def measure(qemu: str, rounds: int) -> dict[str, Any]:
    """Return everything that is measured, as `render` takes it."""
    emulators = {name: [qemu, "-cpu", name] for name in EMULATED}
    here = {mode: operated({}, mode) for mode in FIXED}
    elsewhere = {name: {mode: differing(operated({}, mode, emulator), here[mode])
                        for mode in FIXED} for name, emulator in emulators.items()}
    print(elsewhere, flush=True)
    changed = {name: differing(operated(changes), here["portable"])
               for name, changes in CHANGES.items()}
    print(changed, flush=True)
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True)
    return {
        **machine.describe(),
        "torch": torch.__version__.partition("+")[0],
        "qemu": version.stdout.splitlines()[0].split()[2],
        "load": round(os.getloadavg()[0], 1),
        "operations": len(here["portable"]),
        "changes": changed,
        "emulated": elsewhere,
        "ms_per_update": speed(rounds),
    }


def render(found: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    return "\n".join([*_head(found), *_changes(found), *_machines(found), *_speed(found)]) + "\n"


def _head(found: dict[str, Any]) -> Iterator[str]:
    yield "# Numerics: which machines agree\n"
    yield (f"Rendered by `bench/numerics.py`. Here: {found['cpu']} "
           f"({', '.join(found['features'])}), {found['libc']}, torch {found['torch']}; "
           f"{found['operations']} operations of `repro/pipeline/fingerprint.py`. Other machines: "
           f"qemu-user {found['qemu']}.\n")


def _changes(found: dict[str, Any]) -> Iterator[str]:
    yield "## `portable` here, with one thing changed\n"
    yield "| changed | operations with other bits | which |\n|---|---|---|"
    for name, wrong in found["changes"].items():
        yield f"| {name} | {len(wrong)} | {', '.join(wrong) or 'none'} |"


def _machines(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## Other machines, beside this one\n"
    yield "| machine | numerics | operations with other bits | which |\n|---|---|---|---|"
    for name, modes in found["emulated"].items():
        for mode, wrong in modes.items():
            yield (f"| {name}: {EMULATED[name]} | {mode} | {len(wrong)} "
                   f"| {', '.join(wrong) or 'none'} |")


def _speed(found: dict[str, Any]) -> Iterator[str]:
    yield f"\n## CPU milliseconds per update here (one thread; load average {found['load']})\n"
    yield f"| arm | {' | '.join(NUMERICS_ENV)} | universal / portable |"
    yield "|---|" + "---|" * (len(NUMERICS_ENV) + 1)
    for arm, modes in found["ms_per_update"].items():
        medians = [modes[mode]["median"] for mode in NUMERICS_ENV]
        ratio = modes["universal"]["median"] / modes["portable"]["median"]
        yield f"| {arm} | {' | '.join(f'{one:.1f}' for one in medians)} | {ratio:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--qemu", default="qemu-x86_64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "numerics.json")
    parser.add_argument("--speed", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.speed:
        print(milliseconds(asked.speed))
    else:
        found = measure(asked.qemu, asked.rounds)
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        asked.out.with_suffix(".md").write_text(render(found), encoding="utf-8")
        print(render(found))


if __name__ == "__main__":
    main()
