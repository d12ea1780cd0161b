"""What commands share: their options, the papers they name, how they print."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from repro.errors import UserError

PROFILES = "paper|gpu|mini|smoke"
PROFILE = click.option("--profile", default="mini", show_default=True, help=PROFILES)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
EVERYTHING = click.option("--all", "everything", is_flag=True, help="Every paper.")
ARMS = click.option("--arm", "arms", multiple=True, help="Only these arms and what they need.")
CLUSTER = click.option("--cluster", type=click.Path(dir_okay=False, resolve_path=True),
                       help="A file of slurm/clusters/: where runs go, and their store.")
WORKERS = click.option("--workers", type=int, help="Runs side by side on this machine.")


def paper_here(name: str | None) -> Any:
    """Return the paper named, or that of this directory. Raises UserError when there is none."""
    from repro.paper import Paper

    if not name and not Path("paper.yaml").is_file():
        raise UserError("no paper named and no paper.yaml here; name one, for example `electra`")
    return Paper.find(name or ".")


def chosen_papers(command: str, papers: tuple[str, ...], everything: bool) -> list[Any]:
    """Return the papers named, or all. Raises UserError unless it is one of the two."""
    from repro.paper import Paper

    if everything == bool(papers):
        raise UserError(f"{command}: name papers, or --all")
    return Paper.all() if everything else [Paper.find(name) for name in papers]


def resolve_paper(paper: Any, profile: str) -> Any:
    """Return the resolved settings of a paper, with the suite's numerics and overrides."""
    from repro import settings
    from repro.config.resolve import resolve

    paper.check_profile(profile)
    found = settings.load(paper.root)
    return resolve(paper, profile, numerics=found.suite.numerics,
                   overrides=found.overrides(paper.slug))


def on_cluster(cluster: str | None) -> dict[str, Any]:
    """Return the machine settings that --cluster means."""
    return {"executor": "slurm", "cluster": cluster} if cluster else {}


def emit(result: Any, as_json: bool, table: Callable[[Any], str]) -> None:
    """Print a result as JSON, or as the table made of it."""
    if as_json:
        data = result.json() if hasattr(result, "json") else result
        click.echo(json.dumps(data, indent=2, default=str))
    else:
        click.echo(table(result))
