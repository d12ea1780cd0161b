"""The one way YAML is read and written here.

ruamel's C loader with YAML 1.2 floats: `1e-4` is a number, as OmegaConf and DVC see it
(PyYAML reads it as a string).
"""

import os
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from repro.errors import UserError


def loads(text: str, source: str = "<text>") -> Any:
    """Return plain dicts, lists and scalars. Raises UserError with source:line when unreadable."""
    try:
        return YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 0
        raise UserError(f"{source}:{line}: not readable as YAML: {error.problem}") from error
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{source}: not readable as YAML: {reason}") from error


def load(path: Path | str) -> Any:
    """Return the content of a YAML file. Raises UserError when missing or unreadable."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return loads(text, str(path))


def dumps(data: Any) -> str:
    """Return YAML text, block style, keys in the order given, no aliases."""
    emitter = YAML(typ="safe", pure=True)
    emitter.default_flow_style = False
    emitter.allow_unicode = True
    emitter.width = 100
    emitter.sort_base_mapping_type_on_output = False
    emitter.representer.ignore_aliases = lambda _: True
    buffer = StringIO()
    emitter.dump(data, buffer)
    return buffer.getvalue()


def dump(data: Any, path: Path | str) -> None:
    """Write YAML atomically (temporary file, then rename)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    scratch.write_text(dumps(data), encoding="utf-8")
    os.replace(scratch, path)
