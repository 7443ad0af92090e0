"""The API and the edge on one port, as production serves them (granian, uvloop, two processes), for upload tests.

Run as `python -m tests.unit.uploads.server <database url> <folder> <port> <processes> [<S3 endpoint>]`.
"""

import functools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import MPServer
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.unit.storage import seaweed

from fastpix_server.access import service as access
from fastpix_server.api.app import create_api
from fastpix_server.api.context import ApiContext
from fastpix_server.base import log
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.edge import uploads
from fastpix_server.edge.context import EdgeContext
from fastpix_server.playback.signed_path import PathKeys
from fastpix_server.storage.open import open_store

PEPPER = b"pepper of the tests"
USERNAME = "tester"
PASSWORD = "a secret of the tests"


def load(database_url: str, folder: Path, port: int, s3_endpoint: str) -> Starlette:
    log.configure("test", "warning")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        public_url = f"http://127.0.0.1:{port}"
        db, listener = await Database.open(database_url, size=5), Listener(database_url)
        storage = open_store(f"file://{folder}/objects", {}, folder / "work")
        if s3_endpoint:
            storage = open_store(f"s3://{seaweed.BUCKET}/uploads", seaweed.options(s3_endpoint), folder / "work")
        async with db.unit() as tx:
            await access.ensure_first(tx, pepper=PEPPER, username=USERNAME, password=PASSWORD)
        edge = EdgeContext(
            db=db, listener=listener, storage=storage, public_url=public_url, path_keys=PathKeys.random()
        )
        api = ApiContext(
            db=db, storage=storage, pepper=PEPPER, public_url=public_url, rate_per_s=10_000, rate_burst=10_000
        )
        app.router.routes.extend([Mount("/v1", create_api(api)), *uploads.routes(edge)])
        await listener.start()
        yield
        await listener.close()
        await db.close()

    return Starlette(lifespan=lifespan)


if __name__ == "__main__":
    url, place, where, processes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    endpoint = sys.argv[5] if len(sys.argv) > 5 else ""
    server = MPServer(
        "uploads",
        address="127.0.0.1",
        port=where,
        interface=Interfaces.ASGI,
        workers=processes,
        loop=Loops.uvloop,
        http=HTTPModes.auto,
        websockets=False,
        log_level=LogLevels.error,
        workers_kill_timeout=2,
    )
    server.serve(target_loader=functools.partial(load, url, place, where, endpoint), wrap_loader=False)
