"""Write docs/dvc.md: what DVC's own commands say of a real paper, run for this page.

A clone of this repository, ELECTRA at smoke scale, one seed. Nothing on the page is typed by hand.

    python bench/dvc_tour.py [FOLDER]      # FOLDER: keep the clone there, and use it again
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAPER = "papers/electra/dvc.yaml"
MOST = 40  # lines of one answer
WIDTH = 120
SMOKE = "-S params.yaml:suite.profiles=[smoke] -S params.yaml:suite.seeds=[0]"
# Heading, what the reader should know, and commands: (shown, lines of the end that are shown).
TOUR = [
    ("A run with other settings", "`-S` edits `params.yaml` for this run. The first one makes "
     "every run of the profile; a smoke run proves the plumbing and yields no verdict.",
     [(f"dvc exp run -n base {SMOKE} {PAPER}", 6)]),
    ("Its metrics", "Counts of verdicts, the estimate of each claim, each arm's mean.",
     [("dvc metrics show papers/electra/results/smoke.metrics.json", MOST)]),
    ("One setting of the paper changed", "Gin bindings of `papers.<slug>.overrides` win over the "
     "paper's files. Only what the binding reaches is computed again: fine-tuning and scoring, no "
     "pre-training.",
     [(f"dvc exp run -n decay {SMOKE} -S "
       "'params.yaml:papers.electra.overrides=[\"finetuning.adamw.weight_decay = 0.1\"]' " + PAPER,
       6)]),
    ("What differs in settings", "The resolved settings are parameters of DVC, so `params diff` "
     "speaks of gin.",
     [("dvc params diff base decay --targets papers/electra/resolved/smoke/electra.json", MOST)]),
    ("What differs in results", "",
     [("dvc metrics diff base decay --targets papers/electra/results/smoke.metrics.json", MOST)]),
    ("All experiments", "",
     [("dvc exp show --no-pager --md --num 1 --drop '.*(params|resolved|out|repro|deps).*' "
       "--keep '.*(arms.electra|overrides|seeds).*'", MOST)]),
    ("Back to one of them", "Files, parameters and artefacts of the experiment come back from the "
     "cache; `dvc status` has nothing to do.",
     [("dvc exp apply base", 6), ("dvc status " + PAPER, 6)]),
    ("Plots", "Learning curves and claims, as one HTML page.",
     [("dvc plots show papers/electra/results/smoke.curves papers/electra/results/smoke.claims.csv "
       "--out plots", 3), ("ls plots/index.html", 1)]),
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
