"""The entry of an eval stage that measures models as they left training, task by task.

    <out>/rows.jsonl   see `repro.evaluate.rows`
"""

from collections.abc import Callable

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate import rows


def measure(ctx: RunContext, *, tasks: dict[str, Callable[..., dict[str, float]]]) -> None:
    """Write rows.jsonl. tasks: name -> measure(ctx) that returns values by metric.

    Raises UserError without a task.
    """
    if not tasks:
        raise UserError("measure.tasks: empty; name at least one")
    rows.write(ctx.out, {(task, metric): value for task, one in tasks.items()
                         for metric, value in one(ctx).items()})
