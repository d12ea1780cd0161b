"""The entry of the eval stage after `few_shot`: rows, and how right its guesses on the pool are."""

import json

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate import rows, scoring


def score(ctx: RunContext) -> None:
    """Write rows.jsonl: what `scoring.score` writes, and pool_accuracy of each task.

    Raises UserError as it does, and for a finetune artefact that knows no pool.
    """
    path = ctx.input("finetune") / "tasks.json"
    values = scoring.values(ctx)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        guessed = {(task, "pool_accuracy"): info["pool_accuracy"] for task, info in table.items()}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no accuracy on a pool; run the finetune stage again") from error
    rows.write(ctx.out, values | guessed)
