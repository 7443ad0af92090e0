"""`fastpix completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click

from fastpix.commands.command import ClientCommand
from fastpix.commands.session import Session, with_session

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_FASTPIX_COMPLETE"  # click's own name for it
# A plain .zshrc has not begun to complete anything: without this, every new shell would say that compdef is unknown.
ZSH_NEEDS = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }"


@click.command(
    cls=ClientCommand,
    is_offline=True,
    has_json=False,
    example=["fastpix completion bash", "fastpix completion zsh", "fastpix completion fish"],
)
@click.argument("shell", type=click.Choice(SHELLS))
@with_session
def completion(session: Session, shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish.

    \b
    bash, in ~/.bashrc:   eval "$(fastpix completion bash)"
    zsh, in ~/.zshrc:     eval "$(fastpix completion zsh)"
    fish:                 fastpix completion fish > ~/.config/fish/completions/fastpix.fish
    """
    from click.shell_completion import get_completion_class

    from fastpix.cli import main

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(main, {}, "fastpix", VARIABLE).source()
    if shell == "zsh":
        # The first line stays first: it is `#compdef fastpix`, for those who keep this in a file of their fpath.
        head, newline, rest = script.partition("\n")
        script = f"{head}\n{ZSH_NEEDS}{newline}{rest}"
    session.say(script)
