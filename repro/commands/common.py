"""What commands share: their options, the papers they name, how they print."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from repro.commands import completing
from repro.errors import UserError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def profile_option(default: str | None = "mini", about: str = "paper|gpu|mini|smoke") -> Decorator:
    """Return --profile with a default."""
    return click.option("--profile", default=default, show_default=True, help=about,
                        shell_complete=completing.profiles)


PAPER = click.argument("paper", required=False, shell_complete=completing.papers)
PAPERS = click.argument("papers", nargs=-1, shell_complete=completing.papers)
RUN = click.argument("run", shell_complete=completing.runs)
PROFILE = profile_option()
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
EVERYTHING = click.option("--all", "everything", is_flag=True, help="Every paper.")
ARMS = click.option("--arm", "arms", multiple=True, help="Only these arms and what they need.",
                    shell_complete=completing.arms)
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
    return resolve(paper, profile, numerics=found.numerics(paper.slug), epoch=found.suite.epoch,
                   seeds=found.suite.seeds, overrides=found.overrides(paper.slug))


def write_resolved(paper: Any, profile: str) -> Path:
    """Resolve a profile of a paper and write the settings; return their folder."""
    from repro.config.resolved import path_of

    folder = path_of(paper.root, paper.slug, profile)
    resolve_paper(paper, profile).write(folder)
    return folder


def on_cluster(cluster: str | None) -> dict[str, Any]:
    """Return the machine settings that --cluster means."""
    return {"executor": "slurm", "cluster": cluster} if cluster else {}


def emit(result: Any, as_json: bool, table: Callable[[Any], str]) -> None:
    """Print a result as one JSON document, or as the text made of it. Nothing else of a command
    goes to stdout when it prints JSON."""
    if as_json:
        data = result.json() if hasattr(result, "json") else result
        click.echo(json.dumps(_plain(data), indent=2, ensure_ascii=False, default=str))
    else:
        click.echo(table(result))


def _plain(data: Any) -> Any:
    """Return data that JSON has a form for: a loss may be NaN or infinite, JSON has null."""
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
