"""What every command of the client has: a connection that is made when it is needed, and a way to show answers.

Invariants: `--json` prints the `data` of the API's answers and nothing else on stdout; everything else that is said
while a command runs goes to stderr; a question is asked only where somebody can answer.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import click

from fastpix.commands import access, screen, table, text
from fastpix.commands.screen import Screen
from fastpix.commands.table import Column

if TYPE_CHECKING:
    from fastpix import FastPix
    from fastpix._sync.pages import Pages

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., None])

PAGE_MAX = 50  # of the API
ATTEMPTS = 3  # somebody waits: a server that is down is told after two seconds
RETRY_AFTER_MAX_S = 30.0


class Session:
    """`is_json`: for programs. `field`: of the JSON only the value at this path."""

    def __init__(
        self,
        *,
        base_url: str | None = None,
        credentials: str | None = None,
        is_json: bool = False,
        field: str | None = None,
    ) -> None:
        self.asked = (base_url, credentials)
        self.is_json = is_json or field is not None
        self._field = field

    @functools.cached_property
    def client(self) -> FastPix:
        from fastpix import FastPix, Retries

        found = access.find(*self.asked)
        if found.username is None:
            # Its own words name arguments of Python.
            _require_environment()
        return FastPix(
            username=found.username,
            password=found.password,
            base_url=found.base_url,
            retries=Retries(attempts=ATTEMPTS, max_retry_after_s=RETRY_AFTER_MAX_S),
        )

    @functools.cached_property
    def screen(self) -> Screen:
        return screen.of(sys.stdout)

    def close(self) -> None:
        if "client" in vars(self):
            self.client.close()

    # -- asking ---------------------------------------------------------------------------------------------------

    def data(self, method: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Any:
        """The `data` of the answer, as it came; an empty object where there is none."""
        return self.parsed(self.client.raw(method, *args, **kwargs).body)

    @staticmethod
    def parsed(body: bytes) -> Any:
        """The `data` in the bytes of an answer."""
        if not body:
            return {}
        answer = json.loads(body)
        return answer.get("data", {}) if isinstance(answer, dict) else {}

    def items(self, pages: Pages[Any], limit: int) -> tuple[list[Any], int]:
        """At most `limit` items of a list, as they came, and how many there are."""
        from fastpix import answers

        found: list[Any] = []
        total = 0
        asked = pages.pages()
        while len(found) < limit:
            with answers.keeping() as kept:
                page = next(asked, None)
            if page is None:
                break
            items = self.parsed(kept[-1].body)
            found += items if isinstance(items, list) else []
            total = page.pagination.total_records
        return found[:limit], max(total, len(found))

    @staticmethod
    def page_size(limit: int) -> int:
        """Of each page, when `limit` items are wanted."""
        return min(limit, PAGE_MAX)

    @staticmethod
    def require_change(options: Mapping[str, Any]) -> None:
        """An update that changes nothing is a mistake of whoever typed it."""
        if all(value is None for value in options.values()):
            raise click.UsageError("Say what to change; --help lists the options")

    # -- showing --------------------------------------------------------------------------------------------------

    def say(self, *lines: str) -> None:
        """On stdout, for people."""
        for line in lines:
            click.echo(line)

    def note(self, line: str) -> None:
        """On stderr; a program is not told."""
        if not self.is_json:
            click.echo(line, err=True)

    def json(self, data: Any) -> None:
        if self._field is not None:
            data = _at(data, self._field)
            if isinstance(data, str):
                # As it is, for a shell's variable or a file; a terminal is not to act upon it.
                lines = [text.clean(line) if line else "" for line in data.splitlines()]
                click.echo("\n".join(lines) if self.screen.is_terminal else data)
                return
        click.echo(json.dumps(data, indent=2))

    def object(
        self,
        data: Any,
        *,
        first: Sequence[str] = (),
        hidden: Sequence[str] = (),
        tables: Mapping[str, Sequence[Column]] | None = None,
    ) -> None:
        """An object whole, as `table.details` shows it."""
        if self.is_json:
            self.json(data)
            return
        known = data if isinstance(data, Mapping) else {}
        self.say(*table.details(known, self.screen, first=first, hidden=hidden, tables=tables))

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """`name  value`, a line each, for people."""
        self.say(*table.facts(pairs, self.screen))

    def done(self, data: Any, sentence: str) -> None:
        """What was changed, in a sentence."""
        if self.is_json:
            self.json(data)
        else:
            self.say(sentence)

    def table(self, rows: Sequence[Any], columns: Sequence[Column], *, nothing: str) -> None:
        """A list without pages."""
        if self.is_json:
            self.json(rows)
        elif rows:
            self.say(*table.lines([row for row in rows if isinstance(row, Mapping)], columns, self.screen))
        else:
            self.note(nothing)

    def pages(self, pages: Pages[Any], limit: int, columns: Sequence[Column], *, nothing: str) -> None:
        """A list with pages: as many as are wanted, and a note when there are more."""
        rows, total = self.items(pages, limit)
        self.table(rows, columns, nothing=nothing)
        if total > len(rows) and rows:
            self.note(f"{len(rows)} of {total}; more with --limit {min(total, LIMIT_MAX)}")

    # -- asking the person ----------------------------------------------------------------------------------------

    def confirm(self, question: str, *, is_sure: bool) -> None:
        """Before what cannot be undone."""
        if is_sure:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise click.UsageError(f"{question} There is no terminal to ask: add --yes")
        click.confirm(question, abort=True, err=True)


def with_session(function: F) -> F:
    """A command whose first argument is the Session."""
    return cast("F", click.pass_obj(function))


LIMIT = 20
LIMIT_MAX = 10_000


def _at(data: Any, path: str) -> Any:
    """What is at `playbackIds.0.id`."""
    for key in path.split("."):
        if isinstance(data, dict) and key in data:
            data = data[key]
        elif isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            raise click.ClickException(f"There is no {text.clean(path)} in the answer")
    return data


def _require_environment() -> None:
    import os

    from fastpix.errors import NotConfigured

    missing = [name for name in ("FASTPIX_USERNAME", "FASTPIX_PASSWORD") if not os.environ.get(name)]
    if missing:
        raise NotConfigured(
            f"No {'username' if 'FASTPIX_USERNAME' in missing else 'password'}: set {' and '.join(missing)}, or pass"
            " --credentials FILE, or run this where `fastpix up` keeps its data folder"
        )
