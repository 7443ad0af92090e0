"""The file of an added track comes from its URL: by the same guarded download as a source, with bounds of its own.

Invariants: as in fetch.py; what an interrupted job left in staging is begun anew, as nothing tells its version.
"""

import asyncio
import dataclasses

from fastpix_server.base import clock
from fastpix_server.base.guard import AddressPolicy, open_client
from fastpix_server.db.pool import Database
from fastpix_server.engine import subtitles
from fastpix_server.media import fetch_rules as rules
from fastpix_server.media import tracks
from fastpix_server.media.fetch import USER_AGENT, Download, FetchLimits, RemoteFile, Unwanted
from fastpix_server.media.fetch_rules import Refused, Take
from fastpix_server.media.fetch_store import Progress
from fastpix_server.media.model import Track
from fastpix_server.storage.open import Storage

# Text of that size comes in seconds.
SUBTITLE_TOTAL_S = 120.0


class TrackFetch:
    def __init__(self, db: Database, storage: Storage, policy: AddressPolicy, limits: FetchLimits) -> None:
        self._db = db
        self._storage = storage
        self._policy = policy
        self._limits = limits

    async def fetch(self, track: Track, key: str) -> Refused | None:
        """None once the file is the object `key`, or nobody wants it any more."""
        if await self._storage.objects.size(key) is not None:
            return None  # an earlier try came as far as this
        url = rules.check_url(track.url or "")
        if isinstance(url, Refused):
            return url
        limits = self._limits_for(track)
        name = _staged(track.id, track.version)
        progress = Progress(clock.now(), validator=None, total_bytes=None)
        file = RemoteFile(name, 0, track.url or "")
        run = _TrackDownload(self._db, self._storage, limits, file, url, progress)
        run.track = track
        try:
            async with (
                asyncio.timeout(limits.total_s),
                open_client(
                    self._policy,
                    connect_timeout_s=limits.connect_s,
                    read_timeout_s=limits.idle_s,
                    auto_decompress=False,
                    headers={"User-Agent": USER_AGENT},
                ) as client,
            ):
                refused = await run.until_whole(client)
        except TimeoutError:
            refused = Refused("source_timeout", "The download of the file took too long.")
        except Unwanted:
            await self._storage.staging.discard(name)
            return None
        if refused is None:
            await self._storage.staging.finish(name, key)
        else:
            await self._storage.staging.discard(name)
        return refused

    async def discard(self, track_id: str, version: int) -> None:
        await self._storage.staging.discard(_staged(track_id, version))

    def _limits_for(self, track: Track) -> FetchLimits:
        if track.type != "subtitle":
            return self._limits
        total_s = min(SUBTITLE_TOTAL_S, self._limits.total_s)
        return dataclasses.replace(self._limits, max_size_bytes=subtitles.MAX_BYTES, total_s=total_s)


class _TrackDownload(Download):
    """Text is what subtitles are; a web page is neither that nor sound."""

    track: Track

    async def note_version(self, take: Take) -> None:
        pass

    def check_begin(self, first: bytes, content_type: str) -> Refused | None:
        refused = rules.sniff(first, content_type)
        is_text = refused is not None and refused.code == "source_is_text"
        return None if is_text and self.track.type == "subtitle" else refused

    async def check_wanted(self) -> bool:
        async with self._db.unit() as tx:
            now = await tracks.current(tx, self.track.id)
        return now is not None and (now.version, now.status) == (self.track.version, "preparing")


def _staged(track_id: str, version: int) -> str:
    return f"{track_id}-{version}"
