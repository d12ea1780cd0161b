"""The shape of `papers/<slug>/paper.yaml`: pydantic models and the checks across them.

Nothing here touches the file system; `repro.paper` reads files and turns what is found here into
one line with file and line number. A key that is not listed here is an error.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from repro.evaluate.metric_names import METRICS
from repro.naming import nearest

PROFILES = ("paper", "gpu", "mini", "smoke")
PRIMARY = "primary"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Dotted = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]
Location = tuple[str | int, ...]
Problem = tuple[Location, str]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def in_profile(profiles: tuple[str, ...] | None, profile: str) -> bool:
    """Return whether a thing limited to `profiles` exists in `profile`; smoke follows mini."""
    return profiles is None or profile in profiles or (profile == "smoke" and "mini" in profiles)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _as_side(value: Any) -> Any:
    return {"arm": value} if isinstance(value, str) else value


def _as_level(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2:
        return {"arm": value[0], "level": value[1]}
    return value


def _as_asset(value: Any) -> Any:
    return {"asset": value} if isinstance(value, str) else value


Tuple = BeforeValidator(_as_tuple)
Names = Annotated[tuple[str, ...], Tuple]


class Arm(Model):
    """One variant the paper compares; a gin scope of the same name.

    stages: those it runs itself (None = all). inputs: upstream stage -> the arm whose runs of that
    stage are read instead of own ones (`inputs: {finetune: shallow}` for a committee that only
    evaluates). members: independently trained copies inside one seed.
    """

    about: Text
    role: Literal["baseline", "method", "ablation"]
    stages: Names | None = None
    members: int = Field(default=1, ge=1)
    inputs: dict[str, str] = {}
    profiles: Names | None = None


class Task(Model):
    """A test task. metric: its primary metric, what `metric: primary` of a claim means."""

    about: Text
    metric: str
    profiles: Names | None = None


class Side(Model):
    """One side of a comparison: an arm, with its own metric where it differs."""

    arm: str
    metric: str | None = None


class Level(Model):
    """One point of a trend: written `[arm, level]`."""

    arm: str
    level: float = Field(strict=False)


SideField = Annotated[Side, BeforeValidator(_as_side)]
LevelField = Annotated[Level, BeforeValidator(_as_level)]
Levels = Annotated[tuple[LevelField, ...], Tuple]
TaskChoice = Literal["all"] | Names | dict[str, Names]


class Gate(Model):
    """What must hold, by its own interval, before a claim counts. metric and tasks default to the
    claim's; direction defaults to the one in which the metric improves."""

    about: Text
    baseline: SideField
    method: SideField
    metric: str | None = None
    tasks: TaskChoice | None = None
    direction: Literal["greater", "less"] | None = None


class PaperNumbers(Model):
    """What the paper reports for a claim, in the paper's own unit; None = not known to us."""

    metric: Text
    baseline: float | None = Field(default=None, strict=False)
    method: float | None = Field(default=None, strict=False)
    levels: Annotated[tuple[Annotated[float, Field(strict=False)] | None, ...], Tuple] = ()
    source: Text


class Untestable(Model):
    untestable: Text


class Claim(Model):
    """A statement of the paper that rows can decide.

    tasks: a list, a list per profile, or `all`; over: `mean` compares the mean over the tasks
    (per seed first), `each` asks for the claim on every task. direction: of method - baseline, or
    of the trend. An equivalence claim with a direction is one-sided (not worse than the margin).
    levels / baseline_levels: arms by level; with both, the trend is that of the gap.
    """

    id: Name
    text: Text
    kind: Literal["difference", "equivalence", "trend"]
    metric: str = PRIMARY
    tasks: TaskChoice = "all"
    over: Literal["mean", "each"] = "mean"
    baseline: SideField | None = None
    method: SideField | None = None
    direction: Literal["greater", "less"] | None = None
    margin: float | None = Field(default=None, gt=0, strict=False)
    levels: Levels = ()
    baseline_levels: Levels = ()
    statistic: Literal["slope", "spearman"] = "slope"
    gate: str | None = None
    requires: Names = ()
    scale: Literal["mini-testable"] | Untestable = "mini-testable"
    paper: PaperNumbers


class Source(Model):
    """A data set: an embedded asset (its name in assets.yaml) or one of the Hugging Face hub."""

    asset: str | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    licence: str | None = None
    use: str | None = None


class Stated(Model):
    """A hyper-parameter as the paper states it."""

    value: Any
    source: Text


class Deviation(Model):
    """Where we differ. key: `<arm>.<stage>.<setting>` (arm `*` = all) or a plain word."""

    key: Text
    paper: Any = None
    ours: Any = None
    reason: Text
    profile: Literal["paper", "gpu", "mini"] = "paper"


class Resources(Model):
    """What one run of a stage asks of the machine. minutes: to its end on the hardware meant.

    nodes; tasks: processes in total, the same number on each node. cpus, gpus: of one task.
    memory_gb: of one node. pack: runs put into one job, one after the other.
    """

    minutes: int = Field(gt=0)
    memory_gb: float = Field(default=2.0, gt=0, strict=False)
    cpus: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    nodes: int = Field(default=1, ge=1)
    tasks: int = Field(default=1, ge=1)
    pack: int = Field(default=1, ge=1)


SourceField = Annotated[Source, BeforeValidator(_as_asset)]


class Card(Model):
    """The content of one paper.yaml."""

    slug: Name
    title: Text
    arxiv: Text | None = None
    venue: Text
    authors: Names
    year: int = Field(ge=1950, le=2100)
    code: Text | None = None
    family: Text
    stages: dict[Name, Dotted]
    arms: dict[Name, Arm]
    tasks: dict[Name, Task]
    gates: dict[Name, Gate] = {}
    claims: Annotated[tuple[Claim, ...], Tuple]
    data: dict[str, Annotated[tuple[SourceField, ...], Tuple]]
    stated: dict[str, Stated] = {}
    deviations: Annotated[tuple[Deviation, ...], Tuple] = ()
    resources: dict[str, dict[str, Resources]]
    notes: Annotated[tuple[Text, ...], Tuple] = ()


FIELD_NAMES = sorted({name for model in Model.__subclasses__() for name in model.model_fields})


def choose_tasks(tasks: Any, profile: str) -> Literal["all"] | tuple[str, ...]:
    """Return the tasks meant in a profile: `all`, or names; smoke falls back on mini."""
    if not isinstance(tasks, dict):
        return tasks
    if profile not in tasks and profile == "smoke":
        profile = "mini"
    return tasks.get(profile, ())


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
    earlier = [other.id for other in card.claims[:index]]
    if claim.id in earlier:
        yield (*loc, "id"), f"claim {claim.id!r} is there twice"
    yield from _known((*loc, "requires"), "earlier claim", claim.requires, earlier)
    yield from _claim_form(claim, loc)


def _claim_form(claim: Claim, loc: Location) -> Iterator[Problem]:
    sides = claim.baseline is not None and claim.method is not None
    decidable = claim.scale == "mini-testable" or sides or bool(claim.levels)
    if not decidable:
        return
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
    """Yield wrong `<arm>.<stage>.<setting>` paths of the stated hyper-parameters."""
    for key in card.stated:
        arm, _, rest = key.partition(".")
        stage, _, setting = rest.partition(".")
        loc = ("stated", key)
        if arm != "*" and arm not in card.arms:
            yield loc, _unknown("arm", arm, ["*", *card.arms])
        elif stage not in card.stages:
            yield loc, _unknown("stage", stage, card.stages)
        elif not setting:
            yield loc, "must be <arm>.<stage>.<setting>"


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
    for index in range(len(card.claims)):
        yield from _claim(card, index)
    yield from _paths(card)
    yield from _resources(card)
    yield from _data(card)
