"""Verdicts: what the rows say about each claim of a paper.

reproduced: the 95 % interval over seeds lies wholly on the claimed side. contradicted: wholly on
the other. inconclusive: on neither. untestable: no decision is possible here, with the reason.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from repro.errors import UserError
from repro.metric_names import METRICS
from repro.naming import nearest
from repro.paper import Paper
from repro.schema import PRIMARY, Claim, Gate, Side, choose_tasks
from repro.verdict import fitting, statistics
from repro.verdict.collect import Row
from repro.verdict.laws.names import NoFit
from repro.verdict.statistics import MIN_SEEDS, Estimate

VERDICTS = ("reproduced", "contradicted", "inconclusive", "untestable")
NO_VERDICT = "no verdict: smoke proves plumbing only"
_OF_SIDE = {"claimed": "reproduced", "other": "contradicted", "neither": "inconclusive"}
_EXIT = {"reproduced": 0, "contradicted": 3, "inconclusive": 2, "untestable": 2, NO_VERDICT: 2}
Report = dict[str, Any]


def judge(paper: Paper, profile: str, rows: list[Row]) -> Report:
    """Return the content of verdict.json: overall verdict, counts, and one report per claim.

    Raises UserError naming arm, seed, task and metric for a row a claim needs and does not find.
    """
    table = Table(paper, profile, rows)
    report: Report = {"paper": paper.slug, "profile": profile, "seeds": table.seeds}
    if profile == "smoke":
        return {**report, "verdict": NO_VERDICT, "counts": {}, "claims": []}
    claims: list[Report] = []
    for claim in paper.claims:
        claims.append(_judge_claim(table, claim, {c["id"]: c["verdict"] for c in claims}))
    found = [claim["verdict"] for claim in claims]
    counts = {name: found.count(name) for name in VERDICTS}
    return _rounded({**report, "verdict": overall(found), "confidence": statistics.CONFIDENCE,
                     "counts": counts, "claims": claims})


def overall(verdicts: list[str]) -> str:
    """Return the paper's verdict: contradicted over inconclusive over reproduced; untestable only
    when nothing else is there."""
    for name in ("contradicted", "inconclusive", "reproduced"):
        if name in verdicts:
            return name
    return "untestable"


def exit_code(report: Report) -> int:
    """Return 0 reproduced, 2 inconclusive (or nothing testable, or smoke), 3 contradicted."""
    return _EXIT[report["verdict"]]


def limited(report: Report, claims: Sequence[str]) -> Report:
    """Return a report with some of its claims only, the verdict and the counts theirs; none named
    = all. Raises UserError for a claim that is not there."""
    known = {claim["id"]: claim for claim in report["claims"]}
    for name in claims:
        if name not in known:
            raise UserError(f"{report['paper']}: unknown claim {name!r}{nearest(name, known)}")
    if not claims:
        return report
    chosen = [claim for name, claim in known.items() if name in claims]
    found = [claim["verdict"] for claim in chosen]
    counts = {name: found.count(name) for name in VERDICTS}
    return {**report, "verdict": overall(found), "counts": counts, "claims": chosen}


class Table:
    """Rows by (arm, seed, task, metric), with the errors that a missing one deserves."""

    def __init__(self, paper: Paper, profile: str, rows: list[Row]) -> None:
        self.paper, self.profile = paper, profile
        self.seeds = sorted({row["seed"] for row in rows})
        self._values = {(r["arm"], r["seed"], r["task"], r["metric"]): r["value"] for r in rows}

    def tasks(self, chosen: Any) -> tuple[str, ...]:
        """Return the tasks meant by a claim that exist in this profile."""
        names = choose_tasks(chosen, self.profile)
        here = self.paper.tasks_in(self.profile)
        return here if names == "all" else tuple(name for name in names if name in here)

    def means(self, arm: str, metric: str, tasks: tuple[str, ...]) -> list[float]:
        """Return, per seed, the mean of the metric over the tasks."""
        return [
            math.fsum(self.value(arm, seed, task, metric) for task in tasks) / len(tasks)
            for seed in self.seeds
        ]

    def value(self, arm: str, seed: int, task: str, metric: str) -> float:
        if metric == PRIMARY:
            metric = self.paper.tasks[task].metric
        try:
            return self._values[arm, seed, task, metric]
        except KeyError:
            raise UserError(f"{self.paper.slug} ({self.profile}): no row for arm {arm!r}, seed "
                            f"{seed}, task {task!r}, metric {metric!r}") from None


def _judge_claim(table: Table, claim: Claim, earlier: dict[str, str]) -> Report:
    fit = table.paper.fits[claim.fit] if claim.fit else None
    tasks = table.tasks(claim.tasks if fit is None else fitting.tasks(fit))
    head: Report = {
        "id": claim.id, "text": claim.text, "kind": claim.kind, "paper": _paper_numbers(claim),
        "metric": claim.quantity or claim.metric,
        "unit": "1" if fit else _unit(table.paper, claim.metric, tasks),
        "direction": claim.direction, "margin": claim.margin,
        "tasks": list(tasks), "over": claim.over,
    }
    reason = _why_not(table, claim, tasks, earlier)
    if reason:
        return {**head, "verdict": "untestable", "reason": reason, "gate": None, "parts": []}
    groups = [tasks] if claim.over == "mean" else [(task,) for task in tasks]
    try:
        parts = [_judge_part(table, claim, group) for group in groups]
    except NoFit as error:
        return {**head, "verdict": "untestable", "reason": f"no fit: {error}", "gate": None,
                "parts": []}
    confidence = 1 - (1 - statistics.CONFIDENCE) / len(parts)
    verdict, reason = _joined(table, claim, parts, confidence)
    # A paper limited to some claims may lack one that others require.
    state = {name: earlier.get(name, "not judged") for name in claim.requires}
    unmet = [f"{name} ({found})" for name, found in state.items() if found != "reproduced"]
    if unmet:
        verdict, reason = "untestable", f"needs {', '.join(unmet)}"
    gate = table.paper.gates[claim.gate].about if claim.gate else None
    return {**head, "verdict": verdict, "reason": reason, "gate": gate, "parts": parts}


def _why_not(
    table: Table, claim: Claim, tasks: tuple[str, ...], earlier: dict[str, str]
) -> str | None:
    """Return why no rows can decide the claim in this profile, None when they can."""
    profile = table.profile
    sides = [side for side in (claim.baseline, claim.method) if side]
    arms = [side.arm for side in (*sides, *claim.levels, *claim.baseline_levels)]
    for name in filter(None, (claim.fit, claim.baseline_fit)):
        arms += fitting.arms(table.paper.fits[name])
    gate = table.paper.gates[claim.gate] if claim.gate else None
    if claim.scale != "mini-testable" and (profile != "paper" or not arms):
        return claim.scale.untestable
    gated = [gate.baseline.arm, gate.method.arm] if gate else []
    absent = [arm for arm in (*arms, *gated) if arm not in table.paper.arms_of(profile)]
    if absent:
        return f"arm {absent[0]!r} is not part of profile {profile!r}"
    if not tasks or (gate and gate.tasks is not None and not table.tasks(gate.tasks)):
        return f"none of its tasks is part of profile {profile!r}"
    if len(table.seeds) < MIN_SEEDS:
        return f"{len(table.seeds)} paired seeds, at least {MIN_SEEDS} are needed"
    return None


def _judge_part(table: Table, claim: Claim, tasks: tuple[str, ...]) -> Report:
    """Return the report of one comparison: the mean over `tasks`."""
    if claim.kind == "fit":
        values, ours = fitting.compared(claim, table.paper.fits, table.seeds, table.value)
    else:
        compare = _trend if claim.kind == "trend" else _compared
        values, ours = compare(table, claim, tasks)
    found, side = _decide(claim, values, statistics.CONFIDENCE)
    part = {
        "tasks": list(tasks), "verdict": _OF_SIDE[side], **ours,
        "per_seed": [{"seed": s, "value": v} for s, v in zip(table.seeds, values, strict=True)],
        "estimate": vars(found), "gate": None,
    }
    if claim.gate:
        part["gate"] = _gate(table, table.paper.gates[claim.gate], claim, tasks)
        if not part["gate"]["open"]:
            part["verdict"] = "untestable"
    return part


def _decide(
    claim: Claim, values: list[float], confidence: float
) -> tuple[Estimate, statistics.Side]:
    if claim.margin is not None:
        found = statistics.equivalence(values, claim.margin, claim.direction, confidence)
        return found, statistics.side_of_margin(found, claim.margin, claim.direction)
    found = statistics.estimate(values, confidence)
    return found, statistics.side_of(found, claim.direction)


def _compared(
    table: Table, claim: Claim, tasks: tuple[str, ...]
) -> tuple[list[float], Report]:
    """Return method - baseline per seed, and both sides' means."""
    baseline = _side(table, claim.baseline, claim.metric, tasks)
    method = _side(table, claim.method, claim.metric, tasks)
    values = [m - b for m, b in zip(method, baseline, strict=True)]
    return values, {"baseline": _described(claim.baseline.arm, baseline),
                    "method": _described(claim.method.arm, method)}


def _trend(table: Table, claim: Claim, tasks: tuple[str, ...]) -> tuple[list[float], Report]:
    """Return slope or rank correlation per seed, and the means by level (of the gap, if given)."""
    columns = [table.means(level.arm, claim.metric, tasks) for level in claim.levels]
    for index, below in enumerate(claim.baseline_levels):
        base = table.means(below.arm, claim.metric, tasks)
        columns[index] = [v - b for v, b in zip(columns[index], base, strict=True)]
    points = [level.level for level in claim.levels]
    statistic: Callable[..., float] = getattr(statistics, claim.statistic)
    values = [statistic(points, seed) for seed in zip(*columns, strict=True)]
    levels = [{"level": level.level, **_described(level.arm, column)}
              for level, column in zip(claim.levels, columns, strict=True)]
    return values, {"levels": levels, "gap": bool(claim.baseline_levels),
                    "statistic": claim.statistic}


def _gate(table: Table, gate: Gate, claim: Claim, tasks: tuple[str, ...]) -> Report:
    """Return whether the gate's comparison is positive by its own interval, and its numbers."""
    metric = gate.metric or claim.metric
    tasks = tasks if gate.tasks is None else table.tasks(gate.tasks)
    name = table.paper.tasks[tasks[0]].metric if metric == PRIMARY else metric
    direction = gate.direction or ("greater" if METRICS[name].higher_is_better else "less")
    baseline = _side(table, gate.baseline, metric, tasks)
    method = _side(table, gate.method, metric, tasks)
    found = statistics.estimate([m - b for m, b in zip(method, baseline, strict=True)])
    return {
        "baseline": _described(gate.baseline.arm, baseline),
        "method": _described(gate.method.arm, method),
        "estimate": vars(found),
        "open": statistics.side_of(found, direction) == "claimed",
    }


def _joined(
    table: Table, claim: Claim, parts: list[Report], confidence: float
) -> tuple[str, str | None]:
    """Return verdict and reason of a claim from its parts.

    Several parts (`over: each`): reproduced when all are; contradicted when one is, at the
    confidence that keeps the error over all parts (Bonferroni).
    """
    names = {v: [", ".join(p["tasks"]) for p in parts if p["verdict"] == v] for v in VERDICTS}
    against = [p for p in parts if p["verdict"] == "contradicted"]
    values = [[one["value"] for one in p["per_seed"]] for p in against]
    if any(_decide(claim, v, confidence)[1] == "other" for v in values):
        return "contradicted", _listed(names, parts)
    if names["untestable"]:
        closed = "; ".join(names["untestable"])
        about = table.paper.gates[claim.gate].about
        return "untestable", f"at this scale: gate closed on {closed} ({about})"
    if len(names["reproduced"]) == len(parts):
        return "reproduced", None
    return "inconclusive", _listed(names, parts)


def _listed(names: dict[str, list[str]], parts: list[Report]) -> str | None:
    if len(parts) == 1:
        return None
    return "; ".join(f"{verdict} on {', '.join(on)}" for verdict, on in names.items() if on)


def _side(table: Table, side: Side, metric: str, tasks: tuple[str, ...]) -> list[float]:
    return table.means(side.arm, side.metric or metric, tasks)


def _described(arm: str, values: list[float]) -> Report:
    mean, sd = statistics.mean_sd(values)
    return {"arm": arm, "mean": mean, "sd": sd}


def _unit(paper: Paper, metric: str, tasks: tuple[str, ...]) -> str:
    names = [paper.tasks[task].metric for task in tasks] if metric == PRIMARY else [metric]
    units = {METRICS[name].unit for name in names}
    return units.pop() if len(units) == 1 else "mean of metrics"


def _paper_numbers(claim: Claim) -> Report:
    return {**claim.paper.model_dump(), "levels": list(claim.paper.levels)}


def _rounded(value: Any) -> Any:
    """Return the same structure with floats at 6 significant digits: bytes agree everywhere."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
