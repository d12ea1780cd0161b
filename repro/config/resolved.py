"""`papers/<slug>/resolved/<profile>.yaml`: read it, and find a section in it."""

import json
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from repro import yaml
from repro.errors import UserError
from repro.naming import nearest

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")
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
    return Path(root) / "papers" / slug / "resolved" / f"{profile}.yaml"


def load(path: Path | str) -> dict[str, Any]:
    """Return a resolved tree. Raises UserError when missing, unreadable or of another shape."""
    path = Path(path)
    if not path.is_file():
        slug = path.parent.parent.name
        raise UserError(f"{path}: no resolved settings; run `repro resolve {slug}`")
    return check(yaml.load(path), str(path))


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
