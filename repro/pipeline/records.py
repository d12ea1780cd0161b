"""What the JSON files of the store hold: the fields their readers rely on, with their types.

A record that a crash, a bad disk or a stranger changed is one readable line, never a trace.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from repro.errors import UserError

NUMBER = (int, float)
TEXTS = "object of texts"  # text -> text
FILES = "object of files"  # relative path -> {sha256, bytes}
KEY = "key of a run"
KEYS = "list of keys"
INPUTS = "object of keys"  # stage -> list of keys
PROCESS = "process"  # see `processes.identify`
NAME = "name"  # of a file or folder, without a path

Kind = type | tuple[type, ...] | str

# A name that ends in "?" may be missing, or null.
SHAPES: dict[str, dict[str, Kind]] = {
    "request": {"key": str, "label": str, "paper": str, "profile": str, "arm": str, "root": str,
                "ingredients": dict},
    "done": {"key": str, "files": FILES},
    "run": {"outputs?": TEXTS, "key?": str, "label?": str, "ingredients?": dict, "host?": str,
            "cpu?": str, "finished?": str, "tasks?": int, "starts?": int, "seconds?": NUMBER,
            "peak_memory_mb?": NUMBER, "tokens?": NUMBER, "flops?": NUMBER,
            "measurements?": dict, "state?": TEXTS},
    "failed": {"error": str, "time": NUMBER, "kind?": str},
    "interrupted": {"step?": int, "total?": int, "time?": NUMBER},
    "progress": {"step?": int, "total?": int, "loss?": NUMBER, "phase?": str, "seconds?": NUMBER,
                 "time?": NUMBER, "steps_per_s?": NUMBER, "tokens_per_s?": NUMBER, "pid?": int},
}
_SUBMITTED: dict[str, Kind] = {
    "launcher": str, "name": NAME, "folder": NAME, "keys": KEYS, "after": list, "driver?": PROCESS,
    "submitted": NUMBER, "process?": PROCESS, "job_id?": str, "title?": str,
}
SHAPES |= {"job": _SUBMITTED, "intent": _SUBMITTED}
_OF_A_KIND = {("job", "local"): ("process",), ("job", "slurm"): ("job_id", "title"),
              ("intent", "slurm"): ("title", "index")}  # by record and launcher
INGREDIENTS: dict[str, Kind] = {
    "stage": str, "entry": str, "config": dict, "code": str, "versions": TEXTS, "numerics?": str,
    "products?": str, "epoch": int, "seed?": int, "member": int, "inputs": INPUTS,
}
_PROCESS: dict[str, Kind] = {"host": str, "boot": str, "pid": int, "start": NUMBER}
_HEX = re.compile(r"[0-9a-f]{64}")
_KINDS = {str: "text", int: "an integer", NUMBER: "a number", dict: "an object", list: "a list"}


def check(name: str, data: Any, path: Path | str) -> dict[str, Any]:
    """Return a record of a kind (request, done, job, ...) if it has that shape. Raises UserError
    with file and field."""
    check_fields(SHAPES.get(name, {}), data, path)
    for field in _OF_A_KIND.get((name, data.get("launcher")), ()):
        if field not in data:
            raise UserError(f"{path}: {field} is missing")
    return data


def check_fields(shape: Mapping[str, Kind], data: Any, path: Path | str) -> dict[str, Any]:
    """Return an object if each field of the shape is there and of its kind; others are left as
    they are. Raises UserError with file and field."""
    if not isinstance(data, dict):
        raise UserError(f"{path}: must be a JSON object, not {_shown(data)}")
    for field, kind in shape.items():
        name = field.removesuffix("?")
        value = data.get(name)
        if value is None and field.endswith("?"):
            continue
        if name not in data:
            raise UserError(f"{path}: {name} is missing")
        if not _is(kind, value):
            wanted = kind if isinstance(kind, str) else _KINDS[kind]
            raise UserError(f"{path}: {name}: must be {wanted}, not {_shown(value)}")
    if data.get("ingredients") is not None and {"ingredients", "ingredients?"} & shape.keys():
        check_fields(INGREDIENTS, data["ingredients"], f"{path}: ingredients")
    return data


def is_key(value: Any) -> bool:
    """Return whether a value is a run's key, or a SHA-256 in hex."""
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def is_path(name: Any) -> bool:
    """Return whether a name is one of a file below an artefact: relative, and it stays inside."""
    if not isinstance(name, str) or not name.isprintable() or "\\" in name or len(name) > 1024:
        return False
    parts = PurePosixPath(name).parts
    return bool(parts) and "/".join(parts) == name and parts[0] != "/" and ".." not in parts


def _is(kind: Kind, value: Any) -> bool:
    match kind:
        case "object of texts":
            return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        case "object of files":
            return isinstance(value, dict) and all(map(_is_file, value.items()))
        case "key of a run":
            return is_key(value)
        case "list of keys":
            return isinstance(value, list) and all(map(is_key, value))
        case "object of keys":
            return isinstance(value, dict) and all(_is(KEYS, keys) for keys in value.values())
        case "process":
            return isinstance(value, dict) and all(
                _is(kind, value.get(name)) for name, kind in _PROCESS.items())
        case "name":
            return is_path(value) and "/" not in value and value != "."
        case _:
            return isinstance(value, kind) and not isinstance(value, bool)


def _is_file(item: tuple[Any, Any]) -> bool:
    name, facts = item
    return (is_path(name) and isinstance(facts, dict) and is_key(facts.get("sha256"))
            and _is(int, facts.get("bytes")) and facts["bytes"] >= 0)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
