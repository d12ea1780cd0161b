"""The settings of a configurable, read from its source without importing it.

Settings are the keyword-only parameters of a function, of a class's `__init__`, or the fields of a
`@dataclass(kw_only=True)`. Positional parameters are supplied by the caller and are no settings.
"""

import ast
from dataclasses import dataclass
from typing import Any

from repro.config.problems import Place
from repro.config.source import Definition, Module, Sources
from repro.config.types import Callee, Mismatch, Type, show
from repro.errors import UserError
from repro.naming import nearest


class _Missing:
    def __repr__(self) -> str:
        return "REQUIRED"


MISSING: Any = _Missing()


@dataclass(frozen=True, eq=False)
class Setting:
    """One keyword-only parameter. default: MISSING when the configuration must give a value."""

    name: str
    type: Type
    default: Any
    place: Place


@dataclass(frozen=True, eq=False)
class Signature:
    """target: dotted name where it is defined. positional: supplied by the caller, in order;
    needed: those of them without a default."""

    target: str
    settings: dict[str, Setting]
    positional: tuple[str, ...]
    needed: tuple[str, ...]


class Signatures:
    """Reads signatures, each once."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._read: dict[str, Signature] = {}

    def get(self, target: str) -> Signature:
        """Return the signature of a function or class by dotted name. Raises UserError, without a
        place for an unknown name, with the Python file and line for a signature of no use."""
        if target not in self._read:
            found = self.define(target)
            self._read[target] = self._signature(found)
        return self._read[target]

    def define(self, target: str) -> Definition:
        """Return where a dotted name is really defined. Raises UserError if it is no function or
        class of `repro` or `papers`."""
        owner, _, name = target.rpartition(".")
        module = self.sources.find(owner)
        if module is None:
            raise UserError(unknown_module(self.sources, owner))
        found = self.sources.lookup(module, name)
        if isinstance(found, Definition) and isinstance(found.node, _CONFIGURABLE):
            return found
        if found is None:
            raise UserError(f"unknown configurable {name!r} in {owner}"
                            f"{nearest(name, configurables(self.sources, module))}")
        raise UserError(f"{target} is no function or class, so it cannot be bound")

    def _signature(self, found: Definition) -> Signature:
        target = f"{found.module.name}.{found.name}"
        if isinstance(found.node, ast.ClassDef):
            return self._of_class(target, found)
        return self._of_function(target, found.module, found.node, bound=False)

    def _of_function(
        self, target: str, module: Module, node: ast.FunctionDef, *, bound: bool
    ) -> Signature:
        args = node.args
        names = [a.arg for a in [*args.posonlyargs, *args.args]][1 if bound else 0 :]
        needed = names[: max(0, len(names) - len(args.defaults))]
        settings = {
            a.arg: self._setting(module, a.arg, a.annotation, default, a.lineno)
            for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
        }
        return Signature(target, settings, tuple(names), tuple(needed))

    def _of_class(self, target: str, found: Definition) -> Signature:
        """Own `__init__` (with `**kwargs` also what the bases declare), else dataclass fields on
        top of the bases', else the bases'."""
        module, node = found.module, found.node
        inherited: dict[str, Setting] = {}
        positional, needed = (), ()
        for base in reversed(node.bases):
            parent = self.sources.resolve(module, base)
            if isinstance(parent, Definition) and isinstance(parent.node, ast.ClassDef):
                signature = self.get(f"{parent.module.name}.{parent.name}")
                inherited |= signature.settings
                positional, needed = signature.positional, signature.needed
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                own = self._of_function(target, module, item, bound=True)
                settings = own.settings
                if item.args.kwarg is not None:
                    kept = {k: v for k, v in inherited.items() if k not in own.positional}
                    settings = kept | settings
                return Signature(target, settings, own.positional, own.needed)
        decorator = next((d for d in node.decorator_list if _is_dataclass(d)), None)
        if decorator is not None:
            fields, own_positional, own_needed = self._fields(module, node, decorator)
            return Signature(target, inherited | fields, positional + own_positional,
                             needed + own_needed)
        return Signature(target, inherited, positional, needed)

    def _fields(
        self, module: Module, node: ast.ClassDef, decorator: ast.expr
    ) -> tuple[dict[str, Setting], tuple[str, ...], tuple[str, ...]]:
        keyword = any(k.arg == "kw_only" and ast.unparse(k.value) == "True"
                      for k in getattr(decorator, "keywords", []))
        settings: dict[str, Setting] = {}
        positional: list[str] = []
        needed: list[str] = []
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            annotation, name = ast.unparse(item.annotation), item.target.id
            if "ClassVar" in annotation:
                continue
            if annotation.endswith("KW_ONLY"):
                keyword = True
            elif keyword:
                settings[name] = self._setting(
                    module, name, item.annotation, _field_default(item.value), item.lineno
                )
            else:
                positional.append(name)
                needed += [name] if item.value is None else []
        return settings, tuple(positional), tuple(needed)

    def _setting(
        self, module: Module, name: str, annotation: ast.expr | None, default: ast.expr | None,
        line: int,
    ) -> Setting:
        place, kind = Place(module.shown, line), Type(annotation, module, self.sources)
        if default is None:
            return Setting(name, kind, MISSING, place)
        try:
            value = kind.fit(self._literal(module, default))
        except Mismatch as mismatch:
            hint = f" ({mismatch})" if str(mismatch) else ""
            raise UserError(f"{place}: the default of {name!r} is {ast.unparse(default)}, its "
                            f"annotation says {kind}{hint}") from None
        except ValueError:
            raise UserError(f"{place}: the default of {name!r} must be a literal or a function of "
                            f"repro, not {ast.unparse(default)}") from None
        return Setting(name, kind, value, place)

    def _literal(self, module: Module, node: ast.expr) -> Any:
        """Return a default: a literal, a module-level constant, or a function of ours."""
        if not isinstance(node, ast.Name | ast.Attribute):
            return ast.literal_eval(node)
        found = self.sources.resolve(module, node)
        if not isinstance(found, Definition):
            raise ValueError("not a literal")
        if isinstance(found.node, ast.expr):
            return ast.literal_eval(found.node)
        return Callee(f"{found.module.name}.{found.name}", evaluate=False)


_CONFIGURABLE = (ast.FunctionDef, ast.ClassDef)


def configurables(sources: Sources, module: Module) -> list[str]:
    """Return the public functions and classes a module offers."""
    found = {name: sources.lookup(module, name) for name in module.names if name[0] != "_"}
    return sorted(name for name, one in found.items()
                  if isinstance(one, Definition) and isinstance(one.node, _CONFIGURABLE))


def unknown_module(sources: Sources, name: str) -> str:
    """Return the message for a module that does not exist."""
    near = nearest(name, sources.siblings(name))
    return f"unknown module {name!r}{near if 'did you mean' in near else ''}"


def describe(setting: Setting, value: Any, mismatch: Mismatch) -> str:
    """Return the message for a value that does not fit a setting."""
    hint = f" ({mismatch})" if str(mismatch) else ""
    return f"{setting.name} expects {setting.type}, got {show(value)}{hint}"


def _is_dataclass(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(called).split(".")[-1] == "dataclass"


def _field_default(node: ast.expr | None) -> ast.expr | None:
    """Return the default inside `field(...)`; a default_factory of list or dict counts as empty."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "field"):
        return node
    given = {k.arg: k.value for k in node.keywords}
    if "default_factory" in given:
        factory = ast.unparse(given["default_factory"])
        empty = {"list": "[]", "dict": "{}", "tuple": "()"}.get(factory)
        return ast.parse(empty, mode="eval").body if empty else node
    return given.get("default")
