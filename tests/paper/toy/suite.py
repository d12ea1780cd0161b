"""Make a suite with the one paper `toy`, and what its stages would have left in out/."""

import json
import shutil
from pathlib import Path

HERE = Path(__file__).parent
# arm -> task -> one value a seed; plain beats scratch, better beats plain on colour by about 0.1.
VALUES = {
    "scratch": {"colour": [0.30, 0.31, 0.29, 0.30, 0.32], "shape": [0.20, 0.21, 0.19, 0.20, 0.20]},
    "plain": {"colour": [0.50, 0.52, 0.49, 0.50, 0.51], "shape": [0.40, 0.41, 0.39, 0.40, 0.40]},
    "better": {"colour": [0.60, 0.63, 0.58, 0.61, 0.62], "shape": [0.41, 0.41, 0.40, 0.39, 0.41]},
    "small": {"colour": [0.45, 0.44, 0.46, 0.43, 0.45], "shape": [0.35, 0.36, 0.34, 0.36, 0.35]},
    "committee": {"colour": [0.47, 0.46, 0.48, 0.45, 0.47], "shape": [0.37, 0.36, 0.36, 0.37, 0.3]},
}
METRIC = {"colour": "accuracy", "shape": "macro_f1"}


def make(root: Path) -> Path:
    """Return papers/toy of a fresh suite at root."""
    paper = root / "papers" / "toy"
    paper.mkdir(parents=True)
    for name in ("paper.yaml", "paper.gin", "mini.gin", "method.py"):
        shutil.copy(HERE / name, paper / name)
    return paper


def row(task: str, value: float) -> dict:
    return {"task": task, "metric": METRIC[task], "value": value}


def evaluate(paper: Path, profile: str = "mini", values: dict = VALUES) -> None:
    """Write the eval artefacts (and the pretrain histories) that `values` stands for."""
    for arm, tasks in values.items():
        for seed in range(len(next(iter(tasks.values())))):
            folder = paper / "out" / profile / arm / "eval" / f"seed{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(row(task, column[seed])) for task, column in tasks.items()]
            (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
            if arm in ("plain", "better", "small"):
                folder = paper / "out" / profile / arm / "pretrain" / f"seed{seed}"
                folder.mkdir(parents=True, exist_ok=True)
                history = [{"step": s, "loss": round(9 / s + seed / 100, 4)} for s in (1, 100, 200)]
                text = "".join(json.dumps(entry) + "\n" for entry in history)
                (folder / "history.jsonl").write_text(text)
