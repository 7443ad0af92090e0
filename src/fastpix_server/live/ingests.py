"""Which ingest processes are alive, for edges."""

from collections.abc import Sequence

from fastpix_server.db.pool import Database
from fastpix_server.live import sessions, sessions_store
from fastpix_server.live.streams import Ingest


async def living(db: Database) -> Sequence[Ingest]:
    async with db.unit() as tx:
        found = await sessions_store.living_origins(tx, lease_s=sessions.LEASE_S)
    return [Ingest(ingest_id, origin) for ingest_id, origin in found.items()]
