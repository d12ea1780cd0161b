"""The forest plot of a claim: the paper's effect and ours, each in its own unit.

Zero stands at the same place in every strip of a page, and effects in one unit share one scale, so
that the strips under each other can be compared.
"""

from dataclasses import dataclass
from typing import Any

from repro.report.site.scales import Scale, around_zero, tick_text, ticks
from repro.schema import Claim
from repro.verdict import statistics

WIDTH, START, STOP = 360, 14, 346
Report = dict[str, Any]
Group = tuple[str, ...]


@dataclass(frozen=True)
class Strip:
    """One line of the plot in SVG units. zero, mean: positions; interval, shaded: (from, to) or
    None (shaded: where the claim says the effect lies); seeds: one position each."""

    zero: float
    mean: float
    interval: tuple[float, float] | None
    shaded: tuple[float, float] | None
    seeds: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def paper_effect(claim: Claim) -> float | None:
    """Return the paper's own effect in its own unit: method - baseline, or for a trend the slope or
    rank correlation over its levels; None where a number is not known."""
    numbers = claim.paper
    if claim.kind == "trend":
        known = [value for value in numbers.levels if value is not None]
        if not known or len(known) < len(claim.levels):
            return None
        statistic = getattr(statistics, claim.statistic)
        return float(f"{statistic([level.level for level in claim.levels], known):.6g}")
    if numbers.baseline is None or numbers.method is None:
        return None
    return float(f"{numbers.method - numbers.baseline:.6g}")


def paper_unit(claim: Claim) -> str:
    """Return what the paper measures, without the details after a comma or in brackets."""
    return claim.paper.metric.split(",")[0].split("(")[0].strip()


class Scales:
    """The scales of one page: one per unit of ours, one per unit of the paper's."""

    def __init__(self, claims: list[tuple[Claim, Report]]) -> None:
        values: dict[Group, list[float]] = {}
        for claim, report in claims:
            effect = paper_effect(claim)
            if effect is not None:
                values.setdefault(self._papers(claim), []).append(effect)
            for part in report["parts"]:
                found = values.setdefault(self._ours(report, part), [report["margin"] or 0.0])
                found += [part["estimate"]["low"], part["estimate"]["high"]]
                found += [seed["value"] for seed in part["per_seed"]]
        self._scales = {group: around_zero(found, START, STOP) for group, found in values.items()}

    @staticmethod
    def _papers(claim: Claim) -> Group:
        return ("paper", paper_unit(claim), claim.statistic if claim.kind == "trend" else "")

    @staticmethod
    def _ours(report: Report, part: Report) -> Group:
        return ("ours", report["unit"], part.get("statistic", ""))

    def paper(self, claim: Claim) -> Strip | None:
        """Return the strip of the paper's effect, None where it is not known."""
        effect = paper_effect(claim)
        if effect is None:
            return None
        scale = self._scales[self._papers(claim)]
        # The margin of an equivalence is in our unit: nothing to shade in the paper's.
        side = None if claim.kind == "equivalence" else claim.direction
        return Strip(scale(0), scale(effect), None, _claimed(scale, side, None), (), _marks(scale))

    def ours(self, report: Report, part: Report) -> Strip:
        """Return the strip of one decided comparison."""
        scale, found = self._scales[self._ours(report, part)], part["estimate"]
        return Strip(
            zero=scale(0),
            mean=scale(found["mean"]),
            interval=(scale(found["low"]), scale(found["high"])),
            shaded=_claimed(scale, report["direction"], report["margin"]),
            seeds=tuple(scale(seed["value"]) for seed in part["per_seed"]),
            ticks=_marks(scale),
        )


def _claimed(
    scale: Scale, direction: str | None, margin: float | None
) -> tuple[float, float] | None:
    """Return where the claim says the effect lies: a side of zero, or inside the margin."""
    if margin is not None:
        low = scale.low if direction == "less" else -margin
        high = scale.high if direction == "greater" else margin
        return scale(low), scale(high)
    if direction is None:
        return None
    edges = (0, scale.high) if direction == "greater" else (scale.low, 0)
    return scale(edges[0]), scale(edges[1])


def _marks(scale: Scale) -> tuple[tuple[float, str], ...]:
    """Return positions and texts of the ticks: zero and one to each side."""
    last = ticks(0, scale.high, 2)[-1]
    return tuple((scale(value), tick_text(value)) for value in (-last, 0, last))
