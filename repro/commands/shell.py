"""The shell: completion."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, papers, arms, claims... in bash, zsh or fish.

    \b
    bash:  echo 'source <(repro completion bash)' >> ~/.bashrc
    zsh:   echo 'source <(repro completion zsh)' >> ~/.zshrc    (after compinit)
    fish:  repro completion fish > ~/.config/fish/completions/repro.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    click.echo(kind(ctx.find_root().command, {}, "repro", "_REPRO_COMPLETE").source(), nl=False)
