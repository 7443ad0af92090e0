# Made from _async/api.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""What every group of operations stands on: ask for an operation, get a typed value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastpix import answers
from fastpix._sync.http import Http
from fastpix._sync.pages import Pages
from fastpix.answers import Envelope, Page
from fastpix.asking import Request, Value, request
from fastpix.operations import Operation
from fastpix.options import Options
from fastpix.types import Done

T = TypeVar("T")


class Api:
    """A connection and the options of its user."""

    def __init__(self, http: Http, options: Options) -> None:
        self.http = http
        self.options = options

    def call(
        self,
        operation: Operation,
        kind: type[T],
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        body: Any = None,
    ) -> T:
        """The `data` of the answer."""
        return (self.envelope(operation, kind, path=path, query=query, body=body)).data

    def envelope(
        self,
        operation: Operation,
        kind: type[T],
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        body: Any = None,
    ) -> Envelope[T]:
        asked = request(operation, path, query, body)
        return answers.read(self.http.ask(asked, self.options), kind)

    def do(
        self,
        operation: Operation,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        body: Any = None,
    ) -> Done:
        """For operations whose answer is that it is done, with or without `data`."""
        arrived = self.http.ask(request(operation, path, query, body), self.options)
        return answers.done(arrived)

    def send(self, asked: Request) -> answers.Arrived:
        return self.http.ask(asked, self.options)

    def list(
        self,
        operation: Operation,
        kind: type[T],
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        limit: int | None = None,
        page: int = 1,
    ) -> Pages[T]:
        """Pages of `limit` items, from number `page` on. `path` is checked at once."""
        request(operation, path)

        def ask(number: int) -> Page[T]:
            asked: dict[str, Value] = {**(query or {}), "limit": limit, "offset": number}
            found = self.envelope(operation, tuple[kind, ...], path=path, query=asked)  # type: ignore[valid-type]
            return Page(found.data, found.pagination, found.timespan)

        return Pages(ask, page)
