"""What every group of operations stands on: ask for an operation, get a typed value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastpix import answers
from fastpix._async.http import AsyncHttp
from fastpix._async.pages import AsyncPages
from fastpix.answers import Envelope, Page
from fastpix.asking import Request, Value, request
from fastpix.operations import Operation
from fastpix.options import Options
from fastpix.types import Done

T = TypeVar("T")


class AsyncApi:
    """A connection and the options of its user."""

    def __init__(self, http: AsyncHttp, options: Options) -> None:
        self.http = http
        self.options = options

    async def call(
        self,
        operation: Operation,
        kind: type[T],
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        body: Any = None,
    ) -> T:
        """The `data` of the answer."""
        return (await self.envelope(operation, kind, path=path, query=query, body=body)).data

    async def envelope(
        self,
        operation: Operation,
        kind: type[T],
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        body: Any = None,
    ) -> Envelope[T]:
        asked = request(operation, path, query, body)
        return answers.read(await self.http.ask(asked, self.options), kind)

    async def do(
        self,
        operation: Operation,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        body: Any = None,
    ) -> Done:
        """For operations whose answer is that it is done, with or without `data`."""
        arrived = await self.http.ask(request(operation, path, query, body), self.options)
        return answers.done(arrived)

    async def send(self, asked: Request) -> answers.Arrived:
        return await self.http.ask(asked, self.options)

    def list(
        self,
        operation: Operation,
        kind: type[T],
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Value] | None = None,
        limit: int | None = None,
        page: int = 1,
    ) -> AsyncPages[T]:
        """Pages of `limit` items, from number `page` on. `path` is checked at once."""
        request(operation, path)

        async def ask(number: int) -> Page[T]:
            asked: dict[str, Value] = {**(query or {}), "limit": limit, "offset": number}
            found = await self.envelope(operation, tuple[kind, ...], path=path, query=asked)  # type: ignore[valid-type]
            return Page(found.data, found.pagination, found.timespan)

        return AsyncPages(ask, page)
