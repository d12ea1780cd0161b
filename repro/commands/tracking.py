"""Runs in other people's tools: log-to."""

from pathlib import Path

import click

from repro.commands.common import CLUSTER, PAPERS


@click.command("log-to")
@click.argument("tracker", type=click.Choice(["tensorboard", "mlflow", "wandb"]))
@PAPERS
@click.option("--to", "place", metavar="PLACE",
              help="A folder, or a server of MLflow. [default: .repro/TRACKER]")
@click.option("--name", default="repro", show_default=True,
              help="Experiment (MLflow) or project (W&B).")
@click.option("--follow", "following", is_flag=True, help="Stay while runs live, and show them.")
@CLUSTER
def log_to(tracker: str, papers: tuple[str, ...], place: str | None, name: str, following: bool,
           cluster: str | None) -> None:
    """Show runs in TensorBoard, MLflow or W&B: settings, curves, costs. Twice adds nothing."""
    from repro import settings
    from repro.pipeline import plans
    from repro.pipeline.store import Store
    from repro.trackers import follow
    from repro.trackers.sinks import SINKS

    found = settings.load(cluster=cluster)
    place = place or str(found.root / ".repro" / tracker)
    sink, store = SINKS[tracker](place, name), Store(found.store)
    wanted = papers or None
    had = 0
    if following:
        written = follow.follow(sink, store, lambda: plans.read(store, wanted))
    else:
        written, had = follow.update(sink, store, plans.read(store, wanted))
    where = Path(place) if "://" not in place else place
    click.echo(f"{where}: {written} runs written, {had} were there")
