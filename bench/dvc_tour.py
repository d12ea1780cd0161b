"""Write docs/dvc.md: what DVC's own commands say of a real paper, run for this page.

A clone of this repository, an arm of ELECTRA at smoke scale, one seed. Nothing there is typed.

    python bench/dvc_tour.py [FOLDER]      # FOLDER: keep the clone there, and use it again
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = "papers/electra/dvc.yaml:eval@smoke-generator_full"
MOST = 40  # lines of one answer
WIDTH = 120
SMOKE = "-S params.yaml:suite.profiles=[smoke] -S params.yaml:suite.seeds=[0]"
DECAY = "-S 'params.yaml:papers.electra.overrides=[\"finetuning.adamw.weight_decay = 0.1\"]'"
RESOLVED = "papers/electra/resolved/smoke/generator_full.json"
RESULTS = "papers/electra/results"
# Heading, what the reader should know, and commands: (as typed, lines of the end that are shown).
TOUR = [
    ("Other settings, without editing a file", "`-S` sets `params.yaml` for this run: the smoke "
     "profile, which proves the plumbing in seconds and yields no verdict, and one seed. A stage "
     "as the target brings along what it needs; without one the whole paper is run. Stopped in the "
     "middle, DVC leaves git at a detached HEAD: `git checkout -f main` brings it back, and the "
     "store keeps every finished run and checkpoint.",
     [(f"dvc exp run -n base {SMOKE} {TARGET}", 12)]),
    ("One setting of the science", "Gin bindings of `papers.<slug>.overrides` win over the paper's "
     "files. Only what a binding reaches is computed again: here fine-tuning and scoring, but no "
     "data and no pre-training.",
     [(f"dvc exp run -n decay {SMOKE} {DECAY} {TARGET}", 16)]),
    ("What differs in settings", "Resolved settings are parameters of DVC, so `params diff` speaks "
     "of what gin came to.",
     [(f"dvc params diff base decay --targets {RESOLVED}", MOST)]),
    ("All experiments", "",
     [("dvc exp list", MOST),
      ("dvc exp show --md --no-pager --drop '.*' --keep '.*(overrides|suite.seeds).*'", MOST)]),
    ("Back to one of them", "Parameters, settings and artefacts of the experiment come back from "
     "the cache. DVC looks for the artefacts of the whole suite, names those that nobody ever made "
     "in this profile, and exits with 255 for them; what was made is there, and nothing is left to "
     "do for it.",
     [("dvc exp apply base 2>&1 | tail -2", 2), ("git diff --stat -- params.yaml", 2),
      (f"dvc repro {TARGET}", 4)]),
    ("Metrics", "Those of the committed `mini` results, and how they came to differ from an "
     "earlier commit.",
     [(f"dvc metrics show {RESULTS}/mini.metrics.json --md", MOST),
      ("dvc metrics diff $(git log --format=%h -- papers/electra/results/mini.metrics.json "
       f"| tail -1) HEAD --md --targets {RESULTS}/mini.metrics.json", MOST)]),
    ("Plots", "Learning curves and claims, as one page.",
     [(f"dvc plots show {RESULTS}/mini.curves {RESULTS}/mini.claims.csv --out plots", 1)]),
]
HEAD = """# DVC's own commands on a paper

Rendered by `python bench/dvc_tour.py`, which ran every command below in a fresh clone (DVC {dvc});
long answers are cut where it says `[...]`.
"""


def main() -> None:
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        clone = given or Path(folder) / "suite"
        if not clone.exists():
            _run(f"git clone -q {ROOT} {clone}", ROOT)
            _run("git config user.email tour@example.org; git config user.name tour", clone)
        text = HEAD.format(dvc=_run("dvc --version", clone).strip())
        for title, about, commands in TOUR:
            text += f"\n## {title}\n\n" + (f"{about}\n\n" if about else "")
            for command, lines in commands:
                print(f"$ {command}", flush=True)
                said = _shown(_run(command, clone), clone, lines)
                text += f"```console\n$ {command}\n{said}```\n"
    target = ROOT / "docs" / "dvc.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _run(command: str, folder: Path) -> str:
    """Return what a command says; end here if it fails."""
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1", "COLUMNS": str(WIDTH), "TERM": "dumb",
    }
    done = subprocess.run(command, shell=True, cwd=folder, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{command}: exit {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def _shown(said: str, clone: Path, most: int) -> str:
    """Return the end of an answer: no colours, no progress, no path of this machine."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).replace("\r", "\n").replace(str(clone), ".")
    lines = [line.rstrip() for line in plain.splitlines() if line.strip()]
    cut = lines[-most:]
    return "\n".join((["[...]"] if len(cut) < len(lines) else []) + cut) + "\n" if cut else ""


if __name__ == "__main__":
    main()
