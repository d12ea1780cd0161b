"""The shape of `papers/<slug>/paper.yaml` as pydantic models. A key that is not listed here is an
error; what refers to what is checked in `repro.references`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

PROFILES = ("paper", "gpu", "mini", "smoke")
PRIMARY = "primary"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Dotted = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]


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


class Fit(Model):
    """A law fitted per seed to runs of several arms, for claims of kind `fit`.

    law: of `repro.verdict.laws`. variables: the metrics that place a run, in the law's order (size,
    tokens); metric: what is fitted. points: arm -> the tasks on which its rows give a run each.
    held_out: the same, for runs that are predicted and not fitted.
    """

    about: Text
    law: str
    variables: Names
    metric: str
    points: dict[str, Names]
    held_out: dict[str, Names] = {}


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
    fit: its `quantity`, less that of baseline_fit or less `reference`, stands for the difference.
    """

    id: Name
    text: Text
    kind: Literal["difference", "equivalence", "trend", "fit"]
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
    fit: str | None = None
    baseline_fit: str | None = None
    quantity: str | None = None
    reference: float = Field(default=0.0, strict=False)
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


class Parameters(Model):
    """How many parameters the paper gives a model: the encoder that is kept, or all that
    pre-training trains. tolerance: relative; the paper's own figure is rounded."""

    value: float = Field(gt=0, strict=False)
    of: Literal["exported", "trained"] = "exported"
    tolerance: float = Field(default=0.05, ge=0, lt=1, strict=False)
    source: Text


class PaperCost(Model):
    """What the paper says that pre-training one model took: the floating-point operations, and the
    wall time on so many devices of a kind. None = not stated."""

    flops: float | None = Field(default=None, gt=0, strict=False)
    hours: float | None = Field(default=None, gt=0, strict=False)
    device: Text | None = None
    devices: int = Field(default=1, ge=1)
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
    """The content of one paper.yaml. unstated: settings the paper is silent about -> what ours
    follows instead. Both have keys `<arm>.<stage>.<setting>`, arm `*` = all."""

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
    fits: dict[Name, Fit] = {}
    claims: Annotated[tuple[Claim, ...], Tuple]
    data: dict[str, Annotated[tuple[SourceField, ...], Tuple]]
    parameters: dict[str, Parameters] = {}
    costs: dict[str, PaperCost] = {}
    stated: dict[str, Stated] = {}
    unstated: dict[str, Text] = {}
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
