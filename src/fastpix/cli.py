"""The `fastpix` program: a group whose commands come from the client and from whatever is installed beside it.

Invariants: it imports nothing of the server; commands of the client are known by name here and are loaded when they are
named, those of others arrive through the entry points of group "fastpix.commands", so that the SDK alone has a working
program. A name of the client wins over an entry point of the same name (`token`, which finds the server's by itself).
"""

import functools
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from importlib import metadata

GROUP = "fastpix.commands"
SERVER_PYTHON = (3, 11)
SERVER_NEEDS = ("sqlalchemy", "procrastinate")  # two that nobody has by chance
HELP_MAX_CHARS = 200  # of a command in a list, which wraps: half a sentence helps nobody
CLIENT = ("upload", "media", "live", "playlist", "key", "data", "webhook", "token", "demo", "completion")


class InstalledCommands(click.Group):
    """Finds commands by name, or by their entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *CLIENT, *installed()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in CLIENT:
            found: click.Command = getattr(import_module(f"{GROUP}.{cmd_name}"), cmd_name)
            return found
        point = installed().get(cmd_name)
        if point is None:
            return super().get_command(ctx, cmd_name)
        if not has_server():
            return _not_installed(cmd_name)
        try:
            command = point.load()
        except ModuleNotFoundError:
            return _not_installed(cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        import_module(f"{GROUP}.command").write_examples(self.epilog, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The client's in the order of use, then the server's."""
        others = [name for name in self.list_commands(ctx) if name not in CLIENT]
        found = {name: self.get_command(ctx, name) for name in (*CLIENT, *others)}
        for title, names in (("Commands", CLIENT), ("Commands of the server", others)):
            rows = [(name, command.get_short_help_str(HELP_MAX_CHARS)) for name in names if (command := found[name])]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@functools.cache
def installed() -> "dict[str, metadata.EntryPoint]":
    """Commands of others, by name. Looked for once: it reads a file of every installed package."""
    from importlib import metadata  # slow to load, and not needed to run a command of the client

    return {point.name: point for point in metadata.entry_points(group=GROUP)}


@functools.cache
def has_server() -> bool:
    """Whether what the server needs is here: its own modules always are, since one package carries both."""
    from importlib.util import find_spec

    return sys.version_info >= SERVER_PYTHON and all(find_spec(name) for name in SERVER_NEEDS)


def _not_installed(name: str) -> click.Command:
    """The command is known, its libraries are not there: say what to install."""

    needed = "the server: pip install 'fastpix[server]'"
    if sys.version_info < SERVER_PYTHON:
        needed = f"the server, which needs Python {'.'.join(map(str, SERVER_PYTHON))} or newer"

    @click.command(name, short_help=f"(needs {needed})", add_help_option=False)
    @click.argument("_rest", nargs=-1, type=click.UNPROCESSED)
    def explain(_rest: tuple[str, ...]) -> None:
        raise click.ClickException(f"`fastpix {name}` needs {needed}")

    return explain


@click.group(
    cls=InstalledCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExamples:\n  $ fastpix upload holiday.mp4\n  $ fastpix live create --print-obs\n  $ fastpix up",
)
@click.version_option(package_name="fastpix")
def main() -> None:
    """fastpix: a self-hosted video platform that speaks the FastPix API.

    Commands ask the API of FASTPIX_BASE_URL as FASTPIX_USERNAME and FASTPIX_PASSWORD, or the platform whose data
    folder is ./fastpix-data.
    """
