"""Background work on live sessions, for when no ingest process is there to do it.

Invariants: the same verbs as an ingest's, so that it does not matter who comes first; every run is idempotent.
"""

from fastpix_server.base import log
from fastpix_server.db.pool import Database
from fastpix_server.jobs.registry import Registry
from fastpix_server.live import sessions, sessions_store

REAP_JOB = "live.reap"
# Recordings are media of their own; the rows of sessions are of interest to operators for a while.
KEEP_SESSIONS_DAYS = 30
KEEP_INGESTS_S = 3600.0

_log = log.get(__name__)


class LiveJobs:
    def __init__(self, db: Database) -> None:
        self._db = db

    def register(self, registry: Registry) -> None:
        registry.every("* * * * *", REAP_JOB, self.reap)

    async def reap(self) -> None:
        """Sessions whose ingest died and which no other took: their windows run, and then they are finished."""
        async with self._db.unit() as tx:
            orphans = await sessions_store.orphans(tx, lease_s=sessions.LEASE_S, limit=sessions.ORPHANS_MAX)
        for orphan in orphans:
            async with self._db.unit() as tx:
                session = await sessions.care_for_orphan(tx, orphan)
            if session is not None and session.state == "ended":
                async with self._db.unit() as tx:
                    await sessions.finalise(tx, session)
                    await sessions.release(tx, session)
                _log.info("session_reaped", stream_id=session.stream_id, session_id=session.id)
        async with self._db.unit() as tx:
            await sessions_store.forget_sessions(tx, after_days=KEEP_SESSIONS_DAYS)
            await sessions_store.forget_dead_ingests(tx, after_s=KEEP_INGESTS_S)
