# Made from _async/pages.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""Lists that are asked for page by page, and read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from fastpix.answers import Page

T = TypeVar("T")


class Pages(Generic[T]):
    """Every item of a list with `for`; nothing is asked before that.

    Lists show the newest first: what is made while you read may move an item to the next page, where it appears again.
    """

    def __init__(self, ask: Callable[[int], Page[T]], first: int) -> None:
        self._ask = ask
        self._first = first

    def page(self) -> Page[T]:
        """The page that was asked for (`page=`, the first one unless told otherwise), and no more."""
        return self._ask(self._first)

    def pages(self) -> Iterator[Page[T]]:
        """Page after page, from the one that was asked for."""
        number = self._first
        while True:
            page = self._ask(number)
            yield page
            if not page.has_more:
                return
            number += 1

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.items

    def all(self, *, limit: int = 10_000) -> list[T]:
        """Every item, at most `limit` of them."""
        found: list[T] = []
        for item in self:
            found.append(item)
            if len(found) >= limit:
                break
        return found
