"""Measures of a decoder whose weights were rounded after training."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from repro.context import RunContext
from repro.evaluate.language_models import load
from repro.nn.rounding import round_projections


def weights(
    ctx: RunContext, *, measures: tuple[Callable[..., dict[str, float]], ...], bits: int
) -> dict[str, float]:
    """Return what the measures say of the model with its projections rounded to so many bits, one
    scale an output channel (`repro.nn.rounding`); activations are untouched."""
    model = load(ctx)
    round_projections(model, bits)
    with tempfile.TemporaryDirectory(prefix="repro-") as home:
        place = Path(home)
        model.save_pretrained(place / "model")
        shutil.copyfile(ctx.input("pretrain") / "summary.json", place / "summary.json")
        seen = replace(ctx, inputs=ctx.inputs | {"pretrain": [place]})
        return {name: value for one in measures for name, value in one(seen).items()}
