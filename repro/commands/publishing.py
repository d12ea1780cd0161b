"""Artefacts for others: export."""

from pathlib import Path

import click

from repro.commands.common import PROFILE
from repro.errors import UserError


@click.command()
@click.argument("paper", metavar="PAPER[:ARM]")
@PROFILE
@click.option("--stage", default="pretrain", show_default=True, help="data, pretrain, finetune.")
@click.option("--seed", default=0, show_default=True)
@click.option("--member", default=0, show_default=True, help="Of an arm that trains several.")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path),
              help="A new folder.")
def export(paper: str, profile: str, stage: str, seed: int, member: int, target: Path) -> None:
    """Write a run's artefact as a folder of the Hugging Face hub: model or data, and its card."""
    from repro.hub import export as exporting
    from repro.paper import Paper

    name, _, arm = paper.partition(":")
    found = Paper.find(name)
    arms = [one for one in found.arms_of(profile) if found.provider(one, stage)]
    if not arm and not arms:
        raise UserError(f"{name}: no arm of {profile} has stage {stage!r}")
    for line in exporting.export(found, arm or arms[0], profile, stage, seed, target, member):
        click.echo(line)
