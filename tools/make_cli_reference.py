"""Makes docs/reference/cli.md from the commands themselves: `python -m tools.make_cli_reference`.

A test compares the page with what this makes.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from fastpix import cli
from fastpix.commands import failing
from fastpix.commands.command import ClientCommand

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

HEAD = """# The command line

Made from the commands by `python -m tools.make_cli_reference`. [The guide](../guide/cli.md) shows how they are used.

Every command has `--help`. Those of the client have `--json` and `--field PATH` as well, and where they ask the API
`--base-url URL` and `--credentials FILE`, which the tables leave out.

## Exit codes of the client's commands

"""


def page() -> str:
    table = re.search(r"(^\|.*\n)+", failing.__doc__ or "", re.MULTILINE)
    assert table is not None
    parts = [HEAD + table[0], *_index()]
    context = click.Context(cli.main, info_name="fastpix")
    for title, names in (("Commands", cli.CLIENT), ("Commands of the server", others())):
        parts.append(f"## {title}\n")
        for name in names:
            parts += [_section(command, found) for command, found in walk(name, context)]
    return "\n".join(parts).rstrip() + "\n"


def others() -> list[str]:
    return [name for name in cli.main.list_commands(click.Context(cli.main)) if name not in cli.CLIENT]


def walk(name: str, parent: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all below it, each with the context of its name."""
    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, name)
    assert command is not None, name
    context = click.Context(command, info_name=name, parent=parent)
    yield command, context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from walk(below, context)


def everything() -> list[tuple[click.Command, click.Context]]:
    """Every command of the program."""
    context = click.Context(cli.main, info_name="fastpix")
    return [found for name in (*cli.CLIENT, *others()) for found in walk(name, context)]


def examples(command: click.Command) -> list[str]:
    """The command lines of its help."""
    return re.findall(r"^ *\$ (.+)$", command.epilog or "", re.MULTILINE)


def _index() -> Iterator[str]:
    yield "## Every command in a line\n"
    yield "| command | does |\n|---|---|"
    for command, context in everything():
        if not isinstance(command, click.Group):
            first = _plain(inspect.cleandoc(command.help or "")).split("\n\n")[0]
            yield f"| `{context.command_path}` | {' '.join(first.split())} |".replace("<", "&lt;")
    yield ""


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"### `{context.command_path}`\n", f"```text\n{usage}\n```\n", _text(command)]
    rows = [_row(param, context) for param in command.params if isinstance(param, click.Option) and _is_own(param)]
    if rows:
        parts.append("| option | means |\n|---|---|\n" + "\n".join(rows) + "\n")
    parts.append("```sh\n" + "\n".join(examples(command)) + "\n```\n")
    return "\n".join(parts)


def _is_own(option: click.Option) -> bool:
    return not option.hidden and not {"--json", "--field", "--base-url", "--credentials"} & set(option.opts)


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None, option.name
    name, means = (cell.replace("|", "\\|") for cell in record)
    return f"| `{name}` | {means} |"


def _text(command: click.Command) -> str:
    """Paragraphs as they stand; what click keeps as it is becomes a block."""
    made = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            made.append("```text\n" + paragraph.removeprefix("\b\n") + "\n```")
        else:
            made.append(_plain(paragraph))
    return "\n\n".join(made) + "\n"


def _plain(text: str) -> str:
    return text.replace("\b\n", "")


def is_of_the_client(command: click.Command) -> bool:
    return isinstance(command, ClientCommand)


if __name__ == "__main__":
    PAGE.write_text(page())
