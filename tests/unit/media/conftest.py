"""A database with one workspace."""

import dataclasses
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from fastpix_server.access import service as access
from fastpix_server.db.pool import Database
from fastpix_server.media import service, store
from fastpix_server.media.model import Media
from fastpix_server.media.schemas import CreateMedia


@dataclasses.dataclass
class House:
    db: Database
    workspace_id: str

    async def create(self, **options: object) -> Media:
        body = {"inputs": [{"type": "video", "url": "https://example.com/video.mp4"}], **options}
        async with self.db.unit() as tx:
            return await service.create_from_url(tx, self.workspace_id, CreateMedia.model_validate(body))

    async def find(self, media_id: str) -> Media | None:
        async with self.db.unit() as tx:
            return await store.find(tx, media_id)

    async def put_status(self, media_id: str, status: str) -> None:
        async with self.db.unit() as tx:
            await tx.execute(
                text("update media set status = :status where id = :id"), {"status": status, "id": media_id}
            )

    async def events(self, media_id: str) -> list[tuple[str, str]]:
        async with self.db.unit() as tx:
            found = await tx.execute(
                text("select type, status from events where object_id = :id order by position"), {"id": media_id}
            )
            return [(row.type, row.status) for row in found]

    async def jobs(self) -> list[str]:
        async with self.db.unit() as tx:
            found = await tx.execute(text("select task_name from procrastinate_jobs order by id"))
            return list(found.scalars())


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    db = await Database.open(database_url, size=6)
    async with db.unit() as tx:
        workspace = await access.ensure_first(tx, pepper=b"p", username="root", password="secret")
    yield House(db, workspace.id)
    await db.close()
