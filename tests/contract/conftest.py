"""The API over a real socket (granian), a real database and store; the official SDK on the other side."""

import asyncio
import dataclasses
import ipaddress
import shutil
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastpix_python import Fastpix, models
from fastpix_python.utils import BackoffStrategy, RetryConfig
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.analytics_role import AnalyticsRole
from tests.web_server import FileServer

from fastpix_server.access import service as access
from fastpix_server.api.app import create_api
from fastpix_server.api.context import ApiContext
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.pool import Database
from fastpix_server.media import service, store
from fastpix_server.media.fetch import MediaFetch
from fastpix_server.media.file_jobs import FileJobs
from fastpix_server.media.jobs import MediaJobs
from fastpix_server.media.track_jobs import TrackJobs
from fastpix_server.storage.open import Storage, open_store
from fastpix_server.views.clickhouse import ClickHouse

PEPPER = b"pepper of the tests"
USERNAME = "7a1cf1a2-51c2-4f2c-9df9-1b1bb0c43f00"
PASSWORD = "a secret of the tests"
# The SDK's own default retries 5xx for an hour; a contract test wants the first answer.
NO_RETRIES = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)


@dataclasses.dataclass
class Service:
    """A running API and the hands of its worker."""

    url: str
    loop: asyncio.AbstractEventLoop
    db: Database
    storage: Storage
    folder: Path
    analytics: AnalyticsRole
    web: FileServer
    web_folder: Path

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def client(self, username: str = USERNAME, password: str = PASSWORD) -> Fastpix:
        return Fastpix(
            security=models.Security(username=username, password=password),
            server_url=f"{self.url}/v1/",
            retry_config=NO_RETRIES,
        )

    def deliver(self, media_id: str, file: Path) -> None:
        """What fetch and prepare do once the bytes of `file` came from the media's URL."""
        self.do(self._deliver(media_id, file))

    def fetch(self, media_id: str) -> None:
        """Fetch and prepare, for media whose bytes are here already."""
        self.do(self._fetch(media_id))

    async def _fetch(self, media_id: str) -> None:
        await MediaFetch(self.db, self.storage, AddressPolicy()).fetch(media_id)
        await MediaJobs(self.db, self.storage, self.folder / "work").prepare(media_id)

    async def _deliver(self, media_id: str, file: Path) -> None:
        incoming = self.folder / "incoming"
        shutil.copyfile(file, incoming)
        await self.storage.objects.put_file(service.source_key(media_id), incoming)
        async with self.db.unit() as tx:
            await service.begin_download(tx, media_id)
            await service.downloaded(tx, media_id, size_bytes=file.stat().st_size)
        await MediaJobs(self.db, self.storage, self.folder / "work").prepare(media_id)

    def serve(self, name: str, content: bytes) -> str:
        """The URL of a file of that content."""
        (self.web_folder / name).write_bytes(content)
        return self.web.url(name)

    def make_track(self, track_id: str) -> None:
        policy = AddressPolicy((ipaddress.IPv4Network("127.0.0.0/8"),))
        self.do(TrackJobs(self.db, self.storage, self.folder / "work", policy).make(track_id, 1))

    def make_files(self, media_id: str) -> None:
        self.do(self._make_files(media_id))

    async def _make_files(self, media_id: str) -> None:
        async with self.db.unit() as tx:
            media = await store.find(tx, media_id)
        assert media is not None
        for file in media.files:
            await FileJobs(self.db, self.storage, self.folder / "work").make(file.id)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def running(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("contract")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    web_folder = folder / "web"
    web_folder.mkdir()
    web = FileServer(web_folder)

    # Started by the tests that need it (`analytics`): it is half a gigabyte of library.
    role = AnalyticsRole(folder / "analytics")
    clickhouse = ClickHouse(role.url)

    async def start() -> tuple[Service, Server, asyncio.Task[None]]:
        db = await Database.open(module_database_url, size=8)
        storage = open_store(f"file://{folder}/objects", {}, folder / "work")
        async with db.unit() as tx:
            await access.ensure_first(tx, pepper=PEPPER, username=USERNAME, password=PASSWORD)
        context = ApiContext(
            db=db,
            storage=storage,
            pepper=PEPPER,
            public_url=url,
            rate_per_s=1000,
            rate_burst=1000,
            video_data=clickhouse,
        )
        app = Starlette(routes=[Mount("/v1", create_api(context))])
        server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False)
        task = asyncio.create_task(server.serve())
        return Service(url, loop, db, storage, folder, role, web, web_folder), server, task

    service_, server, task = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    _wait_until_it_answers(url)
    with web:
        yield service_

    async def stop() -> None:
        server.stop()
        await asyncio.wait([task], timeout=10)
        await service_.db.close()
        await clickhouse.close()

    asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
    role.kill()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def _wait_until_it_answers(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/v1/on-demand", timeout=10)
            return
        except httpx.TransportError:
            assert time.monotonic() < end, "the API does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def sdk(running: Service) -> Fastpix:
    return running.client()
