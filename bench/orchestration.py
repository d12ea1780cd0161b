"""What DVC and the command line cost where there is nothing to do, as papers double.

    python bench/orchestration.py [--papers 3 10 20 40 66] [--repetitions 3]

A workspace of copies of electra, sltrain and tiny_lm in which all is finished: as many stages and
files as real runs left, but small files. Of each size: `dvc repro` of one paper, the same with -s,
`dvc status` of all; once each before the clock runs, as DVC keeps digests of what it
has seen. And `repro resolve` of every paper there is. Each command is a process of its own.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import suites

SOURCES = ("electra", "sltrain", "tiny_lm")
ONE = f"papers/{SOURCES[0]}/dvc.yaml"
DVC = (sys.executable, "-m", "dvc")
REPRO = (sys.executable, *common.CLI)
NOTHING_TO_DO = {
    "dvc repro of one paper": (*DVC, "repro", ONE),
    "dvc repro -s of one paper": (*DVC, "repro", "-s", ONE),
    "dvc status of the suite": (*DVC, "status"),
}


def finished(root: Path, env: dict[str, str]) -> None:
    """Make a workspace in which DVC finds nothing to do."""
    suites.workspace(root, SOURCES)
    common.timed(["git", "init", "-q", "."], env, root)
    common.timed([*DVC, "init", "-q"], env, root)
    shutil.copy(common.ROOT / ".dvc" / "config", root / ".dvc" / "config")
    for source in SOURCES:
        common.timed([*DVC, "commit", "-q", "-f", f"papers/{source}/dvc.yaml"], env, root)


def measured(
    command: tuple[str, ...], root: Path, env: dict[str, str], repetitions: int
) -> dict[str, Any]:
    """Return what each repetition of a command took. Ends here if a stage was run."""
    found = []
    for repetition in range(repetitions + 1):
        said, took = common.timed(command, env, root)
        if "Running stage" in said or "changed" in said.replace("didn't change", ""):
            raise SystemExit(f"{' '.join(command[3:])}: something was to do:\n{said[-2000:]}")
        if repetition:
            found.append(took)
    return {name: [one[name] for one in found] for name in found[0]}


def growth(sizes: list[int], repetitions: int) -> list[dict[str, Any]]:
    """Return the cost of every command at every number of papers."""
    found, env = [], common.environment(1)
    with tempfile.TemporaryDirectory(prefix="repro-suite-") as name:
        root = Path(name)
        finished(root, env)
        there = len(SOURCES)
        for papers in sizes:
            for number in range(there, papers):
                suites.copies(root, SOURCES[number % len(SOURCES)], range(number, number + 1))
            there = max(there, papers)
            row = {"papers": there, "stages": stages(root)}
            for what, command in NOTHING_TO_DO.items():
                row[what] = measured(command, root, env, repetitions)
                print(there, what, row[what]["seconds"], flush=True)
            found.append(row)
    return found


def stages(root: Path) -> int:
    """Return how many stages all lock files have together."""
    return sum(path.read_text("utf-8").count("\n    cmd:")
               for path in root.glob("papers/*/dvc.lock"))


def resolving(repetitions: int) -> dict[str, Any]:
    """Return what resolving the mini profile of each paper takes, in a copy of this checkout."""
    env, found = common.environment(1), {}
    with tempfile.TemporaryDirectory(prefix="repro-resolve-") as name:
        root = Path(name)
        files = subprocess.run(["git", "ls-files", "repro", "papers", "params.yaml"], check=True,
                               cwd=common.ROOT, capture_output=True, text=True).stdout.split()
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(common.ROOT / file, root / file)
        here = env | {"PYTHONPATH": str(root)}
        for path in sorted(root.glob("papers/*/paper.yaml")):
            slug = path.parent.name
            found[slug] = measured((*REPRO, "resolve", slug), root, here, repetitions)
            print("resolve", slug, found[slug]["seconds"], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--papers", type=int, nargs="+", default=[3, 10, 20, 40, 66])
    parser.add_argument("--repetitions", type=int, default=3)
    asked = parser.parse_args()
    common.write("orchestration", {
        "machine": common.machine(), "resolve": resolving(asked.repetitions),
        "growth": growth(sorted(asked.papers), asked.repetitions)})


if __name__ == "__main__":
    main()
