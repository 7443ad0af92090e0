"""The door of video data: a beacon request becomes rows that are on the disk when `receive` returns.

Invariants: what cannot be understood is dropped and counted, never an error; only who may succeed later is told to come
back (TooMany, Unavailable). What comes back is the same again: no state of this process decides what a view becomes.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import Counter

from fastpix_server.base import errors, log
from fastpix_server.base.buckets import Buckets
from fastpix_server.base.client_address import customer_of
from fastpix_server.db.pool import Database
from fastpix_server.views import beacon, cdns, devices, flusher, pipeline, rows
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.flusher import Flusher
from fastpix_server.views.lookups import Lookups, Source
from fastpix_server.views.pipeline import Circumstances, Kept
from fastpix_server.views.places import Places
from fastpix_server.views.tables import TableOptions
from fastpix_server.views.wal import BACKLOG_MAX_BYTES, Wal

_log = log.get(__name__)

_REQUESTS = Counter("fastpix_beacon_requests_total", "Beacon requests by what became of them", ["outcome"])

# A page of many players, and the viewers of one home or office, start together.
BURST_OF_RATE = 4
_LAST_FLUSH_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sender:
    """`address` is the viewer's, in canonical form; `host_key` the first label of a beacon host name, or ''."""

    address: str
    user_agent: str
    host_key: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class IntakeOptions:
    """`folder` holds the log. `rate_per_s` bounds the requests of one viewer's address; 0 does not."""

    folder: Path
    rate_per_s: int = 200
    geo_files: Sequence[Path] = ()
    tables: TableOptions = dataclasses.field(default_factory=TableOptions)
    backlog_max_bytes: int = BACKLOG_MAX_BYTES


class Intake:
    """start() in the event loop that serves; one per process. The client is its own, so that questions do not hold up
    inserts; stop() closes it."""

    def __init__(self, db: Database, clickhouse: ClickHouse, options: IntakeOptions) -> None:
        self._options = options
        self._clickhouse = clickhouse
        self._lookups = Lookups(db)
        self._places = Places(options.geo_files)
        self._rates = Buckets(options.rate_per_s, options.rate_per_s * BURST_OF_RATE) if options.rate_per_s else None
        self._wal: Wal | None = None
        self._flusher: Flusher | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._knows_devices = False

    def start(self) -> None:
        options = self._options
        self._wal = Wal(options.folder, backlog_max_bytes=options.backlog_max_bytes)
        self._flusher = Flusher(self._wal, self._clickhouse, options.tables)
        self._flushing = asyncio.create_task(self._flusher.run(), name="beacon-flusher")

    async def stop(self) -> None:
        """Stores what it has; what ClickHouse does not take at once is left to whoever comes next."""
        if self._wal is None or self._flusher is None or self._flushing is None:
            return
        self._flushing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flushing
        await self._wal.close()
        with contextlib.suppress(errors.Unavailable, TimeoutError):
            async with asyncio.timeout(_LAST_FLUSH_S):
                await self._flusher.flush()
        self._wal.release()
        self._places.close()
        await self._clickhouse.close()

    def check_rate(self, address: str) -> None:
        """Before the body is read. Raises errors.TooMany."""
        wait_s = self._rates.take(customer_of(address)) if self._rates is not None else 0
        if wait_s:
            _REQUESTS.labels("rate_limited").inc()
            raise errors.TooMany(wait_s)

    async def receive(self, body: bytes, sender: Sender, *, received_at_ms: int | None = None) -> None:
        """Raises errors.TooMany and errors.Unavailable: the same request will do later."""
        received_at_ms = time.time_ns() // 1_000_000 if received_at_ms is None else received_at_ms
        try:
            transmission = beacon.read(body)
        except beacon.Unreadable as fault:
            _REQUESTS.labels(fault.reason).inc()
            return
        try:
            workspaces = await self._lookups.workspaces(pipeline.workspace_keys(transmission, sender.host_key))
            kept = pipeline.run(
                transmission,
                Circumstances(
                    received_at_ms,
                    pipeline.skew_ms(transmission.sent_at_ms, received_at_ms),
                    sender.host_key,
                    workspaces,
                ),
            )
            await self._keep(kept, sender, received_at_ms)
        except errors.TooMany:
            _REQUESTS.labels("backlog_full").inc()
            raise
        except errors.Unavailable:
            _REQUESTS.labels("unavailable").inc()
            raise
        _REQUESTS.labels("stored" if kept else "nothing_kept").inc()

    async def _keep(self, kept: list[Kept], sender: Sender, received_at_ms: int) -> None:
        if not kept:
            return
        assert self._wal is not None, "start() comes first"
        common = await self._of_sender(sender)
        sources = await self._sources(kept)
        batch = rows.build(kept, lambda event: _enriched(event, common, sources), received_at_ms)
        lines = [flusher.ROW + line for line in batch.rows] + [flusher.EVENT + line for line in batch.events]
        await self._wal.append(lines)

    async def _of_sender(self, sender: Sender) -> dict[str, str]:
        if not self._knows_devices:
            await asyncio.to_thread(devices.load)
            self._knows_devices = True
        agent = beacon.text(sender.user_agent, devices.USER_AGENT_MAX_CHARS)
        return {
            "user_agent": agent,
            "ip_address": sender.address,
            "place": self._places.describe(sender.address),
            **devices.describe(agent),
        }

    async def _sources(self, kept: list[Kept]) -> dict[tuple[str, str, str], Source | None]:
        """Of each different source of the request: normally one."""
        wanted = dict.fromkeys(_source_key(event) for event in kept)
        return {key: await self._lookups.source(*key) for key in wanted if key[1] or key[2]}


def _source_key(event: Kept) -> tuple[str, str, str]:
    url = beacon.text(event.fields.get("vdsour")) or beacon.text(event.fields.get("plsour"))
    return event.workspace_id, url, beacon.word(event.fields.get("fppbid")).lower()


def _enriched(
    event: Kept, common: dict[str, str], sources: dict[tuple[str, str, str], Source | None]
) -> dict[str, str]:
    """What the server adds; what the event itself says wins (rows.values_of)."""
    found = dict(common)
    source = sources.get(_source_key(event))
    if source is not None:
        found["fp_playback_id"] = source.playback_id
        found["media_id"] = source.media_id
        found["fp_live_stream_id"] = source.live_stream_id
    if host := beacon.word(event.fields.get("vdsohn")):
        found["detected_cdn"] = cdns.of_host(host)
    return found
