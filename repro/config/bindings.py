"""Statements to bindings: every name looked up, every value checked against its annotation."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from repro.config.parse import Import, Macro, Reference, Source, Statement
from repro.config.problems import Place, Problems
from repro.config.signature import Signatures, describe, unknown_module
from repro.config.source import PACKAGES
from repro.config.types import Callee, Mismatch
from repro.errors import UserError
from repro.naming import nearest

NODE_KEYS = ("_fn", "_ref")


@dataclass(frozen=True)
class Link(Callee):
    """A reference whose target is known. scope: the reference scope, "" = none."""

    scope: str = ""


@dataclass(frozen=True, eq=False)
class Binding:
    """One parameter of one configurable bound in one scope. rank: files in order, then the
    overrides of params.yaml, then suite-wide files; a later rank wins within a scope."""

    scope: str
    target: str
    name: str
    value: Any
    place: Place
    rank: int
    suite: bool
    text: str


@dataclass(frozen=True, eq=False)
class MacroBinding:
    name: str
    value: Any
    place: Place
    rank: int


@dataclass
class Bindings:
    """Everything a profile binds. by_setting: (target, parameter) -> bindings in order of rank.
    complete: every name could be looked up, so that what seems unreached is so."""

    ranks: int
    by_setting: dict[tuple[str, str], list[Binding]] = field(default_factory=dict)
    macros: list[MacroBinding] = field(default_factory=list)
    complete: bool = True

    def __iter__(self) -> Iterator[Binding]:
        for bindings in self.by_setting.values():
            yield from bindings


class UndefinedMacro(Exception):
    """A macro that has no value, or only itself."""


class _Reported(UserError):
    """The cause is in the list already."""


class _Broken:
    def __repr__(self) -> str:
        return "a name that is not known"


BROKEN: Any = _Broken()
"""In place of a value whose names cannot be looked up; that is reported where it stands."""


class Macros:
    """The values of macros as the ranks up to `limit` leave them."""

    def __init__(self, macros: list[MacroBinding], limit: int) -> None:
        ordered = sorted(macros, key=lambda macro: macro.rank)
        self.values = {macro.name: macro.value for macro in ordered if macro.rank <= limit}

    def expand(self, value: Any, inside: tuple[str, ...] = ()) -> Any:
        """Return a value with its macros replaced. A lone REQUIRED stays. Raises UndefinedMacro."""
        match value:
            case Macro(required=True):
                return value
            case Macro(name=name):
                if name not in self.values:
                    raise UndefinedMacro(f"undefined macro %{name}{nearest(name, self.values)}")
                if name in inside:
                    raise UndefinedMacro(f"macro goes round: {' -> '.join([*inside, name])}")
                return self.expand(self.values[name], (*inside, name))
        return rebuild(value, lambda item: self.expand(item, inside))


def rebuild(value: Any, change: Any) -> Any:
    """Return a container with `change` applied to items and keys; other values as they are."""
    match value:
        case list() | tuple():
            return type(value)(change(item) for item in value)
        case dict():
            return {change(key): change(item) for key, item in value.items()}
    return value


def leaves(value: Any) -> Iterator[Any]:
    """Yield what is in a value, containers taken apart."""
    match value:
        case list() | tuple():
            for item in value:
                yield from leaves(item)
        case dict():
            yield from leaves([*value.keys(), *value.values()])
        case _:
            yield value


class Linker:
    """Turns the sources of one paper into `Bindings`; what is wrong goes to `problems`."""

    def __init__(
        self, slug: str, arms: list[str], stages: list[str], signatures: Signatures,
        problems: Problems,
    ) -> None:
        self.slug, self.arms, self.stages = slug, arms, stages
        self.signatures, self.problems = signatures, problems
        self.reference_scopes: set[str] = set()
        self._unusable: set[Import] = set()

    def link(self, sources: list[Source]) -> Bindings:
        ordered = sorted(sources, key=lambda s: (s.suite, s.is_overrides))
        found = Bindings(ranks=len(ordered))
        self._collect_reference_scopes(ordered)
        for rank, source in enumerate(ordered):
            for imported in () if source.is_overrides else source.imports.values():
                if not self._check_import(imported):
                    self._unusable.add(imported)
                    found.complete = False
            for statement in source.statements:
                self._take(statement, source, rank, found)
        self._check_shadows(found)
        self._check_macros(ordered, found)
        self._check_values(found)
        return found

    def _collect_reference_scopes(self, sources: list[Source]) -> None:
        for statement in (s for source in sources for s in source.statements):
            for leaf in leaves(statement.value):
                if not isinstance(leaf, Reference) or not leaf.scope:
                    continue
                self.reference_scopes.add(leaf.scope)
                kind = "arm" if leaf.scope in self.arms else "stage"
                if leaf.scope in (*self.arms, *self.stages):
                    self.problems.add(statement.place, f"reference scope {leaf.scope!r} is also "
                                      f"the name of {'an' if kind == 'arm' else 'a'} {kind}")
                elif "/" in leaf.scope:
                    self.problems.add(statement.place,
                                      f"reference scope {leaf.scope!r}: at most one is possible")

    def _check_import(self, imported: Import) -> bool:
        """Report an import of something that may not or cannot be named; return if it is fine."""
        name, sources = imported.written, self.signatures.sources
        if name.startswith("__gin__"):
            return True
        top, _, rest = name.partition(".")
        if top not in PACKAGES:
            text = f"{name} is not ours: only modules of repro and papers.{self.slug} can be bound"
        elif top == "papers" and rest.partition(".")[0] != self.slug:
            text = f"{name} belongs to another paper: move what is shared into repro"
        elif sources.find(name) is not None:
            return True
        else:
            owner, _, last = name.rpartition(".")
            module = sources.find(owner)
            if module is not None and last in module.names:
                text = f"{name} is no module: import {owner} and bind {owner.split('.')[-1]}.{last}"
            else:
                text = unknown_module(sources, name)
        self.problems.add(imported.place, text)
        return False

    def _take(self, statement: Statement, source: Source, rank: int, found: Bindings) -> None:
        try:
            value = self._linked(statement.value, source)
        except UserError as error:
            self._report(statement.place, error)
            found.complete = False
            value = BROKEN
        if statement.is_macro:
            found.macros.append(MacroBinding(statement.scope, value, statement.place, rank))
            return
        try:
            target = self._target(statement.selector, source)
            self._check_setting(statement, target)
            scope = self._scope(statement, source)
        except UserError as error:
            self._report(statement.place, error)
            return
        binding = Binding(scope, target, statement.name, value, statement.place, rank,
                          source.suite, str(statement))
        found.by_setting.setdefault((target, statement.name), []).append(binding)

    def _report(self, place: Place, error: UserError) -> None:
        """Add an error; one that names its own place (a Python file) keeps it."""
        if isinstance(error, _Reported):
            return
        location, found, text = str(error).partition(": ")
        file, _, line = location.rpartition(":")
        if found and line.isdigit():
            self.problems.add(Place(file, int(line)), text)
        else:
            self.problems.add(place, str(error))

    def _linked(self, value: Any, source: Source) -> Any:
        if not isinstance(value, Reference):
            return rebuild(value, lambda item: self._linked(item, source))
        target = self._target(value.selector, source)
        needed = self.signatures.get(target).needed
        if value.evaluate and needed:
            raise UserError(f"@{value.selector}() is built without arguments, but {needed[0]!r} is "
                            f"supplied by the caller: write @{value.selector}")
        return Link(target, value.evaluate, value.scope)

    def _target(self, selector: str, source: Source) -> str:
        """Return the dotted name where what a selector names is defined."""
        first, *rest = selector.split(".")
        imported = source.imports.get(first)
        if imported in self._unusable:
            raise _Reported(imported.written)
        if imported is not None:
            dotted = ".".join([imported.module, *rest])
        elif source.is_overrides and first in PACKAGES:
            dotted = selector
        else:
            known = [name for name in source.imports if name != "dynamic_registration"]
            hint = nearest(first, known)
            raise UserError(f"unknown name {first!r} in {selector!r}: not imported in this file"
                            f"{hint if 'did you mean' in hint else ''}")
        if not rest:
            raise UserError(f"{selector!r} names a module, not a configurable and its parameter")
        if dotted.startswith("papers.") and dotted.split(".")[1] != self.slug:
            raise UserError(f"{dotted} belongs to another paper")
        found = self.signatures.define(dotted)
        return f"{found.module.name}.{found.name}"

    def _check_setting(self, statement: Statement, target: str) -> None:
        signature, name = self.signatures.get(target), statement.name
        if name in signature.settings:
            return
        if name in signature.positional:
            raise UserError(f"{name!r} of {target} is supplied by the caller and cannot be bound")
        raise UserError(f"unknown parameter {name!r} of {target}"
                        f"{nearest(name, signature.settings)}")

    def _scope(self, statement: Statement, source: Source) -> str:
        """Return the scope of a binding, checked: [arm] / [stage] / [reference scope]."""
        if source.suite and statement.scope:
            raise UserError(f"scope {statement.scope!r}: suite-wide bindings take no scope")
        order = []
        for part in filter(None, statement.scope.split("/")):
            kinds = (self.arms, self.stages, self.reference_scopes)
            kind = next((i for i, names in enumerate(kinds) if part in names), None)
            if kind is None:
                known = [*self.arms, *self.stages, *sorted(self.reference_scopes)]
                raise UserError(f"unknown scope {part!r}: no arm, stage or reference scope"
                                f"{nearest(part, known)}")
            order.append(kind)
        if order != sorted(set(order)):
            raise UserError(f"scope {statement.scope!r}: write arm/stage/reference, each once")
        return statement.scope

    def _check_shadows(self, found: Bindings) -> None:
        """Report, and leave out, what one file or the overrides bind again in the same scope."""
        first: dict[tuple[Any, ...], Place] = {}
        for one in [*found, *found.macros]:
            if isinstance(one, Binding):
                key, text = (one.scope, one.target, one.name, one.rank), one.text
            else:
                key, text = (one.name, one.rank), f"macro {one.name}"
            if key in first:
                self.problems.add(one.place, f"{text} shadows the same binding at {first[key]}")
                if isinstance(one, Binding):
                    found.by_setting[one.target, one.name].remove(one)
            else:
                first[key] = one.place

    def _check_macros(self, sources: list[Source], found: Bindings) -> None:
        used = {leaf.name for source in sources for statement in source.statements
                for leaf in leaves(statement.value) if isinstance(leaf, Macro)}
        for macro in found.macros:
            if macro.name not in used:
                self.problems.add(macro.place, f"macro {macro.name} is never used"
                                  f"{_near_only(macro.name, used)}")

    def _check_values(self, found: Bindings) -> None:
        macros = Macros(found.macros, found.ranks)
        for binding in found:
            try:
                value = macros.expand(binding.value)
                fitted(self.signatures, binding, value)
                check_keys(value)
            except UndefinedMacro as error:
                self.problems.add(binding.place, str(error))
                found.complete = False
            except Mismatch as error:
                self.problems.add(binding.place, str(error))


def fitted(signatures: Signatures, binding: Binding, value: Any) -> Any:
    """Return an expanded value as the annotation wants it. Raises Mismatch with the whole text."""
    if isinstance(value, Macro):
        return value
    if BROKEN in leaves(value):
        return BROKEN
    setting = signatures.get(binding.target).settings[binding.name]
    if any(isinstance(leaf, Macro) for leaf in leaves(value)):
        raise Mismatch(f"{binding.name}: REQUIRED must stand alone")
    try:
        return setting.type.fit(value)
    except Mismatch as mismatch:
        owner = binding.target.split(".")[-1]
        named = dataclasses.replace(setting, name=f"{owner}.{setting.name}")
        raise Mismatch(describe(named, value, mismatch)) from None


def check_keys(value: Any) -> None:
    """Raise Mismatch for dictionary keys the resolved file cannot hold."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str | int) or key in NODE_KEYS:
                raise Mismatch(f"a dictionary key must be text or a whole number, not {key!r}")
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            check_keys(item)


def _near_only(name: str, names: set[str]) -> str:
    hint = nearest(name, sorted(names))
    return hint if "did you mean" in hint else ""
