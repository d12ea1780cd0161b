"""`papers/<slug>/resolved/<profile>/<arm>.json`: write them, read them, find a section in them.

A file an arm, and JSON: DVC reads the file anew for each stage and walks all of it for each entry
under `params`. Measured on 37 stages that have nothing to do: one YAML file for all arms 5.0 s, one
JSON file 1.4 s, one JSON file an arm 1.0 s. What `params.yaml` says of every run (numerics, epoch,
seeds) is repeated in each, so that DVC need not parse that file for each stage, too.
"""

import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.naming import nearest

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "scipy", "seqeval")
# Module -> library that computes, too, but not in every paper: where a section's code imports it,
# its version stands in that section. So a paper that brings a library changes no other's keys.
EXTRAS = {
    "PIL": "pillow", "gensim": "gensim", "gymnasium": "gymnasium", "jiwer": "jiwer",
    "minigrid": "minigrid", "opacus": "opacus", "peft": "peft", "resvg_py": "resvg-py",
    "sacrebleu": "sacrebleu", "soundfile": "soundfile",
}
SHARED = ("paper", "profile", "numerics", "epoch", "seeds", "versions")


@cache
def versions() -> dict[str, str]:
    """Return the versions that enter every key: Python's (major.minor) and of the libraries that
    compute. Nothing is imported. The label of a wheel (2.13.0+cpu) is left out: it says where a
    package came from, and one lock file must resolve to one text everywhere."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python} | {
        name: metadata.version(name).partition("+")[0] for name in LIBRARIES
    }


def extra_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of EXTRAS that stand among imported modules, by library.

    Raises UserError for one that is not installed."""
    found = {}
    for library in sorted(EXTRAS[name] for name in EXTRAS.keys() & set(modules)):
        try:
            found[library] = metadata.version(library).partition("+")[0]
        except metadata.PackageNotFoundError as error:
            raise UserError(f"{library}: not installed; install requirements.lock") from error
    return found


def path_of(root: Path | str, slug: str, profile: str) -> Path:
    """Return the folder of the resolved settings of a paper and profile."""
    return Path(root) / "papers" / slug / "resolved" / profile


def load(folder: Path | str) -> dict[str, Any]:
    """Return the resolved tree a folder holds. Raises UserError when missing, unreadable or of
    another shape."""
    folder = Path(folder)
    texts = {}
    for path in sorted(folder.glob("*.json")):
        try:
            texts[str(path)] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from error
    if not texts:
        slug = folder.parent.parent.name
        raise UserError(f"{folder}: no resolved settings; run `repro resolve {slug}`")
    return loads(texts)


def loads(texts: dict[str, str]) -> dict[str, Any]:
    """Return the resolved tree that files make: their name, for messages -> their text. Raises
    UserError when one is unreadable, of another shape, or resolved apart from the others."""
    tree: dict[str, Any] = {}
    for source, text in texts.items():
        try:
            one = json.loads(text)
        except ValueError as error:
            raise UserError(f"{source}: not readable as JSON: {error}") from error
        missing = [key for key in (*SHARED, "arm", "stages")
                   if not isinstance(one, dict) or key not in one]
        if missing:
            raise UserError(f"{source}: not a resolved file: {missing[0]!r} is missing")
        shared = {key: one[key] for key in SHARED}
        tree = tree or {**shared, "arms": {}}
        for key in SHARED:
            if tree[key] != one[key]:
                raise UserError(f"{source}: {key} is not that of the other arms; resolve again")
        tree["arms"][one["arm"]] = one["stages"]
    return check(tree, next(iter(texts)))


def dump(tree: dict[str, Any], folder: Path | str) -> None:
    """Write a resolved tree, each file atomically, and remove what is of no arm of it. Raises
    ValueError for NaN and infinities."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shared = {key: tree[key] for key in SHARED}
    for arm, stages in tree["arms"].items():
        scratch = folder / f".{arm}.{os.getpid()}.tmp"
        one = {**shared, "arm": arm, "stages": stages}
        text = json.dumps(one, indent=1, ensure_ascii=False, allow_nan=False)
        scratch.write_text(text + "\n", encoding="utf-8")
        os.replace(scratch, folder / f"{arm}.json")
    for path in folder.glob("*.json"):
        if path.stem not in tree["arms"]:
            path.unlink()


def check(tree: Any, source: str) -> dict[str, Any]:
    """Return the tree if it has the shape of a resolved file. Raises UserError."""
    for arm, stages in tree["arms"].items():
        for stage, section in stages.items():
            if not isinstance(section, dict) or not {"code", "config"} <= section.keys():
                raise UserError(f"{source}: arms.{arm}.{stage}: must have code and config")
    return tree


def section(tree: dict[str, Any], arm: str, stage: str) -> dict[str, Any]:
    """Return {code, config[, versions]} of a stage of an arm. Raises UserError with the nearest
    names."""
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
