"""A worker process for the kill -9 test: carries webhooks until it is killed."""

import asyncio
import sys

from tests.playing import MASTER
from tests.unit.webhooks.conftest import LOOPBACK, name_of

from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.webhooks import service
from fastpix_server.webhooks.courier import Courier


async def main(database_url: str) -> None:
    service.configure(MASTER)
    db = await Database.open(database_url, size=2)
    await Courier(db, Listener(database_url), LOOPBACK, name_of).run()


asyncio.run(main(sys.argv[1]))
