"""The `fastpix` program: a group whose commands come from whatever is installed.

Invariants: it imports nothing of the server; commands arrive through the entry points of group "fastpix.commands" and
are loaded when they are named, so that the SDK alone has a working (if short) program.
"""

from importlib import metadata

import click

GROUP = "fastpix.commands"


class InstalledCommands(click.Group):
    """Finds commands by their entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(point.name for point in metadata.entry_points(group=GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for point in metadata.entry_points(group=GROUP, name=cmd_name):
            try:
                command = point.load()
            except ModuleNotFoundError:
                return _not_installed(cmd_name)
            return command if isinstance(command, click.Command) else None
        return super().get_command(ctx, cmd_name)


def _not_installed(name: str) -> click.Command:
    """The command is known, its libraries are not there: say what to install."""

    @click.command(name, short_help="(needs the server: pip install 'fastpix[server]')", add_help_option=False)
    @click.argument("_rest", nargs=-1, type=click.UNPROCESSED)
    def explain(_rest: tuple[str, ...]) -> None:
        raise click.ClickException(f"`fastpix {name}` needs the server: pip install 'fastpix[server]'")

    return explain


@click.group(cls=InstalledCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fastpix")
def main() -> None:
    """fastpix: a self-hosted video platform that speaks the FastPix API."""
