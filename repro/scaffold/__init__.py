"""A new paper directory, from one that is there or from a template, green before the first edit.

A template is an ordinary paper directory, `templates/<kind>/`, with the files that people edit.
"""

from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"


def templates() -> list[str]:
    """Return the kinds of papers that there is a template for."""
    return sorted(file.parent.name for file in TEMPLATES.glob("*/paper.yaml"))
