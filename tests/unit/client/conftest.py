"""Both clients against a server that follows a script."""

import inspect
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from tests.unit.client.scripted import Answer, Scripted

from fastpix import AsyncFastPix, FastPix, Retries

QUICK = Retries(attempts=4, first_wait_s=0.001, max_wait_s=0.01)
# Loading certificates is most of making a client, and nothing here speaks TLS.
TLS = ssl.create_default_context()


class Both:
    """One of the two clients; `call` and `items` read the same for either."""

    def __init__(self, client: FastPix | AsyncFastPix) -> None:
        self.client: Any = client

    def method(self, name: str) -> Any:
        """`media.get` of the client."""
        found: Any = self.client
        for part in name.split("."):
            found = getattr(found, part)
        return found

    async def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        """What it returns; of a list, its first page."""
        made = method(*args, **kwargs)
        if hasattr(made, "pages"):
            made = made.page()
        return await made if inspect.isawaitable(made) else made

    async def items(self, pages: Any) -> list[Any]:
        if hasattr(pages, "__aiter__"):
            return [item async for item in pages]
        return list(pages)


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.close()


@pytest.fixture(params=["sync", "async"])
async def both(request: pytest.FixtureRequest, server: Scripted) -> AsyncIterator[Both]:
    given: dict[str, Any] = {"username": "u", "password": "p", "base_url": server.url, "retries": QUICK}
    server.script()
    server.otherwise = lambda asked: Answer()
    if request.param == "sync":
        with httpx.Client(verify=TLS) as sync_http, FastPix(**given, http_client=sync_http) as client:
            yield Both(client)
    else:
        async with httpx.AsyncClient(verify=TLS) as http, AsyncFastPix(**given, http_client=http) as async_client:
            yield Both(async_client)
