"""Which file and line set a value, and what it overrode."""

import difflib
import fnmatch
from dataclasses import asdict, dataclass
from typing import Any, Literal

from repro.config.resolve import ResolvedPaper, Trail
from repro.config.tables import as_json, as_table, short
from repro.errors import UserError
from repro.naming import nearest


@dataclass(frozen=True)
class Blame:
    """One setting. arms: those where it stands so, () = all that have it. origin: "file:line" or
    "default file:line". overrode: "value (file:line)", strongest first."""

    path: str
    arms: tuple[str, ...]
    value: Any
    origin: str
    overrode: tuple[str, ...]


def blame(resolved: ResolvedPaper, pattern: str) -> list[Blame]:
    """Return the settings a pattern names, in the order of the tree.

    pattern: `[arm:]path`; the path's last part must match, earlier ones may leave some out, so that
    `lr`, `pretrain.lr` and `pretrain.optimizer.lr` all find `pretrain.optimizer.lr`; parts may hold
    `*`. Raises UserError with the nearest names when nothing matches.
    """
    arm, _, path = pattern.rpartition(":")
    arms = resolved.tree["arms"]
    if arm and arm not in arms:
        raise UserError(f"{resolved.slug}: unknown arm {arm!r}{nearest(arm, arms)}")
    parts = tuple(path.split("."))
    grouped: dict[tuple[Any, ...], list[str]] = {}
    having: dict[Trail, list[str]] = {}
    for trail in resolved.origins:
        if (arm and trail[0] != arm) or not matches(parts, trail[1:]):
            continue
        overrode = tuple(f"{one.value} ({one.place})" for one in resolved.overridden.get(trail, ()))
        value = short(_value(resolved, trail))
        grouped.setdefault((trail[1:], value, resolved.origins[trail], overrode), [])
        grouped[trail[1:], value, resolved.origins[trail], overrode].append(trail[0])
        having.setdefault(trail[1:], []).append(trail[0])
    if not grouped:
        raise UserError(_unknown(resolved, path))
    return [
        Blame(".".join(trail), () if names == having[trail] and not arm else tuple(names),
              value, origin, overrode)
        for (trail, value, origin, overrode), names in sorted(
            grouped.items(), key=lambda item: list(having).index(item[0][0]))
    ]


def matches(parts: tuple[str, ...], trail: Trail) -> bool:
    """Return whether a pattern's parts are found in a path in order, the last one at its end."""
    if not fnmatch.fnmatchcase(trail[-1], parts[-1]):
        return False
    rest = iter(trail[:-1])
    return all(any(fnmatch.fnmatchcase(name, part) for name in rest) for part in parts[:-1])


def render(rows: list[Blame], form: Literal["table", "json"] = "table") -> str:
    """Return the rows as aligned text or as JSON."""
    if form == "json":
        return as_json([asdict(row) for row in rows])
    head = ("setting", "value", "set at", "overrode")
    lines = []
    for row in rows:
        name = row.path + (f" [{', '.join(row.arms)}]" if row.arms else "")
        for index, beaten in enumerate(row.overrode or ("",)):
            first = (name, str(row.value), row.origin) if index == 0 else ("", "", "")
            lines.append((*first, beaten))
    return as_table(head, lines)


def _value(resolved: ResolvedPaper, trail: Trail) -> Any:
    arm, stage, *names = trail
    node = resolved.tree["arms"][arm][stage]["config"]
    for name in names:
        node = node[int(name)] if isinstance(node, list) else node[_key(node, name)]
    return node


def _key(node: dict[Any, Any], name: str) -> Any:
    return name if name in node else int(name)


def _unknown(resolved: ResolvedPaper, path: str) -> str:
    paths = list(dict.fromkeys(".".join(trail[1:]) for trail in resolved.origins))
    last = path.rpartition(".")[2]
    near = difflib.get_close_matches(path, paths, n=3, cutoff=0.6)
    names = {one.rpartition(".")[2] for one in paths}
    leaf = difflib.get_close_matches(last, sorted(names), n=1, cutoff=0.6)
    near += [one for one in paths if leaf and one.endswith(f".{leaf[0]}") and one not in near]
    hint = f" (did you mean {', '.join(map(repr, near[:3]))}?)" if near else ""
    return f"{resolved.slug}/{resolved.profile}: no setting matches {path!r}{hint}"
