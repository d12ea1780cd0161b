"""What an eval stage writes: a number for each (task, metric).

    <out>/rows.jsonl   {"task", "metric", "value"} a line, sorted

What a metric's unit is, and which way is better, is not a run's to say: see `repro.metric_names`.
"""

import json
from pathlib import Path

NAME = "rows.jsonl"
Values = dict[tuple[str, str], float]


def write(out: Path, values: Values) -> None:
    """Write rows.jsonl. values: (task, metric) -> value."""
    out.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"task": task, "metric": metric, "value": value}) + "\n"
             for (task, metric), value in sorted(values.items()))
    (out / NAME).write_text("".join(lines), encoding="utf-8")
