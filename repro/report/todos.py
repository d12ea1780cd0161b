"""What is still to be filled in: every line of a paper's own files that has the word TODO."""

import re
from pathlib import Path

from repro.paper import Paper

_WORD = re.compile(r"\bTODO\b")


def sources(folder: Path) -> list[Path]:
    """Return the files of a paper that are written by hand."""
    return [folder / "paper.yaml", *sorted([*folder.glob("*.gin"), *folder.glob("*.py")])]


def todos(paper: Paper) -> list[str]:
    """Return `file:line: the line` of everything still to be filled in."""
    found = []
    for path in sources(paper.dir):
        shown = f"papers/{paper.slug}/{path.name}"
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [f"{shown}:{number}: {line.strip()}"
                  for number, line in enumerate(lines, 1) if _WORD.search(line)]
    return found
