"""The files under `papers/<slug>/results/`: everything in git that a profile's runs come to.

    <profile>.rows.jsonl      raw measurements
    <profile>.verdict.json    the judgement
    <profile>.metrics.json    for `dvc metrics show`
    <profile>.claims.csv      for `dvc plots show`
    <profile>.curves/         one small csv an arm, for `dvc plots show`
    <profile>.*.svg           what the card shows

All are functions of the runs' artefacts; what is not (time, memory) is in <profile>.cost.json.
"""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.paper import Paper
from repro.verdict import collect, judge, statistics
from repro.verdict.judge import Report, Table

CURVE_STAGE = "pretrain"
CURVE_POINTS = 100
Curve = list[tuple[int, float]]
Curves = dict[str, dict[str, Curve]]


def results_dir(paper: Paper) -> Path:
    return paper.dir / "results"


def write(paper: Paper, profile: str) -> Report:
    """Collect, judge and write all result files of a profile; return the verdict report.

    Raises UserError as `collect` and `judge` do; nothing is written then.
    """
    from repro.report import plots

    rows = collect.collect(paper, profile)
    report = judge.judge(paper, profile, rows)
    folder = results_dir(paper)
    collect.save(paper, profile, rows)
    _write_json(folder / f"{profile}.verdict.json", report)
    _write_json(folder / f"{profile}.metrics.json", metrics(paper, profile, rows, report))
    _write_csv(folder / f"{profile}.claims.csv", CLAIM_COLUMNS, claim_lines(report))
    curves = read_curves(paper, profile)
    _write_curves(folder / f"{profile}.curves", curves)
    (folder / f"{profile}.claims.svg").write_text(plots.claims(report), encoding="utf-8")
    (folder / f"{profile}.curves.svg").write_text(plots.curves(curves), encoding="utf-8")
    return report


def load_verdict(paper: Paper, profile: str) -> Report | None:
    """Return the committed verdict of a profile, None if there is none."""
    path = results_dir(paper) / f"{profile}.verdict.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from error


def metrics(paper: Paper, profile: str, rows: list[collect.Row], report: Report) -> dict[str, Any]:
    """Return what `dvc metrics` compares: verdict counts, the estimate of each claim, and each
    arm's mean over seeds and its tasks' primary metrics."""
    primary = {(name, task.metric) for name, task in paper.tasks.items()}
    arms = {}
    for arm in collect.evaluated_arms(paper, profile):
        values = [r["value"] for r in rows if r["arm"] == arm and (r["task"], r["metric"])
                  in primary]
        if values:
            arms[arm] = float(f"{math.fsum(values) / len(values):.6g}")
    claims = {line["claim"]: {k: line[k] for k in ("difference", "low", "high")}
              for line in claim_lines(report)}
    return {"verdicts": report["counts"], "claims": claims, "arms": arms}


CLAIM_COLUMNS = ("claim", "verdict", "difference", "low", "high")


def claim_lines(report: Report) -> list[dict[str, Any]]:
    """Return one line per decided comparison: estimate and interval; `claim` or `claim:task`."""
    lines = []
    for claim in report["claims"]:
        for part in claim["parts"]:
            each = claim["over"] == "each" and len(claim["parts"]) > 1
            name = f"{claim['id']}:{part['tasks'][0]}" if each else claim["id"]
            found = part["estimate"]
            lines.append({"claim": name, "verdict": claim["verdict"], "difference": found["mean"],
                          "low": found["low"], "high": found["high"]})
    return lines


def task_table(paper: Paper, profile: str) -> list[dict[str, Any]]:
    """Return mean and sd over seeds from the committed rows: one entry per task and metric, with
    `arms`: arm -> (mean, sd)."""
    rows = collect.load(paper, profile)
    table = Table(paper, profile, rows)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        place = (row["task"], row["metric"])
        entry = found.setdefault(place, {"task": row["task"], "metric": row["metric"],
                                         "unit": row["unit"], "arms": {}})
        entry["arms"].setdefault(row["arm"], []).append(row["value"])
    for entry in found.values():
        entry["arms"] = {arm: statistics.mean_sd(v) for arm, v in entry["arms"].items()}
        entry["seeds"] = len(table.seeds)
    order = list(paper.tasks)
    return sorted(found.values(), key=lambda e: (order.index(e["task"]), e["metric"]))


def read_curves(paper: Paper, profile: str) -> Curves:
    """Return arm -> run folder -> (step, training loss), thinned to CURVE_POINTS; arms that train
    nothing are left out."""
    curves: Curves = {}
    for arm in paper.arms_of(profile):
        folder = paper.dir / "out" / profile / arm / CURVE_STAGE
        for path in sorted(folder.glob("seed*/history.jsonl")):
            entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            curve = [(e["step"], e["loss"]) for e in entries if "loss" in e]
            if curve:
                curves.setdefault(arm, {})[path.parent.name] = _thinned(curve)
    return curves


def mean_curve(runs: dict[str, Curve]) -> Curve:
    """Return the mean over runs at the steps all of them have."""
    columns = [dict(curve) for curve in runs.values()]
    steps = sorted(set(columns[0]).intersection(*columns[1:]))
    return [(step, math.fsum(c[step] for c in columns) / len(columns)) for step in steps]


def _thinned(curve: Curve) -> Curve:
    if len(curve) <= CURVE_POINTS:
        return curve
    last = len(curve) - 1
    return [curve[round(i * last / (CURVE_POINTS - 1))] for i in range(CURVE_POINTS)]


def _write_curves(folder: Path, curves: Curves) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for arm, runs in curves.items():
        lines = [{"step": step, "loss": f"{loss:.6g}"} for step, loss in mean_curve(runs)]
        _write_csv(folder / f"{arm}.csv", ("step", "loss"), lines)
    if not curves:
        _write_csv(folder / "none.csv", ("step", "loss"), [])


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_csv(path: Path, columns: tuple[str, ...], lines: list[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
