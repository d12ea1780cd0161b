"""The store of finished runs: store verify, gc, push, pull."""

import sys
from typing import Any

import click

from repro.commands import completing
from repro.commands.common import CLUSTER, JSON, PAPERS, emit, profile_option

_KEYS = click.option("--key", "keys", multiple=True, help="Runs by their key (64 digits).")
_PROFILE = profile_option(None, "Default: the profiles of params.yaml.")
_ARMS = click.option("--arm", "arms", multiple=True, help="Only these arms.",
                     shell_complete=completing.arms)
_STAGES = click.option("--stage", "stages", multiple=True, help="Only these stages.",
                       shell_complete=completing.stages)


@click.group()
def store() -> None:
    """The store of finished runs: check it, free space, share it."""


@store.command()
@click.option("--set-aside", is_flag=True, help="Move damaged runs away: they are made again.")
@CLUSTER
@JSON
def verify(set_aside: bool, cluster: str | None, as_json: bool) -> None:
    """Read every finished run again and compare it with its digests. Exit 1: some are damaged."""
    from repro import settings
    from repro.pipeline import audit
    from repro.pipeline.store import Store

    found = audit.audit(Store(settings.load(cluster=cluster).store), set_aside)
    emit(found, as_json, audit.render)
    sys.exit(bool(found.damaged))


@store.command()
@click.option("--keep", metavar="SIZE", help="Stop when the store has no more than this: 20GB.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@CLUSTER
@JSON
def gc(keep: str | None, dry_run: bool, cluster: str | None, as_json: bool) -> None:
    """Delete runs that nothing needs; with --keep only the longest unused, until the rest fits."""
    from repro import settings
    from repro.errors import UserError
    from repro.pipeline import gc as collector

    try:
        quota = None if keep is None else settings.parse_bytes(keep)
    except UserError as error:
        raise UserError(f"--keep: {error}") from error
    emit(collector.gc(settings.load(cluster=cluster), quota, dry_run), as_json, collector.render)


@store.command()
@click.argument("remote")
@PAPERS
@_PROFILE
@_ARMS
@_STAGES
@_KEYS
@CLUSTER
@JSON
def push(remote: str, papers: tuple[str, ...], cluster: str | None, as_json: bool,
         **which: Any) -> None:
    """Upload finished runs to REMOTE (a folder, a URL, a DVC remote): of PAPERS, or all."""
    from repro import settings
    from repro.pipeline import exchange, remotes
    from repro.pipeline.store import Store

    found = settings.load(cluster=cluster)
    keys = _chosen(found, papers, **which)
    there = remotes.open_remote(remote, found.root)
    done = exchange.push(Store(found.store), there, keys, _say(as_json))
    emit(done, as_json, lambda one: exchange.render(one, "pushed"))
    sys.exit(bool(done.refused))


@store.command()
@click.argument("remote")
@PAPERS
@click.option("--all", "everything", is_flag=True, help="Every run the remote has.")
@_PROFILE
@_ARMS
@_STAGES
@_KEYS
@CLUSTER
@JSON
def pull(remote: str, papers: tuple[str, ...], everything: bool, cluster: str | None,
         as_json: bool, **which: Any) -> None:
    """Download the runs of PAPERS from REMOTE (a folder, a URL, a DVC remote), every byte checked.
    """
    from repro import settings
    from repro.errors import UserError
    from repro.pipeline import exchange, remotes
    from repro.pipeline.store import Store

    found = settings.load(cluster=cluster)
    keys = _chosen(found, papers, **which)
    if everything == (keys is not None):
        raise UserError("pull: name papers or keys, or --all")
    there = remotes.open_remote(remote, found.root)
    done = exchange.pull(Store(found.store), there, found.root, keys, _say(as_json))
    emit(done, as_json, lambda one: exchange.render(one, "pulled"))
    sys.exit(bool(done.refused))


def _chosen(found: Any, papers: tuple[str, ...], profile: str | None, arms: tuple[str, ...],
            stages: tuple[str, ...], keys: tuple[str, ...]) -> list[str] | None:
    """Return the keys that a command line means, None when it names none."""
    from repro.errors import UserError
    from repro.paper import Paper
    from repro.pipeline import records, submit

    for key in keys:
        if not records.is_key(key):
            raise UserError(f"--key {key}: must be the 64 digits of a run's key")
    if not papers:
        if profile or arms or stages:
            raise UserError("--profile, --arm and --stage need a paper")
        return list(keys) or None
    request = submit.Request(papers, profile, arms, stages)
    cells = submit.cells_of([Paper.find(slug, found.root) for slug in papers], request, found)
    return [*keys, *(spec.key for runs in cells.values() for spec in runs)]


def _say(as_json: bool) -> Any:
    return (lambda line: None) if as_json else click.echo
