"""Same key, same bytes: verify."""

import sys

import click

from repro.commands.common import (
    ARMS,
    CLUSTER,
    EVERYTHING,
    JSON,
    PAPERS,
    chosen_papers,
    emit,
    profile_option,
    resolve_paper,
)


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
    from repro.config.resolved import path_of
    from repro.pipeline import verify as verifying
    from repro.pipeline.progress import choose

    chosen = chosen_papers("verify", papers, everything)
    found = settings.load(chosen[0].root, cluster=cluster)
    certificates = []
    for paper in chosen:
        resolve_paper(paper, profile).write(path_of(paper.root, paper.slug, profile))
        certificate = verifying.verify(paper, profile, found, choose(found.log_level),
                                       seeds=found.suite.seeds[:seeds], arms=arms)
        if not arms:
            verifying.write(certificate, paper)
        if not as_json:
            click.echo(verifying.render(certificate))
        certificates.append(certificate)
    if as_json:
        emit(certificates, as_json, str)
    sys.exit(not all(certificate["identical"] for certificate in certificates))
