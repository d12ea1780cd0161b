"""Runs: make them, queue them, look after them."""

import sys

import click

from repro.commands import completing
from repro.commands.common import (
    ARMS,
    CLUSTER,
    EVERYTHING,
    JSON,
    PAPERS,
    PROFILE,
    RUN,
    WORKERS,
    chosen_papers,
    emit,
    on_cluster,
    paper_here,
    profile_option,
)
from repro.errors import UserError


@click.command()
@click.argument("stage", shell_complete=completing.stages)
@click.option("--arm", required=True, shell_complete=completing.arms)
@PROFILE
@click.option("--paper", help="Default: the paper of this directory.",
              shell_complete=completing.papers)
@click.option("--if-in-profile", is_flag=True,
              help="No error, and nothing to do, where the profile lacks the arm.")
@WORKERS
@CLUSTER
def run(stage: str, arm: str, profile: str, paper: str | None, if_in_profile: bool,
        workers: int | None, cluster: str | None) -> None:
    """Finish one stage of one arm (what DVC calls). Asking twice does nothing twice."""
    from repro import settings
    from repro.pipeline.stage import leave_empty, run_stage

    found = paper_here(paper)
    if if_in_profile and found.arm(arm) and arm not in found.arms_of(profile):
        leave_empty(found, stage, profile, arm)
        return
    flags = {"workers": workers, **on_cluster(cluster)}
    sys.exit(run_stage(found, stage, profile, arm, settings.load(found.root, **flags)))


@click.command()
@PAPERS
@EVERYTHING
@click.option("--local", is_flag=True, help="On this machine.")
@CLUSTER
@profile_option(None, "Default: the profiles of params.yaml.")
@ARMS
@click.option("--stage", "stages", multiple=True, help="Only these stages and what they need.",
              shell_complete=completing.stages)
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
@PAPERS
@CLUSTER
@click.option("--watch", is_flag=True, help="Again every two seconds, until all has ended.")
@JSON
def status(papers: tuple[str, ...], cluster: str | None, watch: bool, as_json: bool) -> None:
    """Show what is queued, running, done and failed."""
    from repro import settings
    from repro.pipeline import status as looking

    found = settings.load(cluster=cluster)
    if watch and as_json:
        raise UserError("status: either --watch or --json")
    if watch:
        return looking.watch(found, papers or None)
    emit(looking.status(found, papers or None), as_json, looking.render)


@click.command()
@PAPERS
@CLUSTER
def attach(papers: tuple[str, ...], cluster: str | None) -> None:
    """Look after what was submitted last, until it has ended; Ctrl-C leaves or cancels."""
    from repro import settings
    from repro.pipeline import submit as submitting

    sys.exit(submitting.attach(papers, settings.load(**on_cluster(cluster))))


@click.command()
@RUN
@CLUSTER
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
def logs(run: str, cluster: str | None, follow: bool) -> None:
    """Print the log of runs: electra, electra/pretrain@mini-bert, ..."""
    from repro import settings
    from repro.pipeline import status as looking

    looking.logs(settings.load(cluster=cluster), run, follow=follow)


@click.command()
@RUN
@CLUSTER
@JSON
def cancel(run: str, cluster: str | None, as_json: bool) -> None:
    """Stop the jobs of runs; they keep their checkpoints."""
    from repro import settings
    from repro.pipeline import status as looking

    stopped = list(looking.cancel(settings.load(cluster=cluster), run))
    emit({"cancelled": stopped}, as_json,
         lambda _: "\n".join(f"cancelled {label}" for label in stopped) or "nothing to cancel")


@click.command()
@click.option("--workers", type=int, help="Runs side by side.")
def demo(workers: int | None) -> None:
    """From nothing to a first verdict: the cheapest testable claim, five seeds, real text."""
    from repro.demo import run_demo

    sys.exit(run_demo(workers))
