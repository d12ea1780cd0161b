"""Rows: from the eval artefacts of a profile to `results/<profile>.rows.jsonl` and back."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.evaluate import rows as measured
from repro.metric_names import METRICS
from repro.naming import nearest
from repro.paper import Paper

EVAL = "eval"
MEASURED = ("task", "metric", "value")
MEANING = ("unit", "higher_is_better")
FIELDS = ("arm", "seed", *MEASURED, *MEANING)
Row = dict[str, Any]


def rows_path(paper: Paper, profile: str) -> Path:
    return paper.dir / "results" / f"{profile}.rows.jsonl"


def evaluated_arms(paper: Paper, profile: str) -> list[str]:
    """Return the arms of a profile that are evaluated, in the file's order."""
    return [arm for arm in paper.arms_of(profile) if EVAL in paper.stages_of(arm)]


def collect(paper: Paper, profile: str) -> list[Row]:
    """Return the rows of every arm and seed under out/<profile>/<arm>/eval/seed<k>/, sorted.

    Raises UserError naming the file (and line) for rows that are missing, incomplete, repeated,
    not finite, or of a task or metric that paper.yaml or the metric table does not know.
    """
    paper.check_profile(profile)
    rows = []
    for arm in evaluated_arms(paper, profile):
        folder = paper.dir / "out" / profile / arm / EVAL
        seeds = {int(m[1]): path for path in folder.glob("seed*")
                 if (m := re.fullmatch(r"seed(\d+)", path.name))}
        if not seeds:
            raise UserError(f"{_shown(paper, folder)}: no evaluated seed of arm {arm!r}; "
                            f"run `dvc repro papers/{paper.slug}/dvc.yaml`")
        for seed, path in seeds.items():
            rows += _read(paper, path / measured.NAME, {"arm": arm, "seed": seed}, MEASURED)
    return _checked(paper, rows, f"papers/{paper.slug}/out/{profile}")


def load(paper: Paper, profile: str) -> list[Row]:
    """Return the committed rows of a profile. Raises UserError as `collect` does."""
    path = rows_path(paper, profile)
    return _checked(paper, _read(paper, path, {}, FIELDS), _shown(paper, path))


def save(paper: Paper, profile: str, rows: Iterable[Row]) -> Path:
    """Write rows one JSON object a line; return the path."""
    path = rows_path(paper, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({f: row[f] for f in FIELDS}, ensure_ascii=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _read(paper: Paper, path: Path, known: Row, wanted: tuple[str, ...]) -> list[Row]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{_shown(paper, path)}: rows cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        where = f"{_shown(paper, path)}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{where}: not a JSON object: {error}") from error
        if not isinstance(row, dict) or set(row) != set(wanted):
            found = ", ".join(sorted(row)) if isinstance(row, dict) else repr(row)
            raise UserError(f"{where}: a row has {', '.join(wanted)}; got {found}")
        _check_row(paper, row, where)
        meaning = METRICS[row["metric"]]._asdict()
        if any(row.get(field, value) != value for field, value in meaning.items()):
            raise UserError(f"{where}: {row['metric']} means {meaning}; the row says otherwise")
        rows.append({**known, **row, **meaning})
    return rows


def _check_row(paper: Paper, row: Row, where: str) -> None:
    if row["task"] not in paper.tasks:
        raise UserError(f"{where}: unknown task {row['task']!r}{nearest(row['task'], paper.tasks)}")
    if row["metric"] not in METRICS:
        raise UserError(f"{where}: unknown metric {row['metric']!r}"
                        f"{nearest(row['metric'], METRICS)}")
    value = row["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where}: value must be a finite number, got {value!r}")


def _checked(paper: Paper, rows: list[Row], where: str) -> list[Row]:
    if not rows:
        raise UserError(f"{where}: no rows")
    rows = sorted(rows, key=_place)
    for one, two in zip(rows, rows[1:], strict=False):
        if _place(one) == _place(two):
            arm, seed, task, metric = _place(one)
            raise UserError(f"{where}: {metric} on {task!r} is there twice for arm {arm!r}, "
                            f"seed {seed}")
    return rows


def _place(row: Row) -> tuple[str, int, str, str]:
    return row["arm"], row["seed"], row["task"], row["metric"]


def _shown(paper: Paper, path: Path) -> str:
    return path.relative_to(paper.root).as_posix()
