"""The stream keys and secrets that the SRT listener looks up while it shakes hands: a table in memory, kept current.

Invariants: `find` takes no lock and never waits, from any thread. The table follows the database by notifications, and
is read anew after a lost connection; in between it may be a moment old, and the door asks the database in any case.
"""

import asyncio
import dataclasses

from fastpix_server.base import errors, log
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.ingest.model import Refused, SrtKey
from fastpix_server.live import store
from fastpix_server.live.states import Status
from fastpix_server.live.streams import Stream
from fastpix_server.live.telling import CHANGED

# A stream is about 600 bytes here. Those beyond it publish by RTMP and WHIP only, and the log says so.
STREAMS_MAX = 200_000
_SLICE = 1000
_RETRY_S = 1.0
_PLAY = "play"

_log = log.get(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    stream_key: str = dataclasses.field(repr=False)
    secret: str = dataclasses.field(repr=False)
    playback_secret: str = dataclasses.field(repr=False)
    is_disabled: bool


class SrtKeyTable:
    """Is an SrtKeys. Make it before `listener.start()`, then `await load()`; `close` ends it."""

    def __init__(self, db: Database, listener: Listener) -> None:
        self._db = db
        self._entries: dict[str, _Entry] = {}
        self._changed: set[str] = set()
        self._is_stale = True
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        listener.on(CHANGED, self._on_changed)
        listener.on_reconnect(self._on_reconnect)

    def find(self, stream_id: str) -> SrtKey | Refused:
        """`stream_id`: a stream key, or `play` and the id of a stream."""
        is_play = stream_id.startswith(_PLAY)
        name = stream_id.removeprefix(_PLAY) if is_play else stream_id[33:]
        entry = self._entries.get(name)
        if entry is None or not (is_play or entry.stream_key == stream_id):
            return Refused("unknown_key")
        if entry.is_disabled:
            return Refused("disabled")
        if is_play:
            return SrtKey("play", name, entry.playback_secret)
        return SrtKey("publish", entry.stream_key, entry.secret)

    async def load(self) -> None:
        """Reads the whole table, then follows changes in the background."""
        await self._read_all()
        self._task = asyncio.create_task(self._follow(), name="srt-keys")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def _on_changed(self, stream_id: str) -> None:
        self._changed.add(stream_id)
        self._wake.set()

    def _on_reconnect(self) -> None:
        self._is_stale = True
        self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if self._is_stale:
                    await self._read_all()
                await self._read_changed()
            except errors.Unavailable:
                self._wake.set()
                await asyncio.sleep(_RETRY_S)

    async def _read_changed(self) -> None:
        while self._changed:
            stream_id = next(iter(self._changed))
            async with self._db.unit() as tx:
                stream = await store.find(tx, stream_id)
            self._changed.discard(stream_id)
            if stream is None:
                self._entries.pop(stream_id, None)
            elif len(self._entries) < STREAMS_MAX or stream_id in self._entries:
                self._entries[stream_id] = _entry(stream)

    async def _read_all(self) -> None:
        self._is_stale = False
        found: dict[str, _Entry] = {}
        last = "0" * 32
        while len(found) < STREAMS_MAX:
            async with self._db.unit() as tx:
                streams = await store.some_after(tx, last, _SLICE)
            if not streams:
                break
            found.update((stream.id, _entry(stream)) for stream in streams)
            last = streams[-1].id
        else:
            _log.warning("srt_table_full", streams=len(found))
        self._entries = found


def _entry(stream: Stream) -> _Entry:
    return _Entry(stream.stream_key, stream.srt_secret, stream.srt_playback_secret, stream.status == Status.DISABLED)
