"""Values against annotations, read from the syntax tree: nothing is evaluated or imported."""

import ast
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from repro.config.source import Definition, Module, Sources
from repro.naming import nearest

_LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "MutableSequence"}
_TUPLES = {"tuple", "Tuple"}
_DICTS = {"dict", "Dict", "Mapping", "MutableMapping"}
_ANYTHING = {"Any", "object"}
_SCALARS = {"int": int, "float": float, "bool": bool, "str": str}


@dataclass(frozen=True)
class Callee:
    """A value that stands for a function or class. evaluate: its result is wanted (`@f()`)."""

    target: str
    evaluate: bool

    def __str__(self) -> str:
        return f"@{'.'.join(self.target.split('.')[-2:])}{'()' if self.evaluate else ''}"


class Mismatch(Exception):
    """A value does not fit; the text is a hint that may be empty."""


@dataclass(frozen=True, eq=False)
class Type:
    """An annotation in the module where it stands; None accepts everything."""

    node: ast.expr | None
    module: Module
    sources: Sources

    def __str__(self) -> str:
        return "anything" if self.node is None else ast.unparse(self.node)

    def fit(self, value: Any) -> Any:
        """Return the value as the annotation wants it: an int given for a float becomes a float, a
        list given for a tuple a tuple. Raises Mismatch."""
        return value if self.node is None else _fit(value, self.node, self)


def show(value: Any) -> str:
    """Return a value as it is written in gin, shortened."""
    match value:
        case Callee():
            text = str(value)
        case list():
            text = f"[{', '.join(map(show, value))}]"
        case tuple():
            text = f"({', '.join(map(show, value))}{',' if len(value) == 1 else ''})"
        case dict():
            text = f"{{{', '.join(f'{k!r}: {show(v)}' for k, v in value.items())}}}"
        case _:
            text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fit(value: Any, node: ast.expr, scope: Type) -> Any:
    match node:
        case ast.Constant(value=None):
            return _require(value, value is None)
        case ast.Constant(value=str(text)):
            return _fit(value, ast.parse(text, mode="eval").body, scope)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _fit_any(value, (left, right), scope)
        case ast.Subscript(value=base, slice=inner):
            arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _fit_generic(value, base, arguments, scope)
        case ast.Name() | ast.Attribute():
            return _fit_named(value, node, scope)
    raise Mismatch("an annotation that cannot be checked")


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _require(value: Any, fits: bool, hint: str = "") -> Any:
    if not fits:
        raise Mismatch(hint)
    return value


def _fit_any(value: Any, options: Iterable[ast.expr], scope: Type) -> Any:
    hints = []
    for option in options:
        try:
            return _fit(value, option, scope)
        except Mismatch as mismatch:
            hints.append(str(mismatch))
    raise Mismatch(next(filter(None, hints), ""))


def _fit_generic(value: Any, base: ast.expr, arguments: list[ast.expr], scope: Type) -> Any:
    name = _last(base)
    if name == "Literal":
        allowed = [ast.literal_eval(argument) for argument in arguments]
        fits = any(value == one and type(value) is type(one) for one in allowed)
        near = nearest(value, allowed) if isinstance(value, str) else ""
        return _require(value, fits, near.strip(" ()") if "did you mean" in near else "")
    if name in ("Optional", "Union"):
        none = [ast.Constant(None)] if name == "Optional" else []
        return _fit_any(value, [*arguments, *none], scope)
    if name == "Annotated":
        return _fit(value, arguments[0], scope)
    if name in _LISTS:
        _require(value, isinstance(value, list | tuple))
        return [_fit_item(item, f"[{i}]", arguments[0], scope) for i, item in enumerate(value)]
    if name in _TUPLES:
        return _fit_tuple(value, arguments, scope)
    if name in _DICTS:
        _require(value, isinstance(value, dict))
        return {_fit_item(key, "a key", arguments[0], scope):
                _fit_item(item, f"[{key!r}]", arguments[1], scope) for key, item in value.items()}
    if name in ("type", "Type"):
        hint = f"write {value} without ()" if isinstance(value, Callee) else ""
        return _require(value, isinstance(value, Callee) and not value.evaluate, hint)
    return _fit_named(value, base, scope)


def _fit_item(value: Any, where: str, node: ast.expr, scope: Type) -> Any:
    try:
        return _fit(value, node, scope)
    except Mismatch as mismatch:
        hint = str(mismatch)
        if hint.startswith("["):
            raise Mismatch(f"{where}{hint}") from None
        text = f"{where} is {show(value)}, not {ast.unparse(node)}"
        raise Mismatch(f"{text}; {hint}" if hint else text) from None


def _fit_tuple(value: Any, arguments: list[ast.expr], scope: Type) -> tuple[Any, ...]:
    hint = "" if isinstance(value, dict | Callee) else f"a tuple of one is written ({show(value)},)"
    _require(value, isinstance(value, list | tuple), hint)
    if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) \
            and arguments[1].value is Ellipsis:
        kinds = [arguments[0]] * len(value)
    else:
        kinds = arguments
        _require(value, len(value) == len(kinds), f"{len(value)} elements, not {len(kinds)}")
    pairs = zip(value, kinds, strict=True)
    return tuple(_fit_item(item, f"[{i}]", kind, scope) for i, (item, kind) in enumerate(pairs))


def _fit_named(value: Any, node: ast.expr, scope: Type) -> Any:
    name = _last(node)
    if name in _SCALARS and isinstance(node, ast.Name):
        return _fit_scalar(value, name)
    if name in _ANYTHING:
        return value
    if name in _TUPLES:
        return tuple(_require(value, isinstance(value, list | tuple)))
    if name in _LISTS:
        return list(_require(value, isinstance(value, list | tuple)))
    if name in _DICTS:
        return _require(value, isinstance(value, dict))
    found = scope.sources.resolve(scope.module, node)
    if isinstance(found, Definition) and isinstance(found.node, ast.expr):
        return _fit(value, found.node, Type(found.node, found.module, scope.sources))
    _require(value, isinstance(value, Callee), "a reference (@...) is expected here")
    if isinstance(found, Definition) and not value.evaluate and not _callable(found, scope.sources):
        raise Mismatch(f"an object is expected: write {value}()")
    return value


def _fit_scalar(value: Any, name: str) -> Any:
    if name == "float" and type(value) is int:
        return float(value)
    _require(value, type(value) is _SCALARS[name])
    if isinstance(value, float):
        _require(value, math.isfinite(value), "not a finite number")
    return value


def _callable(found: Definition, sources: Sources) -> bool:
    """Whether instances of a class of ours can be called: it or a base defines `__call__`.
    A base from elsewhere may, so it counts, but for those that say what kind of class it is."""
    if not isinstance(found.node, ast.ClassDef):
        return True
    if any(getattr(item, "name", "") == "__call__" for item in found.node.body):
        return True
    for base in found.node.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        if _last(base) in ("Protocol", "ABC", "Generic", "object"):
            continue
        parent = sources.resolve(found.module, base)
        if not isinstance(parent, Definition) or _callable(parent, sources):
            return True
    return False
