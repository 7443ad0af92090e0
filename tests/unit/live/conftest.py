"""A database, a storage on disk or on a real S3 server, and one workspace."""

import dataclasses
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests import live_segments
from tests.live_streams import Live
from tests.playing import Playing
from tests.unit.storage import seaweed

from fastpix_server.access import service as access
from fastpix_server.db.pool import Database
from fastpix_server.live.model import FinishedSegment, JournalRow, SessionSpec
from fastpix_server.live.recorder import Recorder, restore
from fastpix_server.media import service as media
from fastpix_server.media import store as media_store
from fastpix_server.media.model import Media
from fastpix_server.storage.open import Storage, open_store


@dataclasses.dataclass
class Studio:
    """Where sessions are recorded."""

    url: str
    folder: Path
    db: Database
    storage: Storage
    workspace_id: str

    def spec(self, **changes: object) -> SessionSpec:
        return live_segments.spec(workspace_id=self.workspace_id, **changes)

    async def record(self, spec: SessionSpec, segments: list[FinishedSegment]) -> None:
        recorder = Recorder(self.db, self.storage.objects, spec)
        for segment in segments:
            recorder.on_segment(segment)
        await recorder.close()

    async def journal(self, spec: SessionSpec) -> list[JournalRow]:
        return await restore(self.db, spec.session_id)

    async def media(self, media_id: str) -> Media | None:
        async with self.db.unit() as tx:
            return await media_store.find(tx, media_id)

    async def described(self, media_id: str) -> dict[str, object]:
        async with self.db.unit() as tx:
            return await media.describe(tx, await media.get(tx, self.workspace_id, media_id))

    async def events(self, object_id: str) -> list[str]:
        async with self.db.unit() as tx:
            found = await tx.execute(
                text("select type from events where object_id = :id order by position"), {"id": object_id}
            )
            return list(found.scalars())

    async def jobs(self) -> list[str]:
        async with self.db.unit() as tx:
            return list((await tx.execute(text("select task_name from procrastinate_jobs order by id"))).scalars())


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with seaweed.running() as endpoint:
        yield endpoint


async def _studio(database_url: str, tmp_path: Path, storage: Storage) -> AsyncIterator[Studio]:
    db = await Database.open(database_url, size=6)
    async with db.unit() as tx:
        workspace = await access.ensure_first(tx, pepper=b"p", username="root", password="secret")
    yield Studio(database_url, tmp_path, db, storage, workspace.id)
    await db.close()


@pytest.fixture
async def studio(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async for made in _studio(database_url, tmp_path, open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")):
        yield made


@pytest.fixture(params=["local", "s3"])
async def any_studio(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    if request.param == "local":
        storage = open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")
    else:
        endpoint = request.getfixturevalue("s3_endpoint")
        storage = open_store(f"s3://{seaweed.BUCKET}/{uuid.uuid4().hex}", seaweed.options(endpoint), tmp_path / "work")
    async for made in _studio(database_url, tmp_path, storage):
        yield made


@pytest.fixture
async def stage(studio: Studio) -> AsyncIterator[Playing]:
    """Edges and workers over what the studio recorded."""
    made = Playing(studio.url, studio.folder, studio.db, studio.storage)
    yield made
    await made.close()


@pytest.fixture
async def live(database_url: str) -> AsyncIterator[Live]:
    db = await Database.open(database_url, size=8)
    async with db.unit() as tx:
        workspace = await access.ensure_first(tx, pepper=b"p", username="u", password="p")
    yield Live(db, workspace.id)
    await db.close()
