"""The command line: every command of `repro.commands`, under one group."""

import sys
from typing import Any

import click

from repro.commands import (
    assets,
    authoring,
    catalogue,
    configuration,
    costs,
    exactness,
    machine,
    publishing,
    results,
    runs,
    shell,
    store,
    tracking,
)
from repro.errors import UserError

COMMANDS = (
    catalogue.list_papers, catalogue.show, authoring.new,
    configuration.resolve, configuration.check, configuration.diff, configuration.blame,
    runs.run, runs.submit, runs.status, runs.attach, runs.logs, runs.cancel, runs.demo,
    results.verdict, results.board, results.report, results.render,
    costs.cost, tracking.log_to, publishing.export,
    exactness.verify, exactness.golden,
    store.store,
    assets.data,
    machine.doctor, shell.completion,
)


class Commands(click.Group):
    """Prints a UserError as one line and exits with 1; the trace of anything else is kept."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:
            sys.exit(141)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="repro")
def main() -> None:
    """Reproductions of papers, as configuration: does the claim hold?"""


for command in COMMANDS:
    main.add_command(command)
