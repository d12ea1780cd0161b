"""The machine and the cluster a run depends on: doctor."""

import sys

import click

from repro.commands.common import CLUSTER, JSON, emit, on_cluster


@click.command()
@CLUSTER
@JSON
def doctor(cluster: str | None, as_json: bool) -> None:
    """Look at everything a run depends on; on a cluster also with a small job."""
    from repro import settings
    from repro.pipeline import doctor as looking

    findings = looking.doctor(settings.load(**on_cluster(cluster)))
    emit(looking.as_json(findings), as_json, lambda _: looking.render(findings))
    sys.exit(any(finding.level == "error" for finding in findings))
