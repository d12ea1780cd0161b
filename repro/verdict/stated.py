"""The paper's stated hyper-parameters against resolved settings, and what explains a difference."""

from dataclasses import dataclass
from typing import Any

from repro.errors import UserError
from repro.paper import Paper
from repro.schema import Deviation


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


def settings(paper: Paper, tree: dict[str, Any], profile: str) -> list[Setting]:
    """Return every stated setting beside the resolved one. tree: resolved/<profile>/.

    A key with arm `*` stands for each arm that runs the stage. A small profile may replace
    what a key speaks of. Raises UserError when the paper profile has nothing at all under a key:
    the path is wrong.
    """
    deviations = {d.key: d for d in paper.deviations if d.profile == profile}
    found = []
    for key, stated in paper.stated.items():
        chosen, stage, path = key.split(".", 2)
        arms = [a for a in paper.arms_of(profile) if stage in paper.stages_of(a)]
        rows = []
        for arm in arms if chosen == "*" else [chosen]:
            ours = look_up(tree, arm, stage, path)
            explained = deviations.get(f"{arm}.{stage}.{path}", deviations.get(key))
            rows.append(Setting(key, arm, stated.value, ours, stated.source, explained))
        nowhere = all(row.ours == MISSING for row in rows) and chosen in ("*", *arms)
        if nowhere and profile == "paper":
            raise UserError(f"papers/{paper.slug}/paper.yaml: stated.{key}: no arm has this "
                            f"setting in resolved/{profile}/")
        found += [row for row in rows if row.ours != MISSING or chosen != "*"]
    return found


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
