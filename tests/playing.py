"""Playback without the API: an edge and any number of segment makers over one database and folder, in this process."""

import asyncio
import contextlib
import dataclasses
import inspect
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path

import aiohttp
import httpx
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import ASGIApp

from fastpix_server.app.secrets import Keys
from fastpix_server.base import ids
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.edge.app import create_edge
from fastpix_server.edge.context import EdgeContext
from fastpix_server.edge.licence_servers import LicenceServers
from fastpix_server.edge.origin_auth import OriginAuth
from fastpix_server.edge.origins import Origins
from fastpix_server.engine.plan import Plan
from fastpix_server.playback import content_keys, service
from fastpix_server.playback.model import AccessPolicy
from fastpix_server.playback.signed_path import PathKeys
from fastpix_server.playback.worker import SegmentMaker
from fastpix_server.storage.open import Storage, open_store

# Edges and workers of one stage are one installation.
PATH_KEYS = PathKeys(bytes(32))
MASTER = Keys(bytes(32))
ORIGIN_KEY = bytes(range(32))


@dataclasses.dataclass
class Published:
    media_id: str
    playback_id: str
    plan: Plan

    workspace_id: str = ""

    def url(self, rendition: str, name: str) -> str:
        return f"/{self.playback_id}/{self.plan.revision}/{rendition}/{name}"


class Playing:
    """Made by `playing`. `client` speaks to the first edge without a network."""

    def __init__(self, url: str, folder: Path, db: Database, storage: Storage) -> None:
        self.url = url
        self.folder = folder
        self.db = db
        self.storage = storage
        self._stack = contextlib.AsyncExitStack()

    async def edge(self, *, wait_s: float = 100.0, licences: LicenceServers | None = None) -> httpx.AsyncClient:
        """One more edge process, as far as anything can tell."""
        app = await self.edge_app(wait_s=wait_s, licences=licences)
        transport = httpx.ASGITransport(app)
        client = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://edge", timeout=60)
        )
        # Keeps no cookies: what a test sends is what it says.
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return client

    async def edge_app(  # type: ignore[no-untyped-def]
        self, *, wait_s: float = 100.0, licences: LicenceServers | None = None
    ):
        listener = Listener(self.url)
        asking = await self._stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        app = create_edge(
            EdgeContext(
                db=self.db,
                listener=listener,
                storage=self.storage,
                public_url="http://edge",
                path_keys=PATH_KEYS,
                licences=licences or LicenceServers(),
                segment_wait_s=wait_s,
                origins=Origins(asking, OriginAuth(ORIGIN_KEY), self.db),
            )
        )
        await listener.start()
        self._stack.push_async_callback(listener.close)
        return app

    async def serve(self, wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> str:
        """A real HTTP server around a new edge; its base URL. `wrap` may stand in front of it and look."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = Server(wrap(await self.edge_app()), address="127.0.0.1", port=port, interface=Interfaces.ASGI)
        task = asyncio.create_task(server.serve())

        async def stop() -> None:
            server.stop()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(task, 5)

        self._stack.push_async_callback(stop)
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient() as client:
            for _ in range(1200):
                with contextlib.suppress(httpx.TransportError):
                    await client.get(base + "/")
                    return base
                await asyncio.sleep(0.05)
        raise AssertionError("the server did not start")

    async def maker(self, **options: object) -> SegmentMaker:
        """One more worker."""
        listener = Listener(self.url)
        options = {"machine_folder": self.folder, "max_runners": 4, **options}
        maker = SegmentMaker(self.db, listener, self.storage, **options)  # type: ignore[arg-type]
        await listener.start()
        self._stack.push_async_callback(listener.close)
        task = asyncio.create_task(maker.run())

        async def stop() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(stop)
        return maker

    async def publish(
        self,
        source: Path,
        plan: Plan,
        *,
        resolution: str | None = None,
        access_policy: AccessPolicy = "public",
        restrictions: dict[str, object] | None = None,
        workspace_id: str | None = None,
        others: Sequence[Path] = (),
    ) -> Published:
        media_id, workspace_id = ids.new_uuid(), workspace_id or ids.new_uuid()
        key = f"sources/{media_id}/original"
        await self.storage.objects.put(key, source.read_bytes())
        other_keys = [f"sources/{media_id}/{position}" for position in range(1, len(others) + 1)]
        for other_key, path in zip(other_keys, others, strict=True):
            await self.storage.objects.put(other_key, path.read_bytes())
        async with self.db.unit() as tx:
            await service.publish(
                tx,
                target_id=media_id,
                workspace_id=workspace_id,
                source_key=key,
                other_source_keys=other_keys,
                place=f"media/{media_id}/{plan.revision}",
                plan=plan,
            )
            playback_id = await service.create_id(
                tx,
                workspace_id=workspace_id,
                target_id=media_id,
                access_policy=access_policy,
                access_restrictions=restrictions,
                resolution=resolution,
            )
        return Published(media_id, playback_id.id, plan, workspace_id)

    async def stored(self, published: Published) -> dict[str, int]:
        """Sizes of what is stored below the target's place, by the rest of the key."""
        place = f"media/{published.media_id}/{published.plan.revision}"
        return {key[len(place) + 1 :]: size for key, size in (await self.storage.objects.list_sizes(place)).items()}

    async def close(self) -> None:
        await self._stack.aclose()


async def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """`condition` may be a coroutine function."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = condition()
            if (await result) if inspect.isawaitable(result) else result:
                return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def playing(url: str, folder: Path) -> AsyncIterator[Playing]:
    db = await Database.open(url, size=8)
    storage = open_store(f"file://{folder}/objects", {}, folder / "work")
    content_keys.configure(MASTER)
    made = Playing(url, folder, db, storage)
    try:
        yield made
    finally:
        await made.close()
        await db.close()
