"""Papers to be written: new."""

from typing import Any

import click

from repro import scaffold
from repro.commands import completing
from repro.commands.common import JSON, emit, write_resolved

KINDS = ", ".join(scaffold.templates())


@click.command()
@click.argument("slug", shell_complete=completing.planned)
@click.option("--like", metavar="PAPER", help="Start from a paper: its arms, claims, settings.",
              shell_complete=completing.papers)
@click.option("--template", metavar="KIND", help=f"Start from a template: {KINDS}.",
              shell_complete=completing.templates)
@JSON
def new(slug: str, like: str | None, template: str | None, as_json: bool) -> None:
    """Write papers/SLUG: a paper that passes every test before the first edit.

    What the other paper says of itself is not taken over: TODO stands there, and `repro show SLUG`
    lists what is left.
    """
    from repro.paper import find_root
    from repro.scaffold.new import create, model

    root = find_root()
    start = model(root, like, template)
    emit(create(root, slug, start, write_resolved), as_json, _told)


def _told(made: dict[str, Any]) -> str:
    slug = made["paper"]
    return "\n".join([
        f"papers/{slug} is written, after {made['from']}. Edit ({made['todo']} lines say TODO):",
        *(f"  {path}" for path in made["edit"]),
        "What is left, whether it fits, whether it runs:",
        f"  repro show {slug}",
        *(f"  {command}" for command in made["run"]),
    ])
