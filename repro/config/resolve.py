"""gin files of a paper and profile to the resolved tree: per arm and stage what is reachable.

For arm A, stage S and reference scope R a setting takes the binding of the strongest scope,
    ''  <  S  <  A  <  A/S  <  R  <  S/R  <  A/R  <  A/S/R,
within a scope that of the later file, overrides of params.yaml last. Suite-wide bindings
(papers/smoke.gin) win over all. A reference scope holds for what is referred to below it, too,
until another one replaces it. What has no effect is an error, not silence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.config import code, resolved
from repro.config.bindings import (
    BROKEN,
    Binding,
    Bindings,
    Link,
    Linker,
    Macros,
    UndefinedMacro,
    fitted,
)
from repro.config.parse import Macro, parse_files, parse_overrides
from repro.config.problems import Place, Problems
from repro.config.signature import MISSING, Setting, Signatures
from repro.config.source import Sources
from repro.config.types import Callee, Mismatch, show
from repro.errors import UserError

Trail = tuple[str, ...]


@dataclass(frozen=True)
class Overridden:
    """A value that another one beat."""

    value: str
    place: str


@dataclass
class ResolvedPaper:
    """tree: what is written to `resolved/<profile>/`. origins: path (arm, stage, setting, ...)
    -> "file:line" or "default file:line". overridden: path -> what was beaten, strongest first."""

    slug: str
    profile: str
    tree: dict[str, Any]
    origins: dict[Trail, str] = field(default_factory=dict)
    overridden: dict[Trail, list[Overridden]] = field(default_factory=dict)

    def write(self, folder: Path | str) -> None:
        """Write the tree. Values only: where they stand would change with a comment."""
        resolved.dump(self.tree, folder)


def resolve(
    paper: Any,
    profile: str,
    *,
    numerics: str = "portable",
    epoch: int = 1,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    overrides: list[str] | None = None,
) -> ResolvedPaper:
    """Return the resolved settings of every arm and stage of a profile.

    paper: `repro.paper.Paper`. numerics, epoch, seeds: of the suite. overrides: gin bindings from
    `params.yaml`, such as "bert/pretraining.pretrain.steps = 10". Raises one UserError that lists
    every problem of the paper, a line each, `file:line: what is wrong`.
    """
    problems = Problems()
    files = parse_files(paper.gin_files(profile), paper.root, problems, suite=paper.dir.parent)
    key = f"papers.{paper.slug}.overrides"
    sources = [*files, parse_overrides(overrides or [], files, key, problems)]
    problems.check()
    signatures = Signatures(Sources(paper.root))
    linker = Linker(paper.slug, list(paper.arms), list(paper.stages), signatures, problems)
    bindings = linker.link(sources)
    entries = _entries(paper, signatures, problems)
    walk = Walk(entries, bindings, signatures, bindings.ranks)
    walk.run({name: _stages(paper, name) for name in paper.arms_of(profile)})
    walk.report(problems)
    if bindings.complete and len(entries) == len(paper.stages):
        _check_reach(paper, profile, walk, problems)
    problems.check()
    tree = {
        "paper": paper.slug,
        "profile": profile,
        "numerics": numerics,
        "epoch": epoch,
        "seeds": list(seeds),
        "versions": resolved.versions(),
        "arms": {arm: _sections(stages, signatures.sources) for arm, stages in walk.tree.items()},
    }
    return ResolvedPaper(paper.slug, profile, tree, walk.origins, walk.overridden)


def _sections(stages: dict[str, Any], sources: Sources) -> dict[str, Any]:
    found = {}
    for stage, config in stages.items():
        extra = resolved.extra_versions(code.libraries(code.section_modules(config), sources))
        found[stage] = {"code": code.section_digest(config, sources), "config": config}
        found[stage] |= {"versions": extra} if extra else {}
    return found


def _stages(paper: Any, arm: str) -> list[str]:
    """Return the stages an arm runs itself, in the paper's order; `stages: null` means all."""
    chosen = paper.arms[arm].stages
    return [stage for stage in paper.stages if chosen is None or stage in chosen]


def _entries(paper: Any, signatures: Signatures, problems: Problems) -> dict[str, "Entry"]:
    """Return stage -> entry function, those that exist."""
    found = {}
    for stage, dotted in paper.stages.items():
        place = _entry_place(paper, stage)
        try:
            found[stage] = Entry(signatures.get(dotted).target, place)
        except UserError as error:
            problems.add(place, f"stages.{stage}: {error}")
    return found


def _entry_place(paper: Any, stage: str) -> Place:
    """Return where paper.yaml names the entry function of a stage."""
    path = paper.dir / "paper.yaml"
    shown = path.relative_to(paper.root).as_posix()
    pattern = re.compile(rf"\s+{re.escape(stage)}\s*:\s*{re.escape(paper.stages[stage])}\s*(#.*)?$")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return Place(shown, next((i for i, text in enumerate(lines, 1) if pattern.match(text)), 0))


@dataclass(frozen=True)
class Entry:
    target: str
    place: Place


@dataclass(frozen=True)
class Spot:
    """Where in the tree a value is wanted. place: the binding that refers to it."""

    arm: str
    stage: str
    scope: str
    path: Trail
    place: Place
    above: tuple[tuple[str, str], ...] = ()

    def strength(self, scope: str) -> int | None:
        """Return how strong a binding's scope is here, None where it does not hold."""
        parts = set(filter(None, scope.split("/")))
        weight = {self.stage: 1, self.arm: 2} | ({self.scope: 4} if self.scope else {})
        return sum(weight[part] for part in parts) if parts <= weight.keys() else None


class Walk:
    """One pass over the arms and stages with the bindings of the ranks up to `limit`."""

    def __init__(
        self, entries: dict[str, Entry], bindings: Bindings, signatures: Signatures, limit: int
    ) -> None:
        self.entries, self.bindings, self.signatures = entries, bindings, signatures
        self.limit = limit
        self.macros = Macros(bindings.macros, limit)
        self.tree: dict[str, dict[str, Any]] = {}
        self.origins: dict[Trail, str] = {}
        self.overridden: dict[Trail, list[Overridden]] = {}
        self.alive: set[Binding] = set()
        self.beaten: dict[Binding, Binding] = {}
        self._values: dict[Binding, Any] = {}
        self._missing: dict[tuple[Place, str], list[tuple[str, str]]] = {}
        self._cycles: dict[tuple[Place, str], None] = {}

    def run(self, stages_of: dict[str, list[str]]) -> None:
        """Fill the tree. stages_of: arm -> its stages."""
        for arm, stages in stages_of.items():
            self.tree[arm] = {}
            for stage in stages:
                if stage in self.entries:
                    entry = self.entries[stage]
                    spot = Spot(arm, stage, "", (arm, stage), entry.place)
                    self.tree[arm][stage] = self._node(Link(entry.target, True), spot)

    def report(self, problems: Problems) -> None:
        """Add what has no value, and what refers to itself."""
        for (place, name), spots in self._missing.items():
            arms = list(dict.fromkeys(arm for arm, _ in spots))
            stages = " and ".join(dict.fromkeys(stage for _, stage in spots))
            having = [arm for arm, tree in self.tree.items() if any(s in tree for _, s in spots)]
            only = "" if len(arms) == len(having) else f", arm {', '.join(arms)}"
            problems.add(place, f"{name} is REQUIRED and has no value (stage {stages}{only})")
        for place, text in self._cycles:
            problems.add(place, text)

    def _node(self, callee: Callee, spot: Spot) -> dict[str, Any]:
        """Return a reference with all its settings: {_fn | _ref: target, setting: value, ...}."""
        scope = getattr(callee, "scope", "") or spot.scope
        step = (callee.target, scope)
        if step in spot.above:
            names = [target for target, _ in (*spot.above, step)]
            chain = " -> ".join(names[names.index(callee.target):])
            self._cycles[spot.place, f"reference goes round: {chain}"] = None
            return {}
        node: dict[str, Any] = {"_fn" if callee.evaluate else "_ref": callee.target}
        for setting in self.signatures.get(callee.target).settings.values():
            inner = Spot(spot.arm, spot.stage, scope, (*spot.path, setting.name), spot.place,
                         (*spot.above, step))
            value = self._setting(callee.target, setting, inner)
            if value is not MISSING:
                node[setting.name] = value
        return node

    def _setting(self, target: str, setting: Setting, spot: Spot) -> Any:
        ranked = self._candidates(target, setting.name, spot)
        if ranked:
            best, *losers = ranked
            self.alive.add(best)
            self.beaten |= {loser: best for loser in losers if loser not in self.beaten}
            value, place, origin = self._value(best), best.place, str(best.place)
        else:
            losers = []
            value, place, origin = setting.default, spot.place, f"default {setting.place}"
        if value is BROKEN:
            return MISSING
        if value is MISSING or isinstance(value, Macro):
            owner = target.removeprefix("repro.")
            missing = self._missing.setdefault((place, f"{owner}.{setting.name}"), [])
            missing.append((spot.arm, spot.stage))
            return MISSING
        self.origins[spot.path] = origin
        beaten = [Overridden(show(self._value(b)), str(b.place)) for b in losers]
        if ranked and setting.default is not MISSING:
            beaten.append(Overridden(show(setting.default), f"default {setting.place}"))
        if beaten:
            self.overridden[spot.path] = beaten
        at = Spot(spot.arm, spot.stage, spot.scope, spot.path,
                  place if ranked else setting.place, spot.above)
        return self._plain(value, at)

    def _candidates(self, target: str, name: str, spot: Spot) -> list[Binding]:
        """Return the bindings that hold here, strongest first."""
        found = []
        for binding in self.bindings.by_setting.get((target, name), ()):
            strength = spot.strength(binding.scope)
            if strength is not None and binding.rank <= self.limit:
                found.append(((binding.suite, strength, binding.rank), binding))
        return [binding for _, binding in sorted(found, key=lambda f: f[0], reverse=True)]

    def _value(self, binding: Binding) -> Any:
        """Return a binding's value, macros replaced and fitted; BROKEN where that fails."""
        if binding not in self._values:
            try:
                value = self.macros.expand(binding.value)
                self._values[binding] = fitted(self.signatures, binding, value)
            except (UndefinedMacro, Mismatch):
                self._values[binding] = BROKEN
        return self._values[binding]

    def _plain(self, value: Any, spot: Spot) -> Any:
        """Return a value as YAML holds it: references as nodes, tuples as lists."""
        def below(key: Any) -> Spot:
            return Spot(spot.arm, spot.stage, spot.scope, (*spot.path, str(key)), spot.place,
                        spot.above)

        match value:
            case Callee():
                return self._node(value, spot)
            case list() | tuple():
                return [self._plain(item, below(i)) for i, item in enumerate(value)]
            case dict():
                return {key: self._plain(item, below(key)) for key, item in value.items()}
        return value


def _check_reach(paper: Any, profile: str, walk: Walk, problems: Problems) -> None:
    """Report bindings without effect.

    A binding counts if it had an effect before later files came: what mini.gin overrides, with all
    that hung on it, is not dead in paper.gin. Files that profiles share may speak of arms that this
    profile leaves out.
    """
    here = {name: _stages(paper, name) for name in paper.arms_of(profile)}
    own = {path.relative_to(paper.root).as_posix() for path in paper.gin_files(profile)
           if path.stem != "paper"}
    dead = {binding for binding in walk.bindings if not binding.suite} - walk.alive
    others = {name: _stages(paper, name) for name in paper.arms if name not in here}
    for limit in range(walk.limit, -1, -1):
        if not dead:
            return
        earlier = Walk(walk.entries, walk.bindings, walk.signatures, limit)
        earlier.run(here)
        dead -= earlier.alive
        earlier.run(others)
        dead -= {binding for binding in earlier.alive if binding.place.file not in own}
    for binding in dead:
        away = [part for part in binding.scope.split("/") if part in others]
        best = walk.beaten.get(binding)
        if away:
            reason = f"arm {away[0]!r} is not part of profile {profile!r}"
        elif best is not None:
            reason = f"{best.text} ({best.place}) wins wherever it applies"
        else:
            within = f" in scope {binding.scope!r}" if binding.scope else ""
            reason = f"nothing that runs uses {binding.target}{within}"
        problems.add(binding.place, f"{binding.text} has no effect: {reason}")
