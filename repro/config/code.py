"""Digests of code: what a section's functions can execute inside `repro` and the paper.

The digest of a section covers the import closure of the modules its `_fn` and `_ref` name: imports
at module level and inside functions, the `__init__.py` of every package on the way, not what stands
under `if TYPE_CHECKING`. Comments, docstrings and layout do not count. A module that names an asset
of `repro/data/assets.yaml` is as good as its data: the archive's sha256 counts as its code.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from repro.config.source import Module, Sources, absolute
from repro.errors import UserError

DIGITS = 12


def digest(modules: Iterable[str], sources: Sources) -> str:
    """Return the digest (12 hex digits) of the closure of some modules. Raises UserError."""
    parts = (f"{name} {value}" for name, value in closure(modules, sources).items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]


def section_digest(config: dict[str, Any], sources: Sources) -> str:
    """Return the code digest of one section (stage of an arm) of a resolved tree."""
    return digest(section_modules(config), sources)


def section_modules(config: Any) -> set[str]:
    """Return the modules that the `_fn` and `_ref` of a section name."""
    if isinstance(config, list):
        return set().union(*map(section_modules, config))
    if not isinstance(config, dict):
        return set()
    own = {config[key].rpartition(".")[0] for key in ("_fn", "_ref") if key in config}
    return own.union(*map(section_modules, config.values()))


def closure(modules: Iterable[str], sources: Sources) -> dict[str, str]:
    """Return module name -> digest of its own code, sorted by name, for some modules and all they
    import inside `repro` and their paper. Raises UserError for a module that does not exist, or an
    import of another paper."""
    roots = set(modules)
    slugs = {name.split(".")[1] for name in roots if name.startswith("papers.")}
    found: dict[str, str] = {}
    waiting = []
    for name in roots:
        if sources.find(name) is None:
            raise UserError(f"unknown module {name!r}")
        waiting += _with_packages(name)
    seen = set(waiting)
    while waiting:
        module = sources.find(waiting.pop())
        if module is None or module.path.is_dir():
            continue
        data = sorted(_strings(module.tree) & sources.assets.keys())
        found[module.name] = " ".join(
            [_own_digest(module.tree), *(sources.assets[name] for name in data)]
        )
        for name, line in _imports(module):
            if name.startswith("papers.") and name.split(".")[1] not in slugs:
                raise UserError(f"{module.shown}:{line}: imports {name}: another paper's code; "
                                "move what is shared into repro")
            for one in _with_packages(name):
                if one not in seen:
                    seen.add(one)
                    waiting.append(one)
    return dict(sorted(found.items()))


def libraries(modules: Iterable[str], sources: Sources) -> set[str]:
    """Return the top-level modules that the closure of some modules imports from elsewhere, the
    standard library's among them."""
    found = set()
    for name in closure(modules, sources):
        for node in _executed(sources.find(name).tree):
            match node:
                case ast.Import():
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                case ast.ImportFrom(level=0, module=str(module)):
                    found.add(module.partition(".")[0])
    return found - {"repro", "papers"}


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the modules in which two closures differ, for messages."""
    return sorted(name for name in before.keys() | after.keys()
                  if before.get(name) != after.get(name))


def _with_packages(name: str) -> list[str]:
    """Return a.b.c -> [a, a.b, a.b.c]: importing the last runs all of them."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


@lru_cache(maxsize=1024)
def _own_digest(tree: ast.Module) -> str:
    parts: list[str] = []
    _dump(tree, parts.append)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _strings(tree: ast.Module) -> frozenset[str]:
    """Return the string constants of a module."""
    return frozenset(node.value for node in ast.walk(tree)
                     if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _dump(node: Any, write: Any) -> None:
    """Write a syntax tree like `ast.dump` without positions, strings that stand alone left out."""
    if isinstance(node, ast.AST):
        write(type(node).__name__)
        write("(")
        for name in node._fields:
            _dump(getattr(node, name, None), write)
        write(")")
    elif isinstance(node, list):
        write("[")
        for item in node:
            match item:
                case ast.Expr(value=ast.Constant(value=str())):
                    continue
            _dump(item, write)
        write("]")
    else:
        write(repr(node))


def _imports(module: Module) -> Iterator[tuple[str, int]]:
    """Yield (module that may be executed, line) for what a module imports; names that are no
    modules among them do no harm."""
    for node in _executed(module.tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                source = absolute(module, node)
                names = [source, *(f"{source}.{alias.name}" for alias in node.names)]
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):
                names = [name]
            case _:
                continue
        for name in names:
            if name.partition(".")[0] in ("repro", "papers"):
                yield name, node.lineno


@lru_cache(maxsize=1024)
def _executed(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Return the import statements and `import_module` calls, those for type checkers left out."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module")
            ):
                found.append(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return tuple(found)
