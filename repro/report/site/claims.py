"""The claims of a judged profile as a page shows them: words, numbers and forest plots."""

from typing import Any

from repro.paper import Paper
from repro.report.markdown import interval, spread
from repro.report.site.forest import Scales, Strip, paper_effect
from repro.schema import Claim

View = dict[str, Any]
Report = dict[str, Any]
DIRECTIONS = {
    ("difference", "greater"): "method above baseline",
    ("difference", "less"): "method below baseline",
    ("trend", "greater"): "rises with the level",
    ("trend", "less"): "falls with the level",
    ("equivalence", None): "equal within the margin",
    ("equivalence", "greater"): "not below the margin",
    ("equivalence", "less"): "not above the margin",
    ("fit", "greater"): "fitted above the reference",
    ("fit", "less"): "fitted below the reference",
    ("fit", None): "equal to the reference within the margin",
}


def claim_views(paper: Paper, report: Report) -> list[View]:
    """Return one view per judged claim that paper.yaml still has, in the report's order.

    A view has what the report says, `papers` and `comparisons` (text and strip), and `said`: all of
    it as one sentence for those who cannot see the plot.
    """
    claims = {claim.id: claim for claim in paper.claims}
    pairs = [(claims[found["id"]], found) for found in report["claims"] if found["id"] in claims]
    scales = Scales(pairs)
    return [_view(claim, found, scales) for claim, found in pairs]


def _view(claim: Claim, report: Report, scales: Scales) -> View:
    effect = paper_effect(claim)
    comparisons = [_comparison(report, part, scales) for part in report["parts"]]
    return {
        **report,
        "claimed": DIRECTIONS.get((claim.kind, claim.direction), claim.direction),
        "papers": {
            "numbers": paper_numbers(claim),
            "effect": effect,
            "metric": claim.paper.metric,
            "source": claim.paper.source,
            "strip": scales.paper(claim),
            "said": _said_of_the_paper(claim, effect),
        },
        "comparisons": comparisons,
    }


def paper_numbers(claim: Claim) -> str:
    """Return the paper's numbers in order, `75.1 → 79.9`; "" when none is known."""
    numbers = claim.paper
    sides = [numbers.baseline, numbers.method]
    values = list(numbers.levels) or sides
    if all(value is None for value in values):
        return ""
    return " → ".join("?" if value is None else f"{value:g}" for value in values)


def _said_of_the_paper(claim: Claim, effect: float | None) -> str:
    if effect is None:
        return "The paper: no effect known."
    return f"The paper: {effect:+.4g}, {claim.paper.metric}."


def _comparison(report: Report, part: Report, scales: Scales) -> View:
    """Return a decided comparison: on which tasks, its sides as text, effect, strip and gate."""
    strip: Strip = scales.ours(report, part)
    on = part["tasks"][0] if len(report["parts"]) > 1 else ""
    seeds = len(part["per_seed"])
    what = part.get("statistic") or "difference"
    if part.get("gap"):
        what += " of the gap"
    return {
        **part,
        "on": on,
        "what": what,
        "sides": _sides(part),
        "effect": interval(part["estimate"]),
        "strip": strip,
        "said": f"Ours{', ' + on if on else ''}: {what} {interval(part['estimate'])} "
                f"(95 % interval, {seeds} seeds), {part['verdict']}.",
    }


def _sides(part: Report) -> list[View]:
    """Return the arms compared with mean and spread over seeds; `level` for a trend."""
    if "levels" in part:
        return [{"arm": side["arm"], "level": f"{side['level']:g}",
                 "value": spread(side["mean"], side["sd"])} for side in part["levels"]]
    return [{"arm": part[name]["arm"], "level": "",
             "value": spread(part[name]["mean"], part[name]["sd"])}
            for name in ("baseline", "method")]


def headline(views: list[View]) -> View | None:
    """Return the first claim that rows could decide, for the board; None if there is none."""
    return next((view for view in views if view["comparisons"]), None)
