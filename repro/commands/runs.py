"""Runs: make them, queue them, look after them."""

import sys

import click

from repro.commands.common import (
    ARMS,
    CLUSTER,
    EVERYTHING,
    JSON,
    PROFILE,
    WORKERS,
    chosen_papers,
    emit,
    on_cluster,
    paper_here,
)
from repro.errors import UserError


@click.command()
@click.argument("stage")
@click.option("--arm", required=True)
@PROFILE
@click.option("--paper", help="Default: the paper of this directory.")
@WORKERS
@CLUSTER
def run(stage: str, arm: str, profile: str, paper: str | None, workers: int | None,
        cluster: str | None) -> None:
    """Finish one stage of one arm (what DVC calls). Asking twice does nothing twice."""
    from repro import settings
    from repro.pipeline.stage import run_stage

    found = paper_here(paper)
    flags = {"workers": workers, **on_cluster(cluster)}
    sys.exit(run_stage(found, stage, profile, arm, settings.load(found.root, **flags)))


@click.command()
@click.argument("papers", nargs=-1)
@EVERYTHING
@click.option("--local", is_flag=True, help="On this machine.")
@CLUSTER
@click.option("--profile", help="Default: the profiles of params.yaml.")
@ARMS
@click.option("--stage", "stages", multiple=True, help="Only these stages and what they need.")
@WORKERS
@click.option("--wait", is_flag=True, help="On a cluster too: stay until everything has ended.")
@click.option("--detach", is_flag=True, help="Return at once; the driver goes on.")
@click.option("--driver-job", is_flag=True, help="Let a small job on the cluster be the driver.")
def submit(papers: tuple[str, ...], everything: bool, local: bool, cluster: str | None,
           profile: str | None, arms: tuple[str, ...], stages: tuple[str, ...],
           workers: int | None, wait: bool, detach: bool, driver_job: bool) -> None:
    """Queue whole papers ahead of DVC, on a cluster or on this machine."""
    from repro import settings
    from repro.pipeline import submit as submitting

    chosen = chosen_papers("submit", papers, everything)
    if local and cluster:
        raise UserError("submit: either --local or --cluster")
    flags = {"executor": "local"} if local else on_cluster(cluster)
    found = settings.load(chosen[0].root, workers=workers, **flags)
    slugs = tuple(paper.slug for paper in chosen)
    request = submitting.Request(slugs, profile, arms, stages, wait)
    if driver_job:
        number = submitting.submit_driver(request, found)
        return click.echo(f"the driver is job {number}; see `repro status`")
    sys.exit(submitting.submit(request, found, detach=detach))


@click.command()
@click.argument("papers", nargs=-1)
@CLUSTER
@click.option("--watch", is_flag=True, help="Again every two seconds, until all has ended.")
@JSON
def status(papers: tuple[str, ...], cluster: str | None, watch: bool, as_json: bool) -> None:
    """Show what is queued, running, done and failed."""
    from repro import settings
    from repro.pipeline import status as looking

    found = settings.load(cluster=cluster)
    if watch:
        return looking.watch(found, papers or None)
    emit(looking.status(found, papers or None), as_json, looking.render)


@click.command()
@click.argument("papers", nargs=-1)
@CLUSTER
def attach(papers: tuple[str, ...], cluster: str | None) -> None:
    """Look after what was submitted last, until it has ended; Ctrl-C leaves or cancels."""
    from repro import settings
    from repro.pipeline import submit as submitting

    sys.exit(submitting.attach(papers, settings.load(**on_cluster(cluster))))


@click.command()
@click.argument("run")
@CLUSTER
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
def logs(run: str, cluster: str | None, follow: bool) -> None:
    """Print the log of runs: electra, electra/pretrain@mini-bert, ..."""
    from repro import settings
    from repro.pipeline import status as looking

    looking.logs(settings.load(cluster=cluster), run, follow=follow)


@click.command()
@click.argument("run")
@CLUSTER
def cancel(run: str, cluster: str | None) -> None:
    """Stop the jobs of runs; they keep their checkpoints."""
    from repro import settings
    from repro.pipeline import status as looking

    for label in looking.cancel(settings.load(cluster=cluster), run):
        click.echo(f"cancelled {label}")


@click.command()
@click.option("--workers", type=int, help="Runs side by side.")
def demo(workers: int | None) -> None:
    """From nothing to a first verdict: the cheapest testable claim, five seeds, real text."""
    from repro.demo import run_demo

    sys.exit(run_demo(workers))
