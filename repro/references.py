"""What refers to what in a `paper.yaml`: names that lead nowhere, and forms that do not fit.

Nothing here touches the file system; `repro.paper` turns what is found into one line with file and
line number.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from repro.metric_names import METRICS
from repro.naming import nearest
from repro.schema import PRIMARY, PROFILES, Card, Claim, Gate

Location = tuple[str | int, ...]
Problem = tuple[Location, str]


def _unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    return f"unknown {kind} {name!r}{nearest(name, allowed)}"


def _known(loc: Location, kind: str, names: Iterable[str], allowed: Iterable[str],
           indexed: bool = True) -> Iterator[Problem]:
    allowed = list(allowed)
    for index, name in enumerate(names):
        if name not in allowed:
            yield (*loc, index if indexed else name), _unknown(kind, name, allowed)


def _metric(loc: Location, name: str | None) -> Iterator[Problem]:
    if name is not None and name != PRIMARY and name not in METRICS:
        yield (*loc, "metric"), _unknown("metric", name, [PRIMARY, *METRICS])


def _tasks(card: Card, loc: Location, tasks: Any) -> Iterator[Problem]:
    if isinstance(tasks, dict):
        yield from _known((*loc, "tasks"), "profile", tasks, PROFILES, indexed=False)
        for profile, names in tasks.items():
            yield from _known((*loc, "tasks", profile), "task", names, card.tasks)
    elif tasks is not None and tasks != "all":
        yield from _known((*loc, "tasks"), "task", tasks, card.tasks)


def _sides(card: Card, loc: Location, comparison: Claim | Gate) -> Iterator[Problem]:
    for which in ("baseline", "method"):
        side = getattr(comparison, which)
        if side is None:
            continue
        if side.arm not in card.arms:
            yield (*loc, which, "arm"), _unknown("arm", side.arm, card.arms)
        yield from _metric((*loc, which), side.metric)
    yield from _metric(loc, comparison.metric)
    yield from _tasks(card, loc, comparison.tasks)


def _arms(card: Card) -> Iterator[Problem]:
    order = list(card.stages)
    for name, arm in card.arms.items():
        loc = ("arms", name)
        yield from _known((*loc, "stages"), "stage", arm.stages or (), card.stages)
        yield from _known((*loc, "profiles"), "profile", arm.profiles or (), PROFILES)
        own = arm.stages if arm.stages is not None else tuple(order)
        for stage, source in arm.inputs.items():
            here = (*loc, "inputs", stage)
            if stage not in card.stages:
                yield here, _unknown("stage", stage, card.stages)
            elif source not in card.arms:
                yield here, _unknown("arm", source, card.arms)
            elif stage in own:
                yield here, f"the arm runs {stage!r} itself; take the stage out of its `stages`"
            elif source == name or card.arms[source].inputs.get(stage):
                yield here, f"arm {source!r} does not run {stage!r} itself"
            elif stage not in (card.arms[source].stages or tuple(order)):
                yield here, f"arm {source!r} does not run {stage!r}"


def _claim(card: Card, index: int) -> Iterator[Problem]:
    claim, loc = card.claims[index], ("claims", index)
    yield from _sides(card, loc, claim)
    for which in ("levels", "baseline_levels"):
        for position, level in enumerate(getattr(claim, which)):
            if level.arm not in card.arms:
                yield (*loc, which, position, "arm"), _unknown("arm", level.arm, card.arms)
    if claim.gate is not None and claim.gate not in card.gates:
        yield (*loc, "gate"), _unknown("gate", claim.gate, card.gates)
    yield from _claimed_fit(card, claim, loc)
    earlier = [other.id for other in card.claims[:index]]
    if claim.id in earlier:
        yield (*loc, "id"), f"claim {claim.id!r} is there twice"
    yield from _known((*loc, "requires"), "earlier claim", claim.requires, earlier)
    yield from _claim_form(claim, loc)


def _claimed_fit(card: Card, claim: Claim, loc: Location) -> Iterator[Problem]:
    from repro.verdict.laws.names import LAWS  # here: only papers with fits need them

    for which in ("fit", "baseline_fit"):
        name = getattr(claim, which)
        if name is not None and name not in card.fits:
            yield (*loc, which), _unknown("fit", name, card.fits)
        elif name is not None and card.fits[name].law in LAWS:
            known = LAWS[card.fits[name].law].quantities
            if claim.quantity not in known:
                yield (*loc, "quantity"), _unknown("quantity", str(claim.quantity), known)
    if claim.baseline_fit and claim.reference:
        yield (*loc, "reference"), "stands for the fit that baseline_fit names; leave one out"


def _fits(card: Card) -> Iterator[Problem]:
    from repro.verdict.laws.names import LAWS

    for name, fit in card.fits.items():
        loc = ("fits", name)
        for position, metric in enumerate(fit.variables):
            if metric not in METRICS:
                yield (*loc, "variables", position), _unknown("metric", metric, METRICS)
        yield from _metric(loc, fit.metric)
        for which in ("points", "held_out"):
            chosen = getattr(fit, which)
            yield from _known((*loc, which), "arm", chosen, card.arms, indexed=False)
            for arm, tasks in chosen.items():
                yield from _known((*loc, which, arm), "task", tasks, card.tasks)
        if fit.law not in LAWS:
            yield (*loc, "law"), _unknown("law", fit.law, LAWS)
            continue
        law = LAWS[fit.law]
        if len(fit.variables) != law.variables:
            yield (*loc, "variables"), f"the law {fit.law} has {law.variables}"
        if law.predicts != bool(fit.held_out):
            which = "needs" if law.predicts else "has no"
            yield (*loc, "held_out"), f"the law {fit.law} {which} held-out runs"


def _claim_form(claim: Claim, loc: Location) -> Iterator[Problem]:
    sides = claim.baseline is not None and claim.method is not None
    decidable = claim.scale == "mini-testable" or sides or bool(claim.levels)
    if not decidable:
        return
    if claim.kind == "fit":
        if claim.fit is None:
            yield (*loc, "fit"), "is missing: the fit that the claim is about"
        if sides or claim.levels:
            which = "levels" if claim.levels else "baseline"
            yield (*loc, which), "a claim on a fit has none; its runs stand under `fits`"
        if (claim.direction is None) == (claim.margin is None):
            yield (*loc, "direction"), "give a direction, or a margin around the reference"
        return
    if claim.fit or claim.baseline_fit or claim.quantity:
        yield (*loc, "fit"), "only a claim of kind `fit` has one"
    if claim.kind == "trend":
        least = 3 if claim.statistic == "spearman" else 2
        if len(claim.levels) < least:
            yield (*loc, "levels"), f"a trend by {claim.statistic} needs {least} levels or more"
        if len({level.level for level in claim.levels}) < len(claim.levels):
            yield (*loc, "levels"), "two arms have the same level"
        expected = [level.level for level in claim.levels]
        if claim.baseline_levels and [b.level for b in claim.baseline_levels] != expected:
            yield (*loc, "baseline_levels"), f"must have the levels of `levels`: {expected}"
        if claim.baseline or claim.method:
            which = "baseline" if claim.baseline else "method"
            yield (*loc, which), "a trend has levels, not baseline and method"
    else:
        if not sides:
            which = "method" if claim.method is None else "baseline"
            yield (*loc, which), f"is missing: {claim.kind} claims compare two arms"
        if claim.levels or claim.baseline_levels:
            which = "levels" if claim.levels else "baseline_levels"
            yield (*loc, which), "only a trend has levels"
    if claim.kind != "equivalence" and claim.direction is None:
        yield (*loc, "direction"), "is missing: greater or less"
    if claim.kind == "equivalence" and claim.margin is None:
        yield (*loc, "margin"), "is missing: equivalence needs a margin, in the metric's unit"
    if claim.kind != "equivalence" and claim.margin is not None:
        yield (*loc, "margin"), "only an equivalence claim has a margin"


def _paths(card: Card) -> Iterator[Problem]:
    """Yield wrong `<arm>.<stage>.<setting>` paths of stated and unstated hyper-parameters."""
    blocks = {"stated": card.stated, "unstated": card.unstated}
    for block, key in [(block, key) for block, keys in blocks.items() for key in keys]:
        arm, _, rest = key.partition(".")
        stage, _, setting = rest.partition(".")
        loc = (block, key)
        if block == "unstated" and key in card.stated:
            yield loc, "stands under `stated`, too"
        if arm != "*" and arm not in card.arms:
            yield loc, _unknown("arm", arm, ["*", *card.arms])
        elif stage not in card.stages:
            yield loc, _unknown("stage", stage, card.stages)
        elif not setting:
            yield loc, "must be <arm>.<stage>.<setting>"
        elif arm != "*" and stage not in (card.arms[arm].stages or card.stages):
            yield loc, f"arm {arm!r} does not run {stage!r} itself"


def _by_arm(card: Card) -> Iterator[Problem]:
    for field in ("parameters", "costs"):
        yield from _known((field,), "arm", getattr(card, field), card.arms, indexed=False)
    for name, cost in card.costs.items():
        if (cost.hours is None) != (cost.device is None):
            which = "device" if cost.device is None else "hours"
            yield ("costs", name, which), "is missing: hours and device go together"
        elif cost.hours is None and cost.flops is None:
            yield ("costs", name), "must say flops, or hours and device"


def _resources(card: Card) -> Iterator[Problem]:
    yield from _known(("resources",), "profile", card.resources, PROFILES, indexed=False)
    for profile, stages in card.resources.items():
        yield from _known(("resources", profile), "stage", stages, card.stages, indexed=False)
        for stage in card.stages:
            if stage not in stages and profile != "smoke":
                yield ("resources", profile, stage), "is missing"
        for stage, need in stages.items():
            if need.tasks % need.nodes:
                where = ("resources", profile, stage, "tasks")
                yield where, f"must be a multiple of nodes ({need.nodes}), got {need.tasks}"
    if "mini" not in card.resources:
        yield ("resources", "mini"), "is missing"


def _data(card: Card) -> Iterator[Problem]:
    yield from _known(("data",), "profile", card.data, PROFILES, indexed=False)
    for profile, sources in card.data.items():
        for index, source in enumerate(sources):
            loc = ("data", profile, index)
            if (source.asset is None) == (source.hub is None):
                yield loc, "must name either an asset or a hub data set"
            elif source.hub is not None and not (source.revision and source.licence):
                which = "revision" if not source.revision else "licence"
                yield (*loc, which), "is missing: hub data needs revision and licence"


def problems(card: Card) -> Iterator[Problem]:
    """Yield every reference of the card that leads nowhere, as (location, message)."""
    yield from _arms(card)
    for name, task in card.tasks.items():
        yield from _metric(("tasks", name), task.metric)
        if task.metric == PRIMARY:
            yield ("tasks", name, "metric"), "must be a metric, not 'primary'"
        yield from _known(("tasks", name, "profiles"), "profile", task.profiles or (), PROFILES)
    for name, gate in card.gates.items():
        yield from _sides(card, ("gates", name), gate)
    yield from _fits(card)
    for index in range(len(card.claims)):
        yield from _claim(card, index)
    yield from _paths(card)
    yield from _by_arm(card)
    yield from _resources(card)
    yield from _data(card)
