"""Same key, same bytes: verify, golden."""

import sys

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
    certificates = []
    for paper in chosen:
        write_resolved(paper, profile)
        former = None
        try:
            former = verifying.committed(paper)
        except UserError as error:  # what is damaged is made anew
            click.echo(str(error), err=True)
        certificate = verifying.verify(paper, profile, found, choose(found.log_level),
                                       seeds=found.suite.seeds[:seeds], arms=arms)
        if not arms:
            verifying.write(certificate, paper)
        if not as_json:
            click.echo(verifying.render(certificate, former))
        certificates.append(certificate)
    if as_json:
        emit(certificates, as_json, str)
    sys.exit(not all(certificate["identical"] for certificate in certificates))


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
