"""Direct uploads: sessions that wait for the bytes of a file and become a media with the same id.

Invariants: an upload is `waiting` until exactly one of completed, cancelled or expired; its media, event and job appear
in the transaction that completes it; its URL is signed with a key of its own, so nothing else opens by it and ending
the session ends the URL.
"""

import contextlib
import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlencode

from prometheus_client import Counter
from pydantic import Field, field_validator

from fastpix_server.base import clock, errors, ids, log
from fastpix_server.base.fields import refused
from fastpix_server.db.pool import Database, Tx
from fastpix_server.jobs.queue import enqueue
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import own_media, service, uploads_store
from fastpix_server.media.schemas import PushMediaSettings, Request, Text
from fastpix_server.media.uploads_store import Upload
from fastpix_server.outbox import events
from fastpix_server.storage.open import Storage
from fastpix_server.storage.staging import StagingMissing

DROP_JOB = "media.drop_upload"
PURGE_JOB = "media.purge_uploads"
START_S = 14_400  # contract section 7: what `timeout` promises for beginning
ACTIVE_S = 24 * 3600  # contract section 7: a session that has begun lives this long after its last byte
KEEP_S = 7 * 24 * 3600  # a client that sleeps over a weekend still hears 410, or 200, instead of 404
PURGE_BATCH = 100  # sessions in one run of the purge; the next minute takes the next ones
MAX_SIZE_BYTES = 64 * 1024**3  # a 12 h film at 12 Mb/s; the same bound as for URLs

_log = log.get(__name__)
_ended = Counter("fastpix_uploads_ended", "Upload sessions that ended, by how.", ["how"])


class NewUpload(Request):
    """Body of direct-upload-video-media."""

    cors_origin: Text = "*"
    push_media_settings: PushMediaSettings = Field(default=PushMediaSettings())

    @field_validator("cors_origin")
    @classmethod
    def _fits_a_header(cls, value: str) -> str:
        if not value or not value.isascii() or not value.isprintable() or any(c in value for c in ' ,;"'):
            raise refused("is invalid")
        return value


async def create(tx: Tx, workspace_id: str, request: NewUpload, *, is_browser: bool, public_url: str) -> Upload:
    """A waiting upload; `is_browser` gives a URL that has to be POSTed to first."""
    settings = request.push_media_settings
    await service.check_policy(tx, workspace_id, settings)  # said now, not after the bytes
    await own_media.check_files(tx, workspace_id, settings.order)
    now = clock.now()
    upload = Upload(
        id=ids.new_uuid(),
        workspace_id=workspace_id,
        status="waiting",
        cors_origin=request.cors_origin,
        is_browser=is_browser,
        settings=settings.model_dump(by_alias=True, mode="json", exclude_none=True),
        secret=secrets.token_bytes(32),
        total_bytes=None,
        expires_at=now + timedelta(seconds=START_S),
        created_at=now,
        updated_at=now,
    )
    await uploads_store.insert(tx, upload)
    await _tell(tx, upload, "video.media.upload", public_upload(upload, public_url))
    _log.info("upload_created", upload_id=upload.id, workspace_id=workspace_id)
    return upload


async def list_page(
    tx: Tx, workspace_id: str, *, limit: int, offset: int, order: Literal["asc", "desc"]
) -> tuple[list[Upload], int]:
    """One page of waiting uploads, and the number of all. `offset` is a page number from 1."""
    return await uploads_store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit, order=order)


async def cancel(tx: Tx, workspace_id: str, upload_id: str, *, public_url: str) -> Upload:
    """waiting -> cancelled; a job drops the bytes. Raises errors.NotFound, and BadState when it has ended already."""
    upload = await uploads_store.find(tx, upload_id, lock=True)
    if upload is None or upload.workspace_id != workspace_id:
        raise errors.NotFound(
            "The requested upload does not exist in the workspace.", message="media workspace relation not found"
        )
    status = current_status(upload)
    if status != "waiting":
        raise errors.BadState(f"The upload is {status} already and cannot be cancelled.")
    return await cancel_locked(tx, upload, public_url=public_url)


async def cancel_locked(tx: Tx, upload: Upload, *, public_url: str) -> Upload:
    """For a waiting upload whose row this transaction has locked."""
    await uploads_store.close(tx, upload.id, "cancelled")
    cancelled = await uploads_store.find(tx, upload.id)
    assert cancelled is not None
    await enqueue(tx, DROP_JOB, {"upload_id": upload.id})
    await _tell(tx, cancelled, "video.media.upload.cancelled", public_cancelled(cancelled, public_url))
    _ended.labels("cancelled").inc()
    return cancelled


def current_status(upload: Upload) -> Literal["waiting", "cancelled", "completed", "expired"]:
    """The stored status, but a session whose time is over is expired before the purge says so."""
    if upload.status == "waiting" and upload.expires_at <= clock.now():
        return "expired"
    return upload.status


async def complete(db: Database, storage: Storage, upload: Upload, *, total_bytes: int, public_url: str) -> bool:
    """All `total_bytes` are staged: they become the source, and the session a media. Safe to repeat at any point.

    False when the session was cancelled or had expired meanwhile. Raises StagingBusy while a writer is at work, and
    StagingMissing when the session was begun anew meanwhile.
    """
    key = service.source_key(upload.id)
    with contextlib.suppress(StagingMissing):  # then the row tells: completed by a rival, cancelled, begun anew
        await storage.staging.finish(upload.id, key, size_bytes=total_bytes)
    async with db.unit() as tx:
        locked = await uploads_store.find(tx, upload.id, lock=True)
        status = "expired" if locked is None else locked.status
        # A new beginning may have taken the object away again before this lock: then there is nothing to complete.
        if status == "waiting":
            if await storage.objects.size(key) != total_bytes:
                raise StagingMissing(upload.id)
            await uploads_store.close(tx, upload.id, "completed")
            await service.create_from_upload(
                tx,
                upload_id=upload.id,
                workspace_id=upload.workspace_id,
                options=PushMediaSettings.model_validate(upload.settings),
                source_url=url_of(upload, public_url),
                size_bytes=total_bytes,
            )
    if status == "waiting":
        _ended.labels("completed").inc()
        _log.info("upload_completed", upload_id=upload.id, size_bytes=total_bytes)
    elif locked is not None and status != "completed":
        await storage.objects.delete(key)
    return status in ("waiting", "completed")


async def purge(db: Database, storage: Storage, *, public_url: str) -> int:
    """Ends sessions whose time is over and drops their bytes; how many ended.

    A session whose bytes were all stored while the answer was lost becomes the media that its owner meant.
    """
    async with db.unit() as tx:
        over = await uploads_store.expired(tx, limit=PURGE_BATCH)
        await uploads_store.delete_over(tx, keep_s=KEEP_S)
    for upload in over:
        stored = await durable_bytes(storage, upload)
        if upload.total_bytes is not None and stored == upload.total_bytes:
            await complete(db, storage, upload, total_bytes=stored, public_url=public_url)
            continue
        async with db.unit() as tx:
            locked = await uploads_store.find(tx, upload.id, lock=True)
            if locked is None or locked.expires_at > clock.now():
                continue  # a byte came in the meantime
            if await uploads_store.close(tx, upload.id, "expired"):
                _ended.labels("expired").inc()
        await storage.staging.discard(upload.id)
    return len(over)


class UploadJobs:
    """The background work of uploads: dropping bytes of cancelled sessions, ending forgotten ones each minute."""

    def __init__(self, db: Database, storage: Storage, public_url: str) -> None:
        self._db = db
        self._storage = storage
        self._public_url = public_url

    def register(self, registry: Registry) -> None:
        registry.add(DROP_JOB, self.drop)
        registry.every("* * * * *", PURGE_JOB, self.purge)

    async def drop(self, upload_id: str) -> None:
        await self._storage.staging.discard(upload_id)

    async def purge(self) -> None:
        await purge(self._db, self._storage, public_url=self._public_url)


async def durable_bytes(storage: Storage, upload: Upload) -> int:
    """What is stored: in staging, or as the object when a crash came before the session's last commit."""
    finished = await storage.objects.size(service.source_key(upload.id))
    return await storage.staging.size(upload.id) if finished is None else finished


def url_of(upload: Upload, public_url: str, *, with_session: bool | None = None) -> str:
    """The signed URL. `with_session` adds `upload_id`, by which the web uploader knows that it need not POST."""
    query: dict[str, object] = {"exp": int(upload.created_at.timestamp()) + START_S, "sig": _signature(upload, "url")}
    if (not upload.is_browser) if with_session is None else with_session:
        query["upload_id"] = _signature(upload, "session")
    return f"{public_url}/upload/{upload.id}?{urlencode(query)}"


def is_signed(upload: Upload, *, exp: str, sig: str, session: str | None) -> bool:
    """True when the query of a request is the one that we handed out for this upload."""
    issued = str(int(upload.created_at.timestamp()) + START_S)
    good = hmac.compare_digest(sig.encode(), _signature(upload, "url").encode())
    good &= hmac.compare_digest(exp.encode(), issued.encode())
    return good and (session is None or hmac.compare_digest(session.encode(), _signature(upload, "session").encode()))


def _signature(upload: Upload, purpose: str) -> str:
    expires = int(upload.created_at.timestamp()) + START_S
    return hmac.new(upload.secret, f"v1:{purpose}:{upload.id}:{expires}".encode(), hashlib.sha256).hexdigest()


def public_upload(upload: Upload, public_url: str) -> dict[str, Any]:
    """The body of direct-upload-video-media and of list-uploads (contract 2.1, op 23)."""
    settings = PushMediaSettings.model_validate(upload.settings)
    policy = {
        "accessPolicy": settings.access_policy,
        "accessRestrictions": settings.access_restrictions.model_dump(by_alias=True),
    }
    pushed = {
        "playbackIds": [policy],  # without id: it is made with the media
        "metadata": settings.metadata,
        "mediaQuality": settings.media_quality,
        "sourceAccess": settings.source_access,
        "optimizeAudio": settings.optimize_audio,
    }
    return {
        "uploadId": upload.id,
        "trial": False,
        "status": current_status(upload),
        "url": url_of(upload, public_url),
        "timeout": START_S,
        "corsOrigin": upload.cors_origin,
        "pushMediaSettings": pushed,
    }


def public_cancelled(upload: Upload, public_url: str) -> dict[str, Any]:
    """The body of cancel-upload (contract 2.1, op 8): flat, without pushMediaSettings and timeout."""
    settings = PushMediaSettings.model_validate(upload.settings)
    body: dict[str, Any] = {
        "uploadId": upload.id,
        "trial": False,
        "status": upload.status,
        "url": url_of(upload, public_url),
        "corsOrigin": upload.cors_origin,
        "maxResolution": settings.max_resolution,
        "accessPolicy": settings.access_policy,
        "metadata": settings.metadata,
    }
    if settings.title:
        body["title"] = settings.title
    if settings.creator_id:
        body["creatorId"] = settings.creator_id
    return body


async def _tell(tx: Tx, upload: Upload, type: str, data: dict[str, Any]) -> None:
    await events.emit(
        tx,
        workspace_id=upload.workspace_id,
        type=type,
        object_type="media",
        object_id=upload.id,
        status=upload.status,
        data=data,
    )
