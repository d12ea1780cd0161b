"""Modules of `repro` and of the papers as files: found and parsed, never imported."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from repro import yaml
from repro.errors import UserError

PACKAGES = ("repro", "papers")
_HOPS = 8


@dataclass(frozen=True)
class Definition:
    """A module-level name: the module that defines it and the node that does."""

    module: "Module"
    name: str
    node: ast.stmt | ast.expr


@dataclass(frozen=True)
class Imported:
    """A module-level name that stands for `module`, or for `module.name`."""

    module: str
    name: str | None


@dataclass(frozen=True, eq=False)
class Module:
    """One Python file (or a directory without `__init__.py`, whose tree is empty).

    shown: path for messages, relative to the project root.
    """

    name: str
    path: Path
    shown: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py" or self.path.is_dir()

    @cached_property
    def names(self) -> dict[str, Imported | ast.stmt | ast.expr]:
        """What every module-level name stands for; a later definition wins, as in Python."""
        found: dict[str, Imported | ast.stmt | ast.expr] = {}
        for statement in _flat(self.tree.body):
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    found[statement.name] = statement
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name] = value
                case ast.Import():
                    for alias in statement.names:
                        top = alias.name.partition(".")[0]
                        found[alias.asname or top] = Imported(
                            alias.name if alias.asname else top, None
                        )
                case ast.ImportFrom():
                    source = absolute(self, statement)
                    for alias in statement.names:
                        found[alias.asname or alias.name] = Imported(source, alias.name)
        return found


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield module-level statements, those under `if` and `try` included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            for handler in getattr(statement, "handlers", []):
                yield from _flat(handler.body)
            yield from _flat(statement.body + statement.orelse)


def absolute(module: Module, statement: ast.ImportFrom) -> str:
    """Return the dotted name of what `from ... import` imports from, dots resolved."""
    if not statement.level:
        return statement.module or ""
    parts = module.name.split(".")
    keep = len(parts) - statement.level + module.is_package
    return ".".join([*parts[:keep], *([statement.module] if statement.module else [])])


@lru_cache(maxsize=1024)
def _parse(text: str, shown: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{shown}:{error.lineno or 1}: not valid Python: {error.msg}") from error


class Sources:
    """The Python files a paper may name: `<root>/papers/...`, and `repro` from `<root>/repro`, or
    from where this package is installed if the root has none. Each file is read once."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        own = self.root / "repro"
        installed = Path(__file__).resolve().parent.parent
        self._homes = {"repro": own if own.is_dir() else installed, "papers": self.root / "papers"}
        self._modules: dict[str, Module | None] = {}

    def find(self, name: str) -> Module | None:
        """Return a module by dotted name, None when there is none inside `repro` or `papers`."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> Module | None:
        top, *rest = name.split(".")
        if top not in self._homes or not all(part.isidentifier() for part in rest):
            return None
        base = self._homes[top].joinpath(*rest)
        for path in (base / "__init__.py", base.with_name(base.name + ".py")):
            if path.is_file():
                shown = self.show(path)
                return Module(name, path, shown, _parse(path.read_text(encoding="utf-8"), shown))
        if base.is_dir():
            return Module(name, base, self.show(base), ast.Module(body=[], type_ignores=[]))
        return None

    @cached_property
    def assets(self) -> dict[str, str]:
        """The embedded data that modules may name: asset -> sha256 of its archive."""
        path = self._homes["repro"] / "data" / "assets.yaml"
        entries = yaml.load(path) if path.is_file() else {}
        return {name: str(entry["sha256"]) for name, entry in entries.items()}

    def show(self, path: Path) -> str:
        """Return a path for messages: relative to the root where it lies below it."""
        for base in (self.root, self._homes["repro"].parent):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return str(path)

    def siblings(self, name: str) -> list[str]:
        """Return the modules that lie beside `name`, for hints."""
        parent, _, _ = name.rpartition(".")
        module = self.find(parent) if parent else None
        if module is None or not module.is_package:
            return [f"{parent}.{name}"] if module else list(PACKAGES)
        folder = module.path if module.path.is_dir() else module.path.parent
        stems = [path.stem for path in folder.iterdir()
                 if path.is_dir() or path.suffix == ".py" and path.stem != "__init__"]
        return sorted(f"{parent}.{stem}" for stem in stems if not stem.startswith((".", "_")))

    def lookup(self, module: Module, name: str) -> Definition | Module | None:
        """Return what a module-level name stands for, following imports inside repro and papers;
        None for what is unknown or lives elsewhere."""
        for _ in range(_HOPS):
            found = module.names.get(name)
            if found is None:
                return self.find(f"{module.name}.{name}")
            if not isinstance(found, Imported):
                return Definition(module, name, found)
            source = self.find(found.module)
            if source is None or found.name is None:
                return source
            module, name = source, found.name
        return None

    def resolve(self, module: Module, node: ast.expr) -> Definition | Module | None:
        """Return what a name or dotted name in `module` stands for."""
        match node:
            case ast.Name(id=name):
                return self.lookup(module, name)
            case ast.Attribute(value=value, attr=name):
                owner = self.resolve(module, value)
                return self.lookup(owner, name) if isinstance(owner, Module) else None
        return None
