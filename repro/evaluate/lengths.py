"""Measures of the models that one run trained for several lengths (`repro.train.lengths`)."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

from safetensors import safe_open

from repro.context import RunContext
from repro.train.lengths import Protocol, place

Measure = Callable[..., dict[str, float]]
OUTSIDE = ("embed_tokens.", "lm_head.")


def trained(
    ctx: RunContext,
    *,
    measures: tuple[Measure, ...],
    rung: int = 0,
    protocol: Protocol = "matched",
    stage: str = "pretrain",
) -> dict[str, float]:
    """Return what the measures say of the model of one length, 0 being the shortest of the run.

    protocol: with a schedule of its own length (matched), or the longest training on its way
    (fixed). stage: whose model it is; measures find it where pre-training leaves its own.
    """
    model = place(ctx.input(stage), protocol, rung)
    seen = replace(ctx, inputs=ctx.inputs | {"pretrain": [model]})
    return {name: value for one in measures for name, value in one(seen).items()}


def spent(ctx: RunContext) -> dict[str, float]:
    """Return what the model cost: parameters, non_embedding_parameters (without embeddings and
    head, the N of Kaplan et al. 2020) and training_tokens."""
    source = ctx.input("pretrain")
    summary = json.loads((source / "summary.json").read_text(encoding="utf-8"))
    with safe_open(source / "model" / "model.safetensors", framework="pt") as file:
        sizes = {name: math.prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    inside = sum(n for name, n in sizes.items() if not any(part in name for part in OUTSIDE))
    return {"parameters": sum(sizes.values()), "non_embedding_parameters": inside,
            "training_tokens": summary["tokens"]}
