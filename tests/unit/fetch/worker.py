"""A worker process for the kill -9 test: fetches one media and exits."""

import asyncio
import sys
from pathlib import Path

from tests.unit.fetch.conftest import LOOPBACK, QUICK

from fastpix_server.db.pool import Database
from fastpix_server.media.fetch import MediaFetch
from fastpix_server.storage.open import open_store


async def main(database_url: str, folder: Path, media_id: str) -> None:
    db = await Database.open(database_url, size=2)
    await MediaFetch(db, open_store(f"file://{folder}/objects", {}, folder / "work"), LOOPBACK, QUICK).fetch(media_id)
    await db.close()


asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
