"""The class of all commands of the client: options that each has, help that ends with examples, errors in one line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from fastpix.commands import failing, words
from fastpix.commands.session import LIMIT, LIMIT_MAX, PAGE_MAX, Session

F = TypeVar("F", bound=Callable[..., Any])

SENTENCE_MAX_CHARS = 200


def epilog(*examples: str) -> str:
    """The end of a help text. Every command of the program has one, and a test parses each example."""
    return "\b\n" + "\n".join(
        ["Example:" if len(examples) == 1 else "Examples:", *(f"  $ {line}" for line in examples)]
    )


def write_examples(written: str | None, formatter: click.HelpFormatter) -> None:
    """An epilog at the margin, where the other headings are."""
    if written:
        formatter.write_paragraph()
        formatter.write("\n".join(written.splitlines()[1:]) + "\n")


class ClientCommand(click.Command):
    """`example` is one command line or several. An `is_offline` command sends nothing and has no options for it."""

    def __init__(
        self, *args: Any, example: str | Sequence[str], is_offline: bool = False, has_json: bool = True, **kwargs: Any
    ) -> None:
        examples = [example] if isinstance(example, str) else list(example)
        super().__init__(*args, **{**kwargs, "epilog": epilog(*examples)})
        self._common = _common(is_offline=is_offline, has_json=has_json)
        self.params += self._common

    def invoke(self, ctx: click.Context) -> Any:
        given = {name: ctx.params.pop(name, None) for name in ("base_url", "credentials", "is_json", "field")}
        is_json = bool(given.pop("is_json"))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a title in letters that the locale lacks is no failure
        session = Session(is_json=is_json, **given)
        ctx.obj = session
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(failing.INTERRUPTED)
        except BrokenPipeError:
            # Python flushes stdout once more at the end, which would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(failing.BROKEN_PIPE)
        except Exception as fault:
            failure = failing.understood(fault)
            failure.tell(is_json=is_json)
            ctx.exit(failure.exit_code)
        finally:
            session.close()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What is special to the command first."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        shared = [*self._common, *(option for option in options if "--help" in option.opts)]
        own = [row for option in options if option not in shared and (row := option.get_help_record(ctx))]
        common = [row for option in shared if (row := option.get_help_record(ctx))]
        for title, found in (("Options", own), ("Common options", common)):
            if found:
                with formatter.section(title):
                    formatter.write_dl(found)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.epilog, formatter)


class ClientGroup(click.Group):
    """Its commands are of the client."""

    command_class = ClientCommand
    group_class = type

    def __init__(self, *args: Any, example: str, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "epilog": epilog(example)})

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A group has no option but --help: its commands are what matters."""
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with its whole first sentence."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, found.get_short_help_str(SENTENCE_MAX_CHARS)) for name, found in sorted(self.commands.items())]
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.epilog, formatter)


def _common(*, is_offline: bool, has_json: bool) -> list[click.Parameter]:
    made: list[click.Parameter] = []
    if has_json:
        made += [
            click.Option(["--json", "is_json"], is_flag=True, help="Print the API's data as JSON."),
            click.Option(
                ["--field"], metavar="PATH", help="Of the JSON only this value: id, playbackIds.0.id, 0.title."
            ),
        ]
    if not is_offline:
        made += [
            click.Option(
                ["--base-url"],
                metavar="URL",
                help="The API to ask, such as http://127.0.0.1:8080/v1. Default: FASTPIX_BASE_URL.",
            ),
            click.Option(
                ["--credentials"],
                metavar="FILE",
                type=click.Path(dir_okay=False),
                help="A file as `fastpix credentials` prints it. Default: FASTPIX_USERNAME and FASTPIX_PASSWORD, else"
                " those of the platform in ./fastpix-data.",
            ),
        ]
    return made


def limit(function: F) -> F:
    """Of lists."""
    return click.option(
        "--limit",
        type=click.IntRange(1, LIMIT_MAX),
        default=LIMIT,
        show_default=True,
        help="At most so many, over as many pages as it takes.",
    )(function)


def few(function: F) -> F:
    """Of lists that the API gives no second page of."""
    return click.option(
        "--limit", type=click.IntRange(1, PAGE_MAX), default=LIMIT, show_default=True, help="At most so many."
    )(function)


def sure(function: F) -> F:
    """Of commands that cannot be undone."""
    return click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask whether you are sure.")(function)


def metadata(function: F) -> F:
    """Your own words on an object."""
    return click.option(
        "--metadata",
        multiple=True,
        metavar="KEY=VALUE",
        callback=lambda _ctx, _param, pairs: _pairs(pairs),
        help="Your own words about it; repeat it for several. On updates they replace those that are there.",
    )(function)


def _pairs(texts: Sequence[str]) -> dict[str, str] | None:
    made = {}
    for one in texts:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{one!r} is not KEY=VALUE")
        made[key] = value
    return made or None


def making(function: F) -> F:
    """How a media is made; settings_of() gives the client's arguments, with --creator-id and --metadata."""
    return with_options(
        function,
        click.option(
            "--access", type=click.Choice(words.ACCESS_POLICIES), default="public", help="Who may play it: public."
        ),
        click.option(
            "--max-resolution", type=click.Choice(words.RESOLUTIONS), help="The highest picture that is made."
        ),
        click.option("--quality", type=click.Choice(words.QUALITIES), help="How much is spent on the picture."),
        click.option("--mp4", type=click.Choice(words.UPLOAD_MP4_SUPPORTS), help="Files that are made to download."),
        click.option("--source-access", is_flag=True, help="The original file can be downloaded."),
        click.option("--even-loudness", is_flag=True, help="Bring the sound to the usual loudness."),
    )


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is not asked for is left to the server."""
    return {
        "access_policy": options["access"],
        "creator_id": options["creator_id"],
        "metadata": options["metadata"],
        "max_resolution": options["max_resolution"],
        "media_quality": options["quality"],
        "mp4_support": options["mp4"],
        "source_access": options["source_access"] or None,
        "optimize_audio": options["even_loudness"] or None,
    }


def with_options(function: F, *options: Callable[[F], F]) -> F:
    """As decorators above each other, the first on top."""
    for option in reversed(options):
        function = option(function)
    return function


def rules(function: F) -> F:
    """Who may play: the arguments of `update_domains` and the like."""
    return with_options(
        function,
        click.option(
            "--default",
            "default_policy",
            type=click.Choice(words.RULE_POLICIES),
            default="allow",
            show_default=True,
            help="For whoever is not named: with deny only --allow counts, with allow only --deny.",
        ),
        click.option("--allow", multiple=True, help="May play it; repeat it for several."),
        click.option("--deny", multiple=True, help="May not play it; repeat it for several."),
    )
