"""Every command explains itself, and what it shows as an example is accepted."""

import inspect
import shlex
import subprocess
import sys
from typing import get_args

import click
import pytest
from tools import make_cli_reference as reference

from fastpix import cli
from fastpix.commands import words
from fastpix.commands.command import ClientCommand
from fastpix.types.base import RulePolicy

COMMANDS = reference.everything()
PATHS = [context.command_path for _command, context in COMMANDS]
# The files that examples name; their contents do not matter.
FILES = (
    "holiday.mp4",
    "body.json",
    "hook.secret",
    "key.pem",
    "channel.key",
    "5b1f0c9e-3d74-4b26-9f0a-8e2d6c7a1b35.pem",
)


def test_there_is_a_command_for_every_area():
    leaves = [path for (command, _context), path in zip(COMMANDS, PATHS, strict=True) if not is_group(command)]
    assert len(leaves) > 90
    assert {path.split()[1] for path in leaves} >= set(cli.CLIENT) | {"up", "credentials", "workspace"}


@pytest.mark.parametrize(("command", "context"), COMMANDS, ids=PATHS)
def test_a_command_has_help_documented_options_and_an_example(command: click.Command, context: click.Context):
    help_text = command.get_help(context)
    assert len(inspect.cleandoc(command.help or "").split()) >= 4
    assert [o.opts for o in command.params if isinstance(o, click.Option) and not (o.help or "").strip()] == []
    shown = reference.examples(command)
    assert shown
    assert help_text.rstrip().endswith(shown[-1])
    for argument in (p for p in command.params if isinstance(p, click.Argument)):
        assert str(argument.make_metavar(context)).strip("[].").split(".")[0] in help_text


@pytest.mark.parametrize(("command", "context"), COMMANDS, ids=PATHS)
def test_the_examples_of_a_command_parse(command: click.Command, context: click.Context, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).touch()
    own = 0
    for line in reference.examples(command):
        program, *args = shlex.split(line.split(" > ")[0])
        assert program == "fastpix"
        found = parsed(args)
        own += found.command_path == context.command_path or is_group(command)
    assert own, "an example of another command"


def parsed(args: list[str]) -> click.Context:
    """The context of the command that would run; a UsageError when it is typed wrongly."""
    context = cli.main.make_context("fastpix", list(args))
    while isinstance(context.command, click.Group):
        # What click's own dispatch does, without running anything.
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context


def is_group(command: click.Command) -> bool:
    return isinstance(command, click.Group)


def test_the_reference_is_made_from_the_commands():
    assert reference.PAGE.read_text() == reference.page(), "run: python -m tools.make_cli_reference"


def test_the_words_of_options_are_those_of_the_client():
    from fastpix._sync import live_streams, playlists, tracks, webhooks
    from fastpix.types import access, base, data

    assert get_args(base.AccessPolicy) == words.ACCESS_POLICIES
    assert get_args(base.Resolution) == words.RESOLUTIONS
    assert get_args(base.MediaQuality) == words.QUALITIES
    assert get_args(base.Mp4Support) == words.MP4_SUPPORTS
    assert get_args(base.SortOrder) == words.ORDERS
    assert get_args(RulePolicy) == words.RULE_POLICIES
    assert get_args(access.Permission) == words.PERMISSIONS
    assert get_args(data.Measurement) == words.MEASUREMENTS
    assert get_args(data.Interval) == words.INTERVALS
    assert get_args(data.Metric) == words.METRICS
    spelled = {
        live_streams.LiveStreamsOperations.create: {
            **dict.fromkeys(words.LIVE_RESOLUTIONS),
            **dict.fromkeys(words.LIVE_POLICIES),
        },
        tracks.TracksOperations.create: dict.fromkeys(words.TRACK_KINDS),
        playlists.PlaylistsOperations.create: dict.fromkeys(words.PLAY_ORDERS),
        webhooks.WebhooksOperations.list_deliveries: dict.fromkeys(words.DELIVERY_STATES),
    }
    for method, expected in spelled.items():
        signature = str(inspect.signature(method))
        assert [word for word in expected if f"'{word}'" not in signature] == []


def test_help_loads_nothing_heavy_and_nothing_of_the_server():
    heavy = ("httpx", "msgspec", "asyncio", "cryptography", "fastpix_server", "fastpix._sync", "fastpix.types")
    script = (
        "import sys, click\nfrom fastpix import cli\n"
        "context = click.Context(cli.main)\n"
        "for name in cli.CLIENT: cli.main.get_command(context, name).get_help(context)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_commands_of_the_client_end_with_what_they_share():
    for command, context in COMMANDS:
        if isinstance(command, ClientCommand):
            assert "Common options:" in command.get_help(context), context.command_path
