"""The laws by name: what `paper.yaml` may ask of each. A table only, so that reading a paper needs
no numerical library; `repro.verdict.laws.table` fits them."""

from typing import NamedTuple


class NoFit(ValueError):
    """The runs do not determine what is asked of a law; the message says why."""


class Law(NamedTuple):
    """variables: how many numbers place a run; quantities: what a fit returns; predicts: whether it
    is held against runs that it was not fitted to."""

    variables: int
    quantities: tuple[str, ...]
    predicts: bool = False


LAWS: dict[str, Law] = {
    # y = (scale / x)^exponent
    "power": Law(1, ("exponent", "r2")),
    # the same in C = 6 N D, over the runs that no cheaper one beats
    "frontier": Law(2, ("exponent", "r2")),
    # E + A / N^alpha + B / D^beta; allocation: exponent of the best N for a compute
    "additive": Law(2, ("floor", "size_exponent", "token_exponent", "allocation")),
    # the additive law's mean relative error on held-out runs
    "prediction": Law(2, ("relative_error",), predicts=True),
    # parabolas at equal compute
    "isoflop": Law(2, ("allocation", "tokens_per_parameter")),
    # which share of a climb its largest step makes
    "steps": Law(1, ("largest_share",)),
}
