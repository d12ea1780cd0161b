"""What the suite holds: list, show."""

import click

from repro.commands.common import JSON, PAPER, PROFILE, emit, paper_here


@click.command("list")
@PROFILE
@JSON
def list_papers(profile: str, as_json: bool) -> None:
    """List papers: family, arms, claims, and what a profile's runs have said and cost."""
    from repro.paper import Paper
    from repro.report import catalogue, terminal

    emit(catalogue.listing(Paper.all(), profile), as_json, terminal.papers)


@click.command()
@PAPER
@PROFILE
@JSON
def show(paper: str | None, profile: str, as_json: bool) -> None:
    """Show one paper: claims with its numbers and ours, arms, stages, data, how to run it."""
    from repro.report import catalogue, terminal

    emit(catalogue.describe(paper_here(paper), profile), as_json, terminal.paper)
