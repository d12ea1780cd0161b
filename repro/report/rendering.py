"""Templates of a folder, with the filters that turn numbers into text."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from repro.report import markdown

TEMPLATES = Path(__file__).parent / "templates"


def environment(folder: Path = TEMPLATES, html: bool = False) -> Environment:
    """Return the environment of a folder of templates; a name that a template lacks is an error.
    html: escape what is filled in."""
    made = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=html,
    )
    for name in ("cell", "number", "interval", "duration", "energy", "count"):
        made.filters[name] = getattr(markdown, name)
    made.filters["spread"] = lambda pair: markdown.spread(*pair)
    return made
