"""`papers/<slug>/resolved/<profile>.json`: write it, read it, and find a section in it.

JSON, not YAML: DVC parses the file anew for every stage of a paper, and JSON is read a hundred
times as fast.
"""

import json
import os
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.naming import nearest

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "scipy", "seqeval")
KEYS = ("paper", "profile", "numerics", "versions", "arms")


@cache
def versions() -> dict[str, str]:
    """Return the versions that enter every key: Python's (major.minor) and of the libraries that
    compute. Nothing is imported. The label of a wheel (2.13.0+cpu) is left out: it says where a
    package came from, and one lock file must resolve to one text everywhere."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python} | {
        name: metadata.version(name).partition("+")[0] for name in LIBRARIES
    }


def path_of(root: Path | str, slug: str, profile: str) -> Path:
    """Return where the resolved settings of a paper and profile lie."""
    return Path(root) / "papers" / slug / "resolved" / f"{profile}.json"


def load(path: Path | str) -> dict[str, Any]:
    """Return a resolved tree. Raises UserError when missing, unreadable or of another shape."""
    path = Path(path)
    if not path.is_file():
        slug = path.parent.parent.name
        raise UserError(f"{path}: no resolved settings; run `repro resolve {slug}`")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return loads(text, str(path))


def loads(text: str, source: str) -> dict[str, Any]:
    """Return the resolved tree a text holds. Raises UserError when unreadable or of another shape.
    """
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise UserError(f"{source}: not readable as JSON: {error}") from error
    return check(tree, source)


def dump(tree: dict[str, Any], path: Path | str) -> None:
    """Write a resolved tree atomically. Raises ValueError for NaN and infinities."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False)
    scratch.write_text(text + "\n", encoding="utf-8")
    os.replace(scratch, path)


def check(tree: Any, source: str) -> dict[str, Any]:
    """Return the tree if it has the shape of a resolved file. Raises UserError."""
    missing = [key for key in KEYS if not isinstance(tree, dict) or key not in tree]
    if missing:
        raise UserError(f"{source}: not a resolved file: {missing[0]!r} is missing")
    for arm, stages in tree["arms"].items():
        for stage, section in stages.items():
            if not isinstance(section, dict) or not {"code", "config"} <= section.keys():
                raise UserError(f"{source}: arms.{arm}.{stage}: must have code and config")
    return tree


def section(tree: dict[str, Any], arm: str, stage: str) -> dict[str, Any]:
    """Return {code, config} of a stage of an arm. Raises UserError with the nearest names."""
    where = f"{tree['paper']}/{tree['profile']}"
    if arm not in tree["arms"]:
        raise UserError(f"{where}: unknown arm {arm!r}{nearest(arm, tree['arms'])}")
    stages = tree["arms"][arm]
    if stage not in stages:
        raise UserError(f"{where}: arm {arm!r} has no stage {stage!r}{nearest(stage, stages)}")
    return stages[stage]


def canonical(value: Any) -> str:
    """Return the JSON that digests are made of: keys sorted, no spaces, floats by their shortest
    exact form. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
