"""From a section of the resolved tree to the function a job calls. Knows nothing of gin.

A node `{_fn: f, ...}` is built: f is called with its settings. A node `{_ref: f, ...}` is f with
its settings bound, for the owner to call. Only functions and classes that are defined in `repro` or
`papers` can be named.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.config.signature import Signature, Signatures, describe
from repro.config.source import PACKAGES, Sources
from repro.config.types import Callee, Mismatch
from repro.errors import UserError
from repro.naming import nearest


class Bound:
    """A function or class with its settings bound; the caller gives the positional arguments.

    Each call builds the objects among the settings anew and passes copies of lists and dicts, so
    that calls share no state. settings: as the resolved tree has them.
    """

    def __init__(
        self, target: str, function: Callable[..., Any], settings: dict[str, Any],
        values: dict[str, Any],
    ) -> None:
        self.target, self.function, self.settings = target, function, settings
        self._values = values
        self.__name__ = target.rpartition(".")[2]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it. Raises UserError for a keyword that the configuration has bound."""
        for name in kwargs:
            if name in self._values:
                raise UserError(f"{self.target}: {name!r} is a setting of the configuration; the "
                                "caller may not give it")
        settings = {name: _fresh(value) for name, value in self._values.items()}
        return self.function(*args, **settings, **kwargs)

    def __repr__(self) -> str:
        return f"<{self.target} with {', '.join(self._values) or 'no settings'}>"


@dataclass(frozen=True)
class Node(Callee):
    """A reference of the tree and the bound function it stands for."""

    bound: Bound


def build(config: dict[str, Any], root: Path | str | None = None) -> Bound:
    """Return the entry function of a section with its settings bound: `build(config)(ctx)`.

    config: the `config` of a section. root: project root, put first on the import path so that
    `papers.<slug>` is found; default: where `repro` lies. Everything is imported and checked here,
    objects are made at the call. Raises UserError for a name outside `repro` and `papers`, an
    unknown name, a setting that is unknown or missing, a value of the wrong type, or code that is
    imported from another copy of the project than the one that was resolved.
    """
    home = Path(root).resolve() if root else Path(__file__).resolve().parents[2]
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    return _bound(config, Signatures(Sources(home)))


def _bound(config: dict[str, Any], signatures: Signatures) -> Bound:
    target = config.get("_fn") or config.get("_ref")
    if not isinstance(target, str):
        raise UserError(f"a node of the resolved tree names no function: {sorted(config)}")
    function = _import(target, signatures.sources)
    signature = signatures.get(target)
    settings = {name: value for name, value in config.items() if name not in ("_fn", "_ref")}
    _check_names(signature, settings)
    values = {name: _value(signature, name, value, signatures)
              for name, value in settings.items()}
    return Bound(target, function, settings, values)


def _import(target: str, sources: Sources) -> Callable[..., Any]:
    owner, _, name = target.rpartition(".")
    if owner.partition(".")[0] not in PACKAGES or not owner or name.startswith("__"):
        raise UserError(f"{target}: only what repro and papers define can be built")
    try:
        module = importlib.import_module(owner)
    except ModuleNotFoundError as error:
        raise UserError(f"{target}: cannot be imported: {error}") from error
    read = sources.find(owner)
    if read is not None and read.path.resolve() != Path(str(module.__file__)).resolve():
        raise UserError(f"{owner} is imported from {module.__file__}, but this project has "
                        f"{read.path}: install the project whose runs you start")
    found = getattr(module, name, None)
    home = str(getattr(found, "__module__", ""))
    if not callable(found) or home.partition(".")[0] not in PACKAGES:
        raise UserError(f"{target}: only what repro and papers define can be built")
    return found


def _check_names(signature: Signature, settings: dict[str, Any]) -> None:
    for name in settings:
        if name not in signature.settings:
            raise UserError(f"{signature.target}: unknown setting {name!r}"
                            f"{nearest(name, signature.settings)}; run `repro resolve`")
    for name in signature.settings:
        if name not in settings:
            raise UserError(f"{signature.target}: setting {name!r} is missing; run `repro resolve`")


def _value(signature: Signature, name: str, value: Any, signatures: Signatures) -> Any:
    setting = signature.settings[name]
    try:
        return setting.type.fit(_nodes(value, signatures))
    except Mismatch as mismatch:
        raise UserError(f"{signature.target}: {describe(setting, value, mismatch)}") from None


def _nodes(value: Any, signatures: Signatures) -> Any:
    """Return a value of the tree with its nodes as `Node`."""
    if isinstance(value, list):
        return [_nodes(item, signatures) for item in value]
    if not isinstance(value, dict):
        return value
    if "_fn" in value or "_ref" in value:
        bound = _bound(value, signatures)
        return Node(bound.target, "_fn" in value, bound)
    return {key: _nodes(item, signatures) for key, item in value.items()}


def _fresh(value: Any) -> Any:
    """Return a value as the function gets it: nodes made, containers copied."""
    match value:
        case Node():
            return value.bound() if value.evaluate else value.bound
        case list() | tuple():
            return type(value)(_fresh(item) for item in value)
        case dict():
            return {key: _fresh(item) for key, item in value.items()}
    return value
