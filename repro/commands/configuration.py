"""Settings: resolve, check, diff, blame."""

import sys

import click

from repro.commands import completing
from repro.commands.common import (
    CLUSTER,
    JSON,
    PAPER,
    PROFILE,
    emit,
    paper_here,
    profile_option,
    resolve_paper,
)


@click.command()
@PAPER
@PROFILE
@JSON
def resolve(paper: str | None, profile: str, as_json: bool) -> None:
    """Write resolved/<profile>/<arm>.json: what each stage of each arm really reads."""
    from repro.config.resolved import path_of

    found = paper_here(paper)
    resolved = resolve_paper(found, profile)
    resolved.write(path_of(found.root, found.slug, profile))
    if as_json:
        emit(resolved.tree, as_json, str)


@click.command()
@PAPER
@profile_option("paper")
@CLUSTER
@JSON
def check(paper: str | None, profile: str, cluster: str | None, as_json: bool) -> None:
    """Build every model without data or GPU: sizes, tokens, memory, Slurm requests."""
    from repro.check import dry_run, table

    found = paper_here(paper)
    report = dry_run.check(found, profile, resolve_paper(found, profile).tree, cluster)
    emit(report, as_json, table.render)
    sys.exit(not report["right"])


@click.command()
@click.argument("specs", nargs=-1, required=True, shell_complete=completing.specs)
@PROFILE
@click.option("--all", "everything", is_flag=True, help="Code digests, versions, numerics too.")
@JSON
def diff(specs: tuple[str, ...], profile: str, everything: bool, as_json: bool) -> None:
    """Compare settings: PAPER[:ARM][@REV][/PROFILE] ..., only what differs."""
    from repro.config import diff as differ
    from repro.paper import find_root

    found = differ.diff(list(specs), root=find_root(), profile=profile, everything=everything)
    click.echo(differ.render(found, "json" if as_json else "table"))


@click.command()
@click.argument("paper", shell_complete=completing.papers)
@click.argument("setting", shell_complete=completing.settings)
@PROFILE
@JSON
def blame(paper: str, setting: str, profile: str, as_json: bool) -> None:
    """Say which file and line set a value ([ARM:]pretrain.optimizer.lr), and what it beat."""
    from repro.config import blame as blamer

    rows = blamer.blame(resolve_paper(paper_here(paper), profile), setting)
    click.echo(blamer.render(rows, "json" if as_json else "table"))
