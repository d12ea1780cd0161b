"""gin text to statements with file and line. gin's own parser reads; nothing is executed.

A file includes others (paths from the project root) at its top, imports what it names, and binds:

    from __gin__ import dynamic_registration
    include 'papers/electra/paper.gin'
    from repro.train import pretraining
    HIDDEN = 128                               a macro, used as %HIDDEN
    electra/pretraining.pretrain.steps = 4000  scope / configurable . parameter = value
"""

import io
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gin import config_parser

from repro.config.problems import Place, Problems

_FEATURES = "__gin__"
_REGISTRATION = f"{_FEATURES}.dynamic_registration"


@dataclass(frozen=True)
class Reference:
    """`@scope/selector` or, evaluated, `@scope/selector()`, as written."""

    scope: str
    selector: str
    evaluate: bool


@dataclass(frozen=True)
class Macro:
    """`%NAME`."""

    name: str

    @property
    def required(self) -> bool:
        return self.name in ("REQUIRED", "gin.REQUIRED")


@dataclass(frozen=True)
class Statement:
    """A binding `scope/selector.name = value`; of a macro when selector and name are empty and
    scope is the macro's name."""

    scope: str
    selector: str
    name: str
    value: Any
    place: Place

    @property
    def is_macro(self) -> bool:
        return not self.selector

    def __str__(self) -> str:
        if self.is_macro:
            return self.scope
        return f"{self.scope}/{self.selector}.{self.name}".lstrip("/")


@dataclass(frozen=True)
class Import:
    """bound: the name it gives in the file. module: what that name stands for. written: the module
    that is imported (longer than `module` in `import a.b`, which gives `a`)."""

    bound: str
    module: str
    written: str
    place: Place


@dataclass
class Source:
    """What one file, or the overrides of params.yaml, says. suite: its bindings win whatever the
    scope and may stay unreached (papers/smoke.gin)."""

    file: str
    imports: dict[str, Import] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    suite: bool = False
    is_overrides: bool = False


class _Delegate(config_parser.ParserDelegate):
    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Any:
        scope, _, selector = scoped_configurable_name.rpartition("/")
        if evaluate and selector in ("macro", "gin.macro"):
            return Macro(scope)
        return Reference(scope, selector, evaluate)

    def macro(self, macro_name: str) -> Macro:
        return Macro(macro_name)


def parse_files(
    paths: Iterable[Path], root: Path, problems: Problems, suite: Path | None = None
) -> list[Source]:
    """Return the files and what they include, each once, included files before their includer.

    suite: the directory of suite-wide files (`papers/`). Syntax errors go to `problems`; what
    follows one in a file is not read.
    """
    reader = _Reader(Path(root).resolve(), problems, suite)
    for path in paths:
        reader.read(Path(path).resolve(), Place(_shown(Path(path).resolve(), reader.root)), ())
    return reader.sources


class _Reader:
    def __init__(self, root: Path, problems: Problems, suite: Path | None) -> None:
        self.root, self.problems = root, problems
        self.suite = None if suite is None else suite.resolve()
        self.sources: list[Source] = []
        self._seen: set[Path] = set()

    def read(self, path: Path, asked: Place, chain: tuple[Path, ...]) -> None:
        """Read one file. asked: where it is included, for messages."""
        if path in chain:
            self.problems.add(asked, f"include goes round: {_shown(path, self.root)}")
            return
        if path in self._seen:
            return
        self._seen.add(path)
        shown = _shown(path, self.root)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            self.problems.add(asked, f"cannot read {shown}: {reason}")
            return
        source = Source(shown, suite=path.parent == self.suite)
        for statement in _statements(text, shown, self.problems):
            self._take(statement, source, (*chain, path))
        registered = any(i.module == _REGISTRATION for i in source.imports.values())
        bound = [s for s in source.statements if not s.is_macro]
        if bound and not registered:
            self.problems.add(bound[0].place, "missing at the top of the file: "
                              "from __gin__ import dynamic_registration")
        self.sources.append(source)

    def _take(self, statement: Any, source: Source, chain: tuple[Path, ...]) -> None:
        match statement:
            case config_parser.IncludeStatement(filename=name):
                place = Place(source.file, statement.location.line_num)
                if source.statements:
                    self.problems.add(place, "include must stand before the first binding")
                path = (self.root / name).resolve()
                if not path.is_relative_to(self.root):
                    self.problems.add(place, f"include {name!r} lies outside the project")
                    return
                self.read(path, place, chain)
            case config_parser.ImportStatement():
                place = Place(source.file, statement.location.line_num)
                _take_import(statement, source, place, self.problems)
            case Statement():
                source.statements.append(statement)


def parse_overrides(
    texts: Iterable[str], known: list[Source], key: str, problems: Problems
) -> Source:
    """Return the bindings of `params.yaml`, one a string; they see every import of the files.

    key: where the strings stand, as in `papers.electra.overrides`.
    """
    source = Source("params.yaml", is_overrides=True)
    for imported in (one for file in known for one in file.imports.values()):
        source.imports.setdefault(imported.bound, imported)
    for index, text in enumerate(texts):
        file = f"params.yaml: {key}[{index}]"
        if not isinstance(text, str):
            problems.add(Place(file), f"must be text such as 'module.function.name = 3': {text!r}")
            continue
        found = list(_statements(text, file, problems, lines=False))
        if len(found) == 1 and isinstance(found[0], Statement):
            source.statements.append(found[0])
        elif found:
            problems.add(Place(file), f"must be one binding, got {text!r}")
    return source


def _statements(text: str, file: str, problems: Problems, lines: bool = True) -> Iterator[Any]:
    """Yield gin's statements, bindings as `Statement`; a syntax error ends the text."""

    def place(line: int) -> Place:
        return Place(file, line if lines else 0)

    try:
        for statement in config_parser.ConfigParser(io.StringIO(text), _Delegate()):
            if isinstance(statement, config_parser.BindingStatement):
                yield _binding(statement, place(statement.location.line_num))
            elif not isinstance(statement, config_parser.BlockDeclaration):
                yield statement
    except SyntaxError as error:
        line = error.lineno or 1
        problems.add(place(line), f"syntax error: {' '.join(str(error.msg).split())}")
    except tokenize.TokenError as error:
        message, (line, _) = error.args
        problems.add(place(line), f"syntax error: {message}")
    except ValueError as error:
        problems.add(place(1), f"syntax error: {' '.join(str(error).split())}")


def _binding(statement: config_parser.BindingStatement, place: Place) -> Statement:
    scope, selector, name = statement.scope, statement.selector, statement.arg_name
    if not name:
        scope, selector = f"{scope}/{selector}".lstrip("/"), ""
    elif selector in ("macro", "gin.macro") and name == "value":
        selector, name = "", ""
    return Statement(scope, selector, name, statement.value, place)


def _take_import(
    statement: config_parser.ImportStatement, source: Source, place: Place, problems: Problems
) -> None:
    module, bound = statement.module, statement.bound_name()
    if module.startswith(_FEATURES) and module != _REGISTRATION:
        problems.add(place, f"unknown gin feature {module.removeprefix(_FEATURES + '.')!r}")
        return
    stands_for = module if statement.is_from or statement.alias else bound
    earlier = source.imports.get(bound)
    if earlier is not None and earlier.module != stands_for:
        problems.add(place, f"{bound!r} already stands for {earlier.module} ({earlier.place})")
    source.imports[bound] = Import(bound, stands_for, module, place)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
