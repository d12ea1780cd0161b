"""Resolved settings of papers, arms, revisions and profiles side by side: what differs."""

import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from repro.config import resolved
from repro.config.signature import Signatures
from repro.config.source import Sources
from repro.config.tables import as_json, as_table, clip, named
from repro.errors import UserError
from repro.naming import nearest
from repro.schema import PROFILES

ABSENT = "-"
Flat = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """What one column shows: `paper[:arm][@rev][/profile]`. rev "" = the working tree."""

    paper: str
    arm: str
    rev: str
    profile: str

    def __str__(self) -> str:
        arm, rev = self.arm and f":{self.arm}", self.rev and f"@{self.rev}"
        return f"{self.paper}{arm}{rev}/{self.profile}"


@dataclass(frozen=True)
class Row:
    """A setting that differs. arms: those the row speaks of, () = all. values: per column, arm ->
    value; an arm without this setting is left out. partial: per column, whether some of its arms
    lack it. default: not all have it, and where it is it stands at its function's default."""

    path: str
    arms: tuple[str, ...]
    values: tuple[dict[str, Any], ...]
    partial: tuple[bool, ...] = ()
    default: bool = False

    @property
    def lacking(self) -> bool:
        """Whether some column or arm has no such setting, its function being another one."""
        return any(self.partial) or not all(self.values)


@dataclass(frozen=True)
class Diff:
    """columns: one per spec, as shortly as they can be told apart."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    everything: bool


def parse_spec(text: str, profile: str) -> Spec:
    """Return a spec; `profile` when it names none. Raises UserError for a malformed one."""
    rest, slash, last = text.rpartition("/")
    if slash and last not in PROFILES and "@" not in rest:
        raise UserError(f"{text}: unknown profile {last!r}{nearest(last, PROFILES)}")
    if slash and last in PROFILES:
        text, profile = rest, last
    name, at, rev = text.partition("@")
    paper, colon, arm = name.partition(":")
    if not paper or (at and not rev) or (colon and not arm):
        raise UserError(f"{text!r}: write paper[:arm][@revision][/profile]")
    return Spec(paper, arm, rev, profile)


def diff(
    texts: list[str], *, root: Path | str, profile: str = "mini", everything: bool = False
) -> Diff:
    """Return what differs between the resolved settings that the specs name.

    Columns with the same arms (or one arm each) are compared arm by arm; others by the values a
    setting takes over their arms. everything: also code digests, versions and numerics.
    Raises UserError for an unknown paper, arm, profile or revision.
    """
    if len(texts) < 2:
        raise UserError("diff needs two or more of paper[:arm][@revision][/profile]")
    specs = [parse_spec(text, profile) for text in texts]
    trees = [read(spec, Path(root)) for spec in specs]
    columns = [_arms(spec, tree, everything) for spec, tree in zip(specs, trees, strict=True)]
    same_arms = len({tuple(sorted(column)) for column in columns}) == 1
    if all(len(column) == 1 for column in columns):
        columns = [{"": next(iter(column.values()))} for column in columns]
        same_arms = True
    rows = _arm_by_arm(columns) if same_arms else _by_values(columns)
    defaults = _Defaults(Path(root), trees)
    rows = [replace(row, default=row.lacking and defaults.has(row)) for row in rows]
    return Diff(_titles(specs), tuple(rows), everything)


def read(spec: Spec, root: Path) -> dict[str, Any]:
    """Return the resolved tree a spec names, of the working tree or a git revision."""
    path = resolved.path_of(root, spec.paper, spec.profile)
    if not (root / "papers" / spec.paper).is_dir() and not spec.rev:
        known = sorted(p.parent.name for p in (root / "papers").glob("*/paper.yaml"))
        raise UserError(f"unknown paper {spec.paper!r}{nearest(spec.paper, known)}")
    if not spec.rev:
        return resolved.load(path)
    shown = f"{spec.rev}:./{path.relative_to(root).as_posix()}"
    listed = _git(root, spec, "show", shown).splitlines()
    names = [f"{shown}/{name}" for name in listed if name.endswith(".json")]
    if not names:
        raise UserError(f"{spec}: no resolved settings in {shown}")
    return resolved.loads({name: _git(root, spec, "show", name) for name in names})


def _git(root: Path, spec: Spec, *command: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["git failed"])[0]
        raise UserError(f"{spec}: {reason.removeprefix('fatal: ')}")
    return done.stdout


def render(result: Diff, form: Literal["table", "json"] = "table") -> str:
    """Return the diff as an aligned table or as JSON."""
    if form == "json":
        rows = [{"path": row.path, "arms": list(row.arms), "default": row.default,
                 "values": list(row.values)} for row in result.rows]
        return as_json({"columns": list(result.columns), "rows": rows})
    shown = [row for row in result.rows if result.everything or not row.default]
    lines = []
    for row in shown:
        name = row.path + (f" [{', '.join(row.arms)}]" if row.arms else "")
        partial = row.partial or (False,) * len(row.values)
        cells = [_cell(values, some) for values, some in zip(row.values, partial, strict=True)]
        for index in range(max(map(len, cells))):
            parts = [clip(cell[index]) if index < len(cell) else "" for cell in cells]
            lines.append((name if index == 0 else "", *parts))
    hidden = len(result.rows) - len(shown)
    note = f"\n{hidden} more at the defaults of functions that not all use (--all)"
    table = as_table(("setting", *result.columns), lines) if lines else "no difference"
    return table + (note if hidden else "")


def _arms(spec: Spec, tree: dict[str, Any], everything: bool) -> dict[str, Flat]:
    """Return arm -> flat settings of what a spec selects."""
    chosen = tree["arms"]
    if spec.arm:
        if spec.arm not in chosen:
            raise UserError(f"{spec}: unknown arm {spec.arm!r}{nearest(spec.arm, chosen)}")
        chosen = {spec.arm: chosen[spec.arm]}
    extra: Flat = {}
    if everything:
        extra = {"numerics": tree["numerics"]}
        extra |= {f"versions.{name}": value for name, value in tree["versions"].items()}
    found = {}
    for arm, stages in chosen.items():
        flat: Flat = {}
        for stage, section in stages.items():
            flat |= flatten(section["config"], stage)
            if everything:
                flat[f"{stage} (code)"] = section["code"]
                flat |= {f"{stage} (versions).{name}": version
                         for name, version in section.get("versions", {}).items()}
        found[arm] = flat | extra
    return found


def flatten(value: Any, path: str) -> Flat:
    """Return dotted path -> value; a function stands at its own path by its dotted name, its
    settings below it."""
    match value:
        case dict():
            flat = {}
            for key, item in value.items():
                flat |= {path: item} if key in ("_fn", "_ref") else flatten(item, f"{path}.{key}")
            return flat or {path: {}}
        case list() if any(isinstance(item, dict | list) for item in value):
            flat = {}
            for index, item in enumerate(value):
                flat |= flatten(item, f"{path}.{index}")
            return flat
    return {path: value}


def _paths(columns: list[dict[str, Flat]]) -> list[str]:
    """Return every path, in the order of the first column that has it, kept next to its kin."""
    ordered: list[str] = []
    for flat in (flat for column in columns for flat in column.values()):
        position = 0
        for path in flat:
            if path in ordered:
                position = ordered.index(path) + 1
            else:
                ordered.insert(position, path)
                position += 1
    return ordered


def _pick(flat: Flat, path: str) -> tuple[Any, ...]:
    """Return () for an absent setting: None is a value."""
    return (flat[path],) if path in flat else ()


def _arm_by_arm(columns: list[dict[str, Flat]]) -> list[Row]:
    arms = list(columns[0])
    rows = []
    for path in _paths(columns):
        groups: dict[str, list[str]] = {}
        for arm in arms:
            values = [_pick(column[arm], path) for column in columns]
            if any(value != values[0] for value in values):
                groups.setdefault(repr(values), []).append(arm)
        for names in groups.values():
            every = names == [a for a in arms if any(path in column[a] for column in columns)]
            values = tuple({a: column[a][path] for a in names if path in column[a]}
                           for column in columns)
            rows.append(Row(path, () if every else tuple(names), values))
    return rows


def _by_values(columns: list[dict[str, Flat]]) -> list[Row]:
    common = set.intersection(*(set(column) for column in columns))
    rows = []
    for path in _paths(columns):
        kinds = {frozenset(repr(_pick(flat, path)) for flat in column.values())
                 for column in columns}
        same_name = all(
            len({repr(_pick(column[arm], path)) for column in columns}) == 1 for arm in common)
        if len(kinds) > 1 or not same_name:
            values = tuple({a: flat[path] for a, flat in column.items() if path in flat}
                           for column in columns)
            stage = path.partition(".")[0]
            partial = tuple(len(given) < sum(stage in flat for flat in column.values())
                            for given, column in zip(values, columns, strict=True))
            rows.append(Row(path, (), values, partial))
    return rows


def _cell(values: dict[str, Any], partial: bool) -> list[str]:
    """Return the lines of a cell: the most frequent value, then the others with their arms.
    partial: some arms lack the setting, so that the first value needs its arms, too."""
    if not values:
        return [ABSENT]
    texts = {arm: named(value) for arm, value in values.items()}
    lines = []
    for text, _ in Counter(texts.values()).most_common():
        arms = ", ".join(arm for arm, its in texts.items() if its == text)
        lines.append(f"{text}: {arms}" if (lines or partial) and arms else text)
    return lines


def _titles(specs: list[Spec]) -> tuple[str, ...]:
    """Return column titles; what all columns share is left out, the paper's name is not."""
    profiles = {spec.profile for spec in specs}
    short_ones = [str(spec).rpartition("/")[0] for spec in specs]
    return tuple(short_ones if len(profiles) == 1 else map(str, specs))


class _Defaults:
    """Knows, from the working tree's code, which settings stand at their function's default."""

    def __init__(self, root: Path, trees: list[dict[str, Any]]) -> None:
        self._signatures = Signatures(Sources(root))
        self._owners: dict[str, set[str]] = {}
        for tree in trees:
            for stages in tree["arms"].values():
                for stage, section in stages.items():
                    for path, value in flatten(section["config"], stage).items():
                        if isinstance(value, str):
                            self._owners.setdefault(path, set()).add(value)

    def has(self, row: Row) -> bool:
        owner, _, name = row.path.rpartition(".")
        given = {repr(value) for values in row.values for value in values.values()}
        return given <= {default for target in self._owners.get(owner, ())
                         for default in self._default(target, name)}

    def _default(self, target: str, name: str) -> list[str]:
        try:
            setting = self._signatures.get(target).settings.get(name)
        except UserError:
            return []
        if setting is None:
            return []
        value = setting.default
        return [repr(list(value) if isinstance(value, tuple) else value)]
