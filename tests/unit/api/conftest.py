"""The API as it is mounted, over a fresh PostgreSQL and a real object folder; requests go through its whole stack."""

import asyncio
import dataclasses
import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.playing import MASTER

from fastpix_server.access import service as access
from fastpix_server.api.app import create_api, equip
from fastpix_server.api.context import ApiContext
from fastpix_server.db.pool import Database
from fastpix_server.playback import content_keys
from fastpix_server.storage.open import open_store
from fastpix_server.views.alerts import service as alerts
from fastpix_server.webhooks import service as webhooks

PEPPER = b"pepper of the tests"
USERNAME = "7a1cf1a2-51c2-4f2c-9df9-1b1bb0c43f00"
PASSWORD = "a secret of the tests"
VIDEO = {"inputs": [{"type": "video", "url": "https://example.com/video.mp4"}]}


@dataclasses.dataclass
class Api:
    http: httpx.AsyncClient
    db: Database
    context: ApiContext
    workspace_id: str

    async def create(self, **options: object) -> dict[str, object]:
        answer = await self.http.post("/on-demand", json={**VIDEO, **options})
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    def other(self, username: str, password: str) -> httpx.AsyncClient:
        return client_of(self.context, username, password)


def client_of(context: ApiContext, username: str, password: str) -> httpx.AsyncClient:
    """Of an API that remembers nothing of earlier clients."""
    app = one_api()
    equip(app, context)
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/v1", app)]))
    return httpx.AsyncClient(transport=transport, base_url="http://test/v1", auth=(username, password))


@functools.cache
def one_api() -> FastAPI:
    """One for all tests, whatever its context: putting the routes together takes longer than most tests here."""
    return create_api(ApiContext(**dict.fromkeys(("db", "storage"), None), pepper=PEPPER, public_url="http://test"))


@pytest.fixture(autouse=True)
def _sealing() -> None:
    """What wiring does for every process of the platform."""
    content_keys.configure(MASTER)
    alerts.configure(MASTER)
    webhooks.configure(MASTER)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, size=8)
    yield opened
    await opened.close()


@pytest.fixture
async def context(db: Database, tmp_path: Path) -> ApiContext:
    storage = open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")
    return ApiContext(
        db=db, storage=storage, pepper=PEPPER, public_url="http://test", rate_per_s=10_000, rate_burst=10_000
    )


@pytest.fixture
async def api(context: ApiContext) -> AsyncIterator[Api]:
    async with context.db.unit() as tx:
        workspace = await access.ensure_first(tx, pepper=PEPPER, username=USERNAME, password=PASSWORD)
    async with client_of(context, USERNAME, PASSWORD) as http:
        yield Api(http, context.db, context, workspace.id)


@pytest.fixture
def fuzzed(database_url: str, tmp_path: Path) -> Iterator[tuple[asyncio.AbstractEventLoop, httpx.AsyncClient, str]]:
    """One API for many generated requests of one test: a loop to run them on, a client, and a media."""
    loop = asyncio.new_event_loop()
    db = loop.run_until_complete(Database.open(database_url, size=4))
    storage = open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")
    context = ApiContext(
        db=db, storage=storage, pepper=PEPPER, public_url="http://test", rate_per_s=10_000, rate_burst=10_000
    )

    async def first_media() -> tuple[httpx.AsyncClient, str]:
        async with db.unit() as tx:
            await access.ensure_first(tx, pepper=PEPPER, username=USERNAME, password=PASSWORD)
        http = client_of(context, USERNAME, PASSWORD)
        return http, (await http.post("/on-demand", json=VIDEO)).json()["data"]["id"]

    http, media_id = loop.run_until_complete(first_media())
    yield loop, http, media_id
    loop.run_until_complete(http.aclose())
    loop.run_until_complete(db.close())
    loop.close()
