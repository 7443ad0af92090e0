"""Streams in a real database, and the ingest processes that take their encoders in: for tests of what lives on them."""

import dataclasses

from sqlalchemy import text

from fastpix_server.base import ids
from fastpix_server.db.pool import Database
from fastpix_server.ingest.model import PublishRequest
from fastpix_server.live import service, sessions_store
from fastpix_server.live.schemas import CreateStream
from fastpix_server.live.streams import Ingest, Stream


@dataclasses.dataclass
class Live:
    db: Database
    workspace_id: str

    async def stream(self, **settings: object) -> Stream:
        request = CreateStream.model_validate({"playbackSettings": {}, "inputMediaSettings": settings})
        async with self.db.unit() as tx:
            return await service.create(tx, self.workspace_id, request)

    async def ingest(self, url: str = "http://127.0.0.1:1") -> Ingest:
        ingest = Ingest(ids.new_uuid(), url)
        async with self.db.unit() as tx:
            await sessions_store.register_ingest(tx, ingest.id, url)
        return ingest

    async def words(self, stream: Stream) -> list[str]:
        """The events told so far, without their prefix."""
        async with self.db.unit() as tx:
            found = await tx.execute(
                text("select type from events where object_id = :id order by position"), {"id": stream.id}
            )
            return [str(row.type).removeprefix("video.live_stream.") for row in found]

    async def status(self, stream: Stream) -> str:
        async with self.db.unit() as tx:
            return (await service.get(tx, self.workspace_id, stream.id)).status

    async def later(self, seconds: float) -> None:
        """Lets time pass for everything in the rows."""
        async with self.db.unit() as tx:
            for statement in (
                "update live_sessions set deadline_at = deadline_at - make_interval(secs => :s),"
                " ends_at = ends_at - make_interval(secs => :s)",
                "update live_ingests set heartbeat_at = heartbeat_at - make_interval(secs => :s)",
            ):
                await tx.execute(text(statement), {"s": seconds})


def asks(stream: Stream, **changes: object) -> PublishRequest:
    return dataclasses.replace(PublishRequest("rtmp", stream.stream_key, "127.0.0.1"), **changes)
