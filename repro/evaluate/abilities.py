"""Abilities of a language model that it shows in a prompt, without being trained for the task."""

from repro.context import RunContext
from repro.data import exercises
from repro.evaluate.continuations import score
from repro.evaluate.language_models import load
from repro.text import tokenizer as vocabularies


def examine(ctx: RunContext, *, kind: exercises.Kind, items: int = 200) -> dict[str, float]:
    """Return exact_match and nll (nats per token of the answer) on exercises of one kind, none of
    which the text held, facts excepted (`repro.data.exercises`)."""
    tokenizer = vocabularies.load(ctx.input("data"))
    return score(load(ctx), tokenizer, exercises.examination(kind, items=items))
