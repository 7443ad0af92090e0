"""What a database needs before any role starts: the newest schema, the default workspace and its first token."""

import asyncio

from fastpix_server.access import service as access
from fastpix_server.app import secrets
from fastpix_server.app.postgres import ensure_database
from fastpix_server.app.settings import Settings, require_database_url
from fastpix_server.db import migrate
from fastpix_server.db.pool import Database


async def run(settings: Settings, *, creates: bool = False) -> None:
    """Idempotent; several machines may do it at once. `creates`: the database itself may be missing."""
    url = require_database_url(settings)
    if creates:
        await asyncio.to_thread(ensure_database, url)
    await migrate.upgrade(url)
    keys, credentials = secrets.load_keys(settings), secrets.load_credentials(settings)
    db = await Database.open(url, size=1)
    try:
        async with db.unit() as tx:
            await access.ensure_first(
                tx,
                pepper=keys.pepper,
                username=credentials.username,
                password=credentials.password,
                workspace_id=credentials.workspace_id,
                workspace_key=credentials.workspace_key,
            )
    finally:
        await db.close()
