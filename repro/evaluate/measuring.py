"""The entry of an eval stage that measures models as they left training, task by task.

    <out>/rows.jsonl   {"task", "metric", "value", "unit", "higher_is_better"} a line, sorted
"""

import json
from collections.abc import Callable

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.metric_names import METRICS


def measure(ctx: RunContext, *, tasks: dict[str, Callable[..., dict[str, float]]]) -> None:
    """Write rows.jsonl. tasks: name -> measure(ctx) that returns values by metric.

    Raises UserError without a task, or for a metric that is not in the table.
    """
    if not tasks:
        raise UserError("measure.tasks: empty; name at least one")
    rows = []
    for task, one in sorted(tasks.items()):
        for metric, value in sorted(one(ctx).items()):
            if metric not in METRICS:
                raise UserError(f"task {task!r}: unknown metric {metric!r}")
            unit, higher = METRICS[metric]
            rows.append({"task": task, "metric": metric, "value": value, "unit": unit,
                         "higher_is_better": higher})
    ctx.out.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (ctx.out / "rows.jsonl").write_text(lines, encoding="utf-8")
