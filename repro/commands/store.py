"""The store of finished runs: gc."""

import click

from repro.commands.common import JSON, emit


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@JSON
def gc(dry_run: bool, as_json: bool) -> None:
    """Delete finished runs that nothing refers to, and checkpoints no longer needed."""
    from repro import settings
    from repro.pipeline import gc as collector

    emit(collector.gc(settings.load(), dry_run=dry_run), as_json, collector.render)
