"""How fast a run of pre-training went down: read from its history, which is part of its artefact.
"""

import json

from repro.context import RunContext
from repro.errors import UserError


def tokens_to_target(
    ctx: RunContext, *, target: float, stage: str = "pretrain"
) -> dict[str, float]:
    """Return {"tokens_to_target": tokens read when the logged loss first reached the target}.

    The loss is the mean over the updates between two entries of history.jsonl, placed at their
    middle; in between it is interpolated. Where a run reads each text once that is the loss on
    unseen text. A run that never reaches the target counts with all its tokens: a lower bound.
    Raises UserError for a missing history, one without updates, or a target that is not positive.
    """
    if not target > 0:
        raise UserError(f"tokens_to_target.target = {target}: expected nats, a positive number")
    folder = ctx.input(stage)
    try:
        lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        history = [json.loads(line) for line in lines]
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable history; run the {stage} stage again") from error
    if not history:
        raise UserError(f"{folder}: no update was made, so there is no loss to follow")
    ends = [0, *(entry["step"] for entry in history)]
    middles = [(start + end) / 2 for start, end in zip(ends, ends[1:], strict=False)]
    steps = crossing(middles, [entry["loss"] for entry in history], target)
    each = summary["tokens"] / summary["steps"]
    return {"tokens_to_target": each * (summary["steps"] if steps is None else steps)}


def crossing(places: list[float], values: list[float], target: float) -> float | None:
    """Return where a piecewise linear curve first comes down to the target; None if it does not."""
    before: tuple[float, float] | None = None
    for place, value in zip(places, values, strict=True):
        if value <= target:
            if before is None:
                return place
            share = (before[1] - target) / (before[1] - value)
            return before[0] + share * (place - before[0])
        before = place, value
    return None
