"""Job media.fetch: the bytes of its URLs become the files of a media.

Invariants: only guarded sockets dial (base/guard.py) and only this code, never ffmpeg, sees the URL; redirects are
followed by hand and checked like the first URL; every wait, size, number of tries and the whole download are bounded;
the job may die at any point and goes on from the durable bytes; logs name the host, never the URL.
"""

import asyncio
import dataclasses
import random
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import aiohttp
from prometheus_client import Counter
from yarl import URL

from fastpix_server.base import clock, log
from fastpix_server.base.guard import AddressPolicy, open_client, refused_address
from fastpix_server.db.pool import Database
from fastpix_server.jobs.queue import enqueue
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import fetch_rules as rules
from fastpix_server.media import fetch_store, own_media, service, store
from fastpix_server.media.edits import FILES_MAX
from fastpix_server.media.fetch_rules import Passing, Redirected, Refused, Restart, Stored, Take, Whole
from fastpix_server.media.model import Media
from fastpix_server.media.own_media import Later
from fastpix_server.media.states import Status
from fastpix_server.storage.open import Storage
from fastpix_server.storage.staging import StagingBusy, StagingTooLarge

USER_AGENT = "fastpix-fetch/1"
PROGRESS_BYTES = 1024 * 1024  # a try that gained this much moved the download on and does not count as failed
READ_BYTES = 64 * 1024  # aiohttp pauses the socket at twice this, and drops so much when a connection breaks
WANTED_S = 10.0  # how soon a download notices that its media was deleted
GAVE_UP = "The file could not be stored because of a fault on our side; try again later or ask the operator."

_log = log.get(__name__)
_bytes = Counter("fastpix_fetch_bytes", "Bytes downloaded from URLs.")
_tries = Counter("fastpix_fetch_tries", "Requests for URLs, by outcome.", ["outcome"])
_failures = Counter("fastpix_fetch_failures", "Media that failed in fetch, by reason.", ["code"])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Every bound of one download."""

    max_size_bytes: int = 64 * 1024**3  # a 12 h film at 12 Mb/s
    total_s: float = 6 * 3600.0  # 64 GiB at 25 Mb/s; an endless drip ends here
    connect_s: float = 10.0  # a host that is far and busy answers within three
    idle_s: float = 30.0  # between two reads: a dead connection, not a slow one
    pace_window_s: float = 60.0  # with the next: under 1 KiB/s for a minute is a drip
    pace_min_bytes: int = 64 * 1024
    tries: int = 7  # in a row without progress: about two minutes with the back-off below
    backoff_s: float = 1.0  # doubles with each try, half of it random
    wait_max_s: float = 60.0  # for one back-off, and for what Retry-After may ask
    busy_poll_s: float = 5.0  # while another worker still has the file


# A worker that was thought dead still has the file: wait until it ends or dies; the media's status tells.
_BUSY = Passing("busy", GAVE_UP)


class Unwanted(Exception):
    """The media was deleted, or failed, while its bytes came."""


class _TooSlow(Exception):
    """The source drips."""


class MediaFetch:
    """The handler of media.fetch and what it needs."""

    def __init__(
        self,
        db: Database,
        storage: Storage,
        policy: AddressPolicy,
        limits: FetchLimits | None = None,
        *,
        work_dir: Path | None = None,
    ) -> None:
        self._db = db
        self._storage = storage
        self._policy = policy
        self._limits = limits or FetchLimits()
        self._own = own_media.OwnMedia(db, storage, work_dir)

    def register(self, registry: Registry) -> None:
        registry.add(service.FETCH_JOB, self.fetch, queue="fetch", on_exhausted=self.give_up)

    async def fetch(self, media_id: str) -> None:
        """Created -> Downloading -> Downloaded, or Failed with a reason. Safe to run again at any point."""
        async with self._db.unit() as tx:
            media = await service.begin_download(tx, media_id)
        if media is None:
            await self._discard([RemoteFile(media_id, position, "") for position in range(FILES_MAX + 1)])
            return
        files = _files_of(media)
        outcome: Refused | Later | None = None
        try:
            for file in files:
                outcome = await self._provide(media, file)
                if outcome is not None:
                    break
        except Unwanted:
            await self._discard(files)
            return
        if outcome is None:
            await self._finish(media_id, files)
        elif isinstance(outcome, Later):
            await self._again(media_id, outcome)
        else:
            await self._fail(media_id, files, outcome)

    async def give_up(self, media_id: str, error: str) -> None:
        """After the last try of the job: a fault of ours that did not pass."""
        async with self._db.unit() as tx:
            media = await store.find(tx, media_id)
        files = [] if media is None else _files_of(media)
        await self._fail(media_id, files, Refused("source_not_stored", GAVE_UP))

    async def _provide(self, media: Media, file: "RemoteFile") -> Refused | Later | None:
        """None once every byte is stored under the file's key, maybe by an earlier run."""
        if await self._storage.objects.size(file.key) is not None:
            return None
        async with self._db.unit() as tx:
            progress = await fetch_store.begin(tx, file.media_id, file.position)
        left_s = (progress.started_at + timedelta(seconds=self._limits.total_s) - clock.now()).total_seconds()
        own_id = own_media.id_of(media, file.position, file.url)
        if own_id is not None:
            return await self._own.provide(media, own_id, file.key, left_s=left_s)
        refusal = await self._download(file, progress, left_s)
        if refusal is None:
            await self._storage.staging.finish(file.staging_name, file.key)
        return refusal

    async def _download(self, file: "RemoteFile", progress: fetch_store.Progress, left_s: float) -> Refused | None:
        """None once every byte is staged."""
        url = rules.check_url(file.url)
        if isinstance(url, Refused):
            return url
        run = Download(self._db, self._storage, self._limits, file, url, progress)
        try:
            async with (
                asyncio.timeout(max(left_s, 0.0)),
                open_client(
                    self._policy,
                    connect_timeout_s=self._limits.connect_s,
                    read_timeout_s=self._limits.idle_s,
                    auto_decompress=False,
                    headers={"User-Agent": USER_AGENT},
                ) as client,
            ):
                return await run.until_whole(client)
        except TimeoutError:
            hours = self._limits.total_s / 3600
            return Refused("source_timeout", f"The download did not end within {hours:.3g} hours.")

    async def _finish(self, media_id: str, files: Sequence["RemoteFile"]) -> None:
        size_bytes = await self._storage.objects.size(files[0].key) or 0
        async with self._db.unit() as tx:
            await fetch_store.end(tx, media_id)
            is_taken = await service.downloaded(tx, media_id, size_bytes=size_bytes)
            is_gone = await store.status_of(tx, media_id) is None
        if is_gone:
            for file in files:
                await self._storage.objects.delete(file.key)
        if is_taken:
            _log.info("media_downloaded", media_id=media_id, size_bytes=size_bytes)

    async def _again(self, media_id: str, later: Later) -> None:
        """A media of ours that the other is made of is not ready yet: come back, and hold no worker meanwhile."""
        _log.info("fetch_waits_for_media", media_id=media_id, why=later.why)
        async with self._db.unit() as tx:
            at = clock.now() + timedelta(seconds=later.wait_s)
            await enqueue(tx, service.FETCH_JOB, {"media_id": media_id}, queue="fetch", run_at=at)

    async def _fail(self, media_id: str, files: Sequence["RemoteFile"], refusal: Refused) -> None:
        async with self._db.unit() as tx:
            await fetch_store.end(tx, media_id)
            await service.fail(tx, media_id, refusal.code, refusal.sentence)
        await self._discard(files)
        _failures.labels(refusal.code).inc()

    async def _discard(self, files: Sequence["RemoteFile"]) -> None:
        for file in files:
            await self._storage.staging.discard(file.staging_name)


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteFile:
    """One of the files of a media: 0 is the video itself, the others are those of its edit."""

    media_id: str
    position: int
    url: str

    @property
    def staging_name(self) -> str:
        return self.media_id if self.position == 0 else f"{self.media_id}-{self.position}"

    @property
    def key(self) -> str:
        return service.source_key(self.media_id, self.position)


def _files_of(media: Media) -> list[RemoteFile]:
    urls = [media.source_url, *(file.url for file in media.edit.files)]
    return [RemoteFile(media.id, position, url) for position, url in enumerate(urls)]


class Download:
    """One run of the job: tries until the file is whole, refused, or the tries are used up.

    The methods that begin with `check` and `note` are what differs where the file is no source (track_fetch.py).
    """

    def __init__(
        self,
        db: Database,
        storage: Storage,
        limits: FetchLimits,
        file: RemoteFile,
        url: URL,
        progress: fetch_store.Progress,
    ) -> None:
        self._db = db
        self._staging = storage.staging
        self._limits = limits
        self._media_id = file.media_id
        self._position = file.position
        self._name = file.staging_name
        self._url = url
        self._validator = progress.validator
        self._total_bytes = progress.total_bytes
        self._looked_at_s = time.monotonic()

    async def until_whole(self, client: aiohttp.ClientSession) -> Refused | None:
        failed = 0
        while True:
            before = await self._staging.size(self._name)
            result = await self._try(client, Stored(before, self._total_bytes, self._validator))
            if not isinstance(result, Passing):
                return result
            if result is _BUSY:
                await asyncio.sleep(self._limits.busy_poll_s)
                await self._look_whether_wanted(force=True)
                continue
            gained = await self._staging.size(self._name) - before
            failed = 0 if gained >= PROGRESS_BYTES else failed + 1
            if failed >= self._limits.tries:
                return Refused(result.code, result.sentence)
            _log.info(
                "fetch_interrupted", media_id=self._media_id, host=self._url.host, code=result.code, failed=failed
            )
            await asyncio.sleep(self._wait_s(failed, result.wait_s))
            await self._look_whether_wanted(force=True)

    def _wait_s(self, failed: int, asked_s: float | None) -> float:
        own_s = self._limits.backoff_s * 2.0 ** max(failed - 1, 0) * random.uniform(0.5, 1.0)
        return min(max(own_s, asked_s or 0.0), self._limits.wait_max_s)

    async def _try(self, client: aiohttp.ClientSession, stored: Stored) -> Refused | Passing | None:
        """One request with its redirects; None when every byte is staged."""
        try:
            result = await self._request(client, self._url, stored)
        except (_TooSlow, StagingBusy, StagingTooLarge, aiohttp.ClientError, TimeoutError, OSError) as error:
            result = self._read_error(error)
        _tries.labels("whole" if result is None else result.code).inc()
        return result

    async def _request(self, client: aiohttp.ClientSession, url: URL, stored: Stored) -> Refused | Passing | None:
        for _ in range(rules.REDIRECTS_MAX + 1):
            headers = rules.request_headers(stored)
            async with client.get(url, headers=headers, allow_redirects=False, read_bufsize=READ_BYTES) as answer:
                verdict = rules.judge(
                    url,
                    answer.status,
                    answer.headers,
                    stored,
                    max_size_bytes=self._limits.max_size_bytes,
                    now=clock.now(),
                )
                if isinstance(verdict, Take):
                    return await self._take(answer, verdict)
            if isinstance(verdict, Redirected):
                url = verdict.url
            elif isinstance(verdict, Restart):
                stored = Stored(0)
            else:
                return None if isinstance(verdict, Whole) else verdict
        return Refused("source_bad_redirect", f"The URL redirects more than {rules.REDIRECTS_MAX} times.")

    async def _take(self, answer: aiohttp.ClientResponse, take: Take) -> Refused | Passing | None:
        if take.offset == 0:
            await self._staging.truncate0(self._name)
        self._validator, self._total_bytes = take.validator, take.total_bytes
        await self.note_version(take)  # before the bytes: after a crash they must be known by their version
        body = _Body(answer, self._limits)
        first = await body.first(rules.SNIFF_BYTES) if take.offset == 0 else b""
        if refusal := self.check_begin(first, answer.headers.get("Content-Type", "")):
            return refusal
        size = await self._staging.append(
            self._name, take.offset, self._watched(body), max_size_bytes=self._limits.max_size_bytes
        )
        if size == 0:
            return rules.empty()
        if take.total_bytes is not None and size != take.total_bytes:
            return Passing("source_truncated", "The server kept closing the connection before the end of the file.")
        return None

    async def _watched(self, body: "_Body") -> AsyncIterator[bytes]:
        async for piece in body.pieces():
            _bytes.inc(len(piece))
            yield piece
            await self._look_whether_wanted()

    async def _look_whether_wanted(self, *, force: bool = False) -> None:
        if not force and time.monotonic() - self._looked_at_s < WANTED_S:
            return
        self._looked_at_s = time.monotonic()
        if not await self.check_wanted():
            raise Unwanted

    async def note_version(self, take: Take) -> None:
        async with self._db.unit() as tx:
            await fetch_store.note(
                tx, self._media_id, self._position, validator=take.validator, total_bytes=take.total_bytes
            )

    def check_begin(self, first: bytes, content_type: str) -> Refused | None:
        return rules.sniff(first, content_type)

    async def check_wanted(self) -> bool:
        async with self._db.unit() as tx:
            return await store.status_of(tx, self._media_id) == Status.DOWNLOADING

    def _read_error(self, error: Exception) -> Refused | Passing:
        """What a failed try means. Raises errors that are ours: the job is then tried again."""
        if isinstance(error, StagingTooLarge):
            return rules.too_large(self._limits.max_size_bytes)
        if isinstance(error, StagingBusy):
            return _BUSY
        if isinstance(error, _TooSlow):
            return Passing("source_too_slow", "The server sends the file too slowly.")
        if refused_address(error) is not None:
            return Refused("source_private", "The URL leads to a private address, which must not be fetched.")
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return Passing("source_unreachable", "The host name of the URL is not known.")
        if isinstance(error, aiohttp.ClientSSLError):
            return Refused("source_tls", "The server's TLS certificate or handshake is not valid.")
        if isinstance(error, aiohttp.ClientConnectorError):
            return Passing("source_unreachable", "The server of the URL cannot be reached.")
        if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
            return Passing("source_truncated", "The server kept closing the connection before the end of the file.")
        if isinstance(error, (aiohttp.ServerTimeoutError, TimeoutError)):
            return Passing("source_timeout", "The server does not answer in time.")
        if isinstance(error, (aiohttp.InvalidURL, aiohttp.ClientResponseError)):
            return Refused("source_http_error", "The server's answer is not valid HTTP.")
        if isinstance(error, aiohttp.ClientError | ConnectionError):
            return Passing("source_unreachable", "The connection to the server broke.")
        raise error


class _Body:
    """The body of an answer, with its first bytes to look at and a watch on its pace."""

    def __init__(self, answer: aiohttp.ClientResponse, limits: FetchLimits) -> None:
        self._content = answer.content
        self._pace = rules.Pace(window_s=limits.pace_window_s, min_bytes=limits.pace_min_bytes)
        self._first = b""

    async def first(self, size_bytes: int) -> bytes:
        """At least `size_bytes`, unless the body is shorter. They come again in `pieces`."""
        while len(self._first) < size_bytes and (piece := await self._read()):
            self._first += piece
        return self._first

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._first:
            yield self._first
        while piece := await self._read():
            yield piece

    async def _read(self) -> bytes:
        begun_s = time.monotonic()
        piece = await self._content.readany()
        if self._pace.is_too_slow(time.monotonic() - begun_s, len(piece)) and piece:
            raise _TooSlow
        return piece
