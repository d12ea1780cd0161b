"""The paper's stated hyper-parameters against resolved settings, and what explains a difference."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from repro.errors import UserError
from repro.paper import Paper
from repro.schema import Deviation
from repro.verdict.collect import EVAL


@dataclass(frozen=True)
class Setting:
    """One stated setting of one arm. ours: the resolved value, MISSING where there is none."""

    key: str
    arm: str
    paper: Any
    ours: Any
    source: str
    deviation: Deviation | None

    @property
    def differs(self) -> bool:
        return not same(self.paper, self.ours)


MISSING = "not set"
# The settings that decide what a training run is, by their last name: the paper must have said
# them, or paper.yaml must say that it did not.
CORE = frozenset((
    "steps", "epochs", "batch_size", "sequence_length", "lr", "learning_rates", "warmup_steps",
    "warmup_fraction", "weight_decay", "layer_decay", "probability", "hidden", "layers", "heads",
    "intermediate", "embedding", "vocab_size",
))
# Core settings that are switched off, or that another one beside them replaces.
_OFF = {"layer_decay": 1.0}
_REPLACED = {"warmup_fraction": "warmup_steps"}


def settings(paper: Paper, tree: dict[str, Any], profile: str) -> list[Setting]:
    """Return every stated setting beside the resolved one. tree: resolved/<profile>/.

    A key with arm `*` stands for each arm that runs the stage and has no key of its own, stated or
    unstated. A small profile may replace what a key speaks of. Raises UserError when the paper
    profile has nothing at all under a key: the path is wrong.
    """
    deviations = {d.key: d for d in paper.deviations if d.profile == profile}
    found = []
    for key, entry in paper.stated.items():
        chosen, stage, path = key.split(".", 2)
        rows = []
        for arm in arms_of(paper, profile, key):
            ours = look_up(tree, arm, stage, path)
            explained = deviations.get(f"{arm}.{stage}.{path}", deviations.get(key))
            rows.append(Setting(key, arm, entry.value, ours, entry.source, explained))
        nowhere = rows and all(row.ours == MISSING for row in rows)
        if nowhere and profile == "paper":
            raise UserError(f"papers/{paper.slug}/paper.yaml: stated.{key}: no arm has this "
                            f"setting in resolved/{profile}")
        found += [row for row in rows if row.ours != MISSING or chosen != "*"]
    return found


def arms_of(paper: Paper, profile: str, key: str) -> list[str]:
    """Return the arms that a key of `stated` or `unstated` speaks of in a profile: the one it
    names; for `*` those that run the stage and have no key of their own."""
    chosen, stage, path = key.split(".", 2)
    arms = [arm for arm in paper.arms_of(profile) if stage in paper.stages_of(arm)]
    if chosen != "*":
        return [arm for arm in arms if arm == chosen]
    own = {*paper.stated, *paper.unstated}
    return [arm for arm in arms if f"{arm}.{stage}.{path}" not in own]


def values_of(paper: Paper, tree: dict[str, Any], profile: str, key: str) -> list[Any]:
    """Return the resolved values of the arms that a key speaks of, without those that lack it."""
    _, stage, path = key.split(".", 2)
    found = [look_up(tree, arm, stage, path) for arm in arms_of(paper, profile, key)]
    return [value for value in found if value != MISSING]


def unexplained(paper: Paper, tree: dict[str, Any]) -> list[str]:
    """Return a line for each difference of the `paper` profile without a deviation entry, and each
    entry that no longer tells the truth."""
    rows = settings(paper, tree, "paper")
    lines = [
        f"{row.arm}: {row.key}: the paper says {row.paper!r}, ours is {row.ours!r}: needs an entry "
        "under `deviations`"
        for row in rows
        if row.differs and row.deviation is None
    ]
    for row in rows:
        if row.deviation is not None and not row.differs:
            lines.append(f"{row.arm}: {row.key}: is as the paper says; its deviation is stale")
        elif row.deviation is not None and not same(row.deviation.ours, row.ours):
            lines.append(f"{row.arm}: {row.key}: the deviation says ours is "
                         f"{row.deviation.ours!r}, resolved is {row.ours!r}")
    return lines


def silent(paper: Paper, tree: dict[str, Any]) -> list[str]:
    """Return a line for each core setting of the `paper` profile that is neither stated, nor marked
    `unstated`, nor a deviation; and for each `unstated` entry that speaks of nothing."""
    known = {*paper.stated, *paper.unstated, *(d.key for d in paper.deviations)}
    found: dict[str, list[str]] = {}
    seen = set()
    for arm, stages in tree["arms"].items():
        trained = [node for stage, section in stages.items() if stage != EVAL
                   for node in section["config"].values() if isinstance(node, dict)]
        for stage, section in stages.items():
            for path in _core(section["config"], "", trained if stage == EVAL else []):
                seen |= {f"{arm}.{stage}.{path}", f"*.{stage}.{path}"}
                if not {f"{arm}.{stage}.{path}", f"*.{stage}.{path}"} & known:
                    found.setdefault(f"{stage}.{path}", []).append(arm)
    lines = [f"{', '.join(arms)}: {path}: needs an entry under `stated`, or under `unstated` where "
             "the paper is silent" for path, arms in found.items()]
    here = {"*", *tree["arms"]}
    return lines + [f"unstated.{key}: no arm has this core setting" for key in paper.unstated
                    if key.partition(".")[0] in here and key not in seen]


def _core(node: Any, path: str, known: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the paths of the core settings below a node that are in force. known: nodes of the
    stages before; an evaluation that is given one of them again sets nothing new."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _core(item, f"{path}{index}.", known)
    if not isinstance(node, dict) or node in known:
        return
    for name, value in node.items():
        if isinstance(value, dict) or (isinstance(value, list) and name not in CORE):
            yield from _core(value, f"{path}{name}.", known)
        elif name in CORE and value is not None and value != _OFF.get(name) \
                and node.get(_REPLACED.get(name, "")) is None:
            yield f"{path}{name}"


def look_up(tree: dict[str, Any], arm: str, stage: str, path: str) -> Any:
    """Return the value at arms.<arm>.<stage>.config.<path>, MISSING where there is none."""
    node: Any = tree.get("arms", {}).get(arm, {}).get(stage, {}).get("config", {})
    for part in path.split("."):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return MISSING
    return node


def same(one: Any, two: Any) -> bool:
    """Return whether two settings are equal; 1 and 1.0 are, True and 1 are not."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two
