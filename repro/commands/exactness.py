"""Same key, same bytes: verify, golden."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from repro.commands.common import (
    ARMS,
    CLUSTER,
    EVERYTHING,
    JSON,
    PAPERS,
    WORKERS,
    chosen_papers,
    emit,
    profile_option,
    write_resolved,
)
from repro.errors import UserError

if TYPE_CHECKING:
    from repro.paper import Paper


@click.command()
@PAPERS
@EVERYTHING
@profile_option("smoke")
@ARMS
@click.option("--seeds", default=1, show_default=True, help="How many of those in params.yaml.")
@CLUSTER
@JSON
def verify(papers: tuple[str, ...], everything: bool, profile: str, arms: tuple[str, ...],
           seeds: int, cluster: str | None, as_json: bool) -> None:
    """Make runs in several ways, killed and resumed, and compare every byte."""
    from repro import settings
    from repro.pipeline import verify as verifying
    from repro.pipeline.progress import choose

    chosen = chosen_papers("verify", papers, everything)
    found = settings.load(chosen[0].root, cluster=cluster)
    for paper in chosen:  # here, not in the threads: gin is one for a process
        write_resolved(paper, profile)

    def one(paper: "Paper") -> tuple[dict[str, Any], dict[str, Any] | None]:
        return verifying.verify(paper, profile, found, choose(found.log_level),
                                seeds=found.suite.seeds[:seeds], arms=arms), _former(paper)

    certificates = []
    # One way of every paper has a single worker: two papers at once keep two cores busy.
    pool = ThreadPoolExecutor(1 if found.cluster else found.workers)
    try:
        for paper, (certificate, former) in zip(chosen, pool.map(one, chosen), strict=True):
            if not arms:
                verifying.write(certificate, paper)
            if not as_json:
                click.echo(verifying.render(certificate, former))
            certificates.append(certificate)
    finally:
        pool.shutdown(cancel_futures=True)
    if as_json:
        emit(certificates, as_json, str)
    sys.exit(not all(certificate["identical"] for certificate in certificates))


def _former(paper: "Paper") -> dict[str, Any] | None:
    """Return the committed certificate; one that is damaged is told of and made anew."""
    from repro.pipeline import verify as verifying

    try:
        return verifying.committed(paper)
    except UserError as error:
        click.echo(str(error), err=True)
        return None


@click.command()
@PAPERS
@EVERYTHING
@profile_option("mini")
@click.option("--update", is_flag=True, help="Write what is found as the new record.")
@WORKERS
@JSON
def golden(papers: tuple[str, ...], everything: bool, profile: str, update: bool,
           workers: int | None, as_json: bool) -> None:
    """Compare the first 20 losses of every arm with those committed, to the last digit."""
    from repro import settings
    from repro.pipeline import golden as recorded
    from repro.pipeline.progress import choose

    chosen = chosen_papers("golden", papers, everything)
    found = settings.load(chosen[0].root, workers=workers)
    reports = []
    for paper in chosen:
        then = recorded.load(paper) if not update or recorded.path_of(paper).exists() else None
        write_resolved(paper, profile)
        now = recorded.follow(paper, profile, found, choose(found.log_level))
        if update:
            recorded.write(now, paper)
        report = recorded.report(paper.slug, now, then, update)
        if not as_json:
            click.echo(recorded.render(report))
        reports.append(report)
    if as_json:
        emit(reports, as_json, str)
    sys.exit(not update and any(report["differences"] for report in reports))
