"""Templates under templates/, with the filters that turn numbers into text."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from repro.report import markdown

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Return the template environment; a name that a template lacks is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    for name in ("cell", "number", "interval", "duration", "count"):
        made.filters[name] = getattr(markdown, name)
    made.filters["spread"] = lambda pair: markdown.spread(*pair)
    return made
