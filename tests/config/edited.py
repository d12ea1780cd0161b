"""A copy of the code and of one paper that is edited line by line, and what its digests make of it.

A section is a stage of an arm in electra's mini profile. An edit: see `mutations`.
"""

import shutil
from pathlib import Path

from repro.config import resolved
from repro.config.code import section_digest
from repro.config.source import Sources

ROOT = Path(__file__).parents[2]
TREE = resolved.load(ROOT / "papers" / "electra" / "resolved" / "mini")
SECTIONS = {(stage, arm): section["config"]
            for arm, stages in TREE["arms"].items() for stage, section in stages.items()}


def copy_to(root):
    """Copy the code that sections may reach to a folder; return the folder."""
    for part in ("repro", "papers/electra"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns(
            "__pycache__", "out", "results", "resolved", "templates", "static"))
    return root


def digests(root):
    """Return section -> digest of its code as it is below a folder."""
    sources = Sources(root)
    return {place: section_digest(config, sources) for place, config in SECTIONS.items()}


def changed(copy, before, file, old, new):
    """Return the sections whose digest an edit changes; the edit is taken back."""
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{file} no longer has {old!r}: bring the table up to date"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        after = digests(copy)
    finally:
        path.write_text(text, encoding="utf-8")
    return {place for place in before if before[place] != after[place]}


def affected(truth):
    """Return the sections that a line of the table names."""
    found = set()
    for part in filter(None, truth.split("; ")):
        stage, _, arms = part.partition(": ")
        found |= {place for place in SECTIONS if place[0] == stage
                  and (not arms or place[1] in arms.split())}
    return found


def account(copy, edits):
    """Return for each edit {kind, file, true: sections it can change, recomputed: whose digest it
    changes, missed: names of true ones that were not, needless: how many were not true}."""
    before, lines = digests(copy), []
    for kind, file, old, new, truth in edits:
        found, true = changed(copy, before, file, old, new), affected(truth)
        lines.append({"kind": kind, "file": file, "true": len(true), "recomputed": len(found),
                      "missed": [f"{stage} of {arm}" for stage, arm in sorted(true - found)],
                      "needless": len(found - true)})
    return lines
