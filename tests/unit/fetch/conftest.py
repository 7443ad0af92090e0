"""Downloads from real, and really misbehaving, servers on the loopback address, which the tests' policy allows."""

import asyncio
import contextlib
import dataclasses
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from fastpix_server.access import service as access
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.pool import Database
from fastpix_server.media import service, store
from fastpix_server.media.fetch import FetchLimits, MediaFetch
from fastpix_server.media.model import Media
from fastpix_server.media.schemas import CreateMedia
from fastpix_server.storage.open import Storage, open_store

LOOPBACK = AddressPolicy((ipaddress.IPv4Network("127.0.0.0/8"),))
QUICK = FetchLimits(
    max_size_bytes=20_000_000,
    total_s=60,
    connect_s=10,
    idle_s=2,  # a busy machine is silent for half a second without meaning it
    pace_window_s=1,
    pace_min_bytes=1000,
    tries=3,
    backoff_s=0.01,
    wait_max_s=0.2,
    busy_poll_s=0.1,
)


@dataclasses.dataclass
class Fetching:
    """A database, a storage and the handler, with what tests ask about."""

    db: Database
    storage: Storage
    workspace_id: str
    limits: FetchLimits = QUICK
    policy: AddressPolicy = LOOPBACK

    async def create(self, url: str) -> str:
        request = CreateMedia.model_validate({"inputs": [{"type": "video", "url": url}]})
        async with self.db.unit() as tx:
            return (await service.create_from_url(tx, self.workspace_id, request)).id

    async def run(self, media_id: str) -> Media:
        await MediaFetch(self.db, self.storage, self.policy, self.limits).fetch(media_id)
        return await self.media(media_id)

    async def fetch(self, url: str) -> Media:
        return await self.run(await self.create(url))

    async def media(self, media_id: str) -> Media:
        async with self.db.unit() as tx:
            found = await store.find(tx, media_id)
        assert found is not None
        return found

    async def source(self, media: Media) -> bytes:
        return await self.storage.objects.get(service.source_key(media.id))

    async def prepare_jobs(self, media_id: str) -> int:
        async with self.db.unit() as tx:
            result = await tx.execute(
                text(
                    "select count(*) from procrastinate_jobs where task_name = 'media.prepare'"
                    " and args ->> 'media_id' = :id"
                ),
                {"id": media_id},
            )
            return int(result.scalar_one())

    async def leftovers(self, media_id: str) -> int:
        """Bytes in staging and rows of progress that should be gone."""
        async with self.db.unit() as tx:
            rows = await tx.execute(text("select count(*) from media_fetches where media_id = :id"), {"id": media_id})
            return int(rows.scalar_one()) + await self.storage.staging.size(media_id)


@pytest.fixture
async def fetching(database_url: str, tmp_path: Path) -> AsyncIterator[Fetching]:
    db = await Database.open(database_url, size=4)
    async with db.unit() as tx:
        workspace = await access.ensure_first(tx, pepper=b"p", username="someone", password="secret")
    yield Fetching(db, open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work"), workspace.id)
    await db.close()


@dataclasses.dataclass
class Seen:
    """One request as the server got it."""

    target: str
    headers: dict[str, str]


Talk = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


class Origin:
    """A server that says exactly what the test writes, byte by byte; a connection per request."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.talks: list[Talk] = []  # one per request; the last one repeats
        self.port = 0

    def url(self, path: str = "/clip.mp4") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            seen = Seen(head[0].split(" ")[1], headers)
            self.seen.append(seen)
            talk = self.talks[min(len(self.seen), len(self.talks)) - 1]
            await talk(seen, writer)
            await writer.drain()
        writer.close()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    found = Origin()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


def answer(status: str, body: bytes = b"", **headers: str) -> Talk:
    """A complete answer; `headers` are written with `_` for `-`. Content-Length is the body's unless given."""

    async def talk(_: Seen, writer: asyncio.StreamWriter) -> None:
        lines = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)

    return talk


def ranged(file: bytes, *, etag: str | None = '"v1"', stop_after: int | None = None) -> Talk:
    """An honest server of `file` that knows Range and If-Range; `stop_after` breaks the connection in the body."""

    async def talk(seen: Seen, writer: asyncio.StreamWriter) -> None:
        first = 0
        if "range" in seen.headers and seen.headers.get("if-range", etag) == etag:
            first = int(seen.headers["range"].removeprefix("bytes=").rstrip("-"))
        body = file[first:]
        status = "206 Partial Content" if first else "200 OK"
        extra = {"Content_Range": f"bytes {first}-{len(file) - 1}/{len(file)}"} if first else {}
        sent = body if stop_after is None else body[:stop_after]
        await answer(status, sent, ETag=etag or "", **extra, Content_Length=str(len(body)))(seen, writer)

    return talk
