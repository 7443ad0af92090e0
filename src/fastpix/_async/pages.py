"""Lists that are asked for page by page, and read as one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from fastpix.answers import Page

T = TypeVar("T")


class AsyncPages(Generic[T]):
    """Every item of a list with `async for`; nothing is asked before that.

    Lists show the newest first: what is made while you read may move an item to the next page, where it appears again.
    """

    def __init__(self, ask: Callable[[int], Awaitable[Page[T]]], first: int) -> None:
        self._ask = ask
        self._first = first

    async def page(self) -> Page[T]:
        """The page that was asked for (`page=`, the first one unless told otherwise), and no more."""
        return await self._ask(self._first)

    async def pages(self) -> AsyncIterator[Page[T]]:
        """Page after page, from the one that was asked for."""
        number = self._first
        while True:
            page = await self._ask(number)
            yield page
            if not page.has_more:
                return
            number += 1

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def all(self, *, limit: int = 10_000) -> list[T]:
        """Every item, at most `limit` of them."""
        found: list[T] = []
        async for item in self:
            found.append(item)
            if len(found) >= limit:
                break
        return found
