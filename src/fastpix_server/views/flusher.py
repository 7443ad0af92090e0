"""Closed segments of the write-ahead log go to ClickHouse in batches, those of dead processes too.

Invariants: a segment is deleted only after both of its inserts were acknowledged; one that is inserted twice changes
nothing. While ClickHouse is away the segments wait. A segment that ClickHouse refuses is set aside, kept and counted,
so that it does not hold up the rest.
"""

import asyncio
import contextlib
from pathlib import Path

from prometheus_client import Counter, Histogram

from fastpix_server.base import errors, log
from fastpix_server.views import store, tables, wal
from fastpix_server.views.clickhouse import UNKNOWN_TABLE, ClickHouse, StatementFault
from fastpix_server.views.tables import TableOptions
from fastpix_server.views.wal import Wal

_log = log.get(__name__)

# A closed segment is taken at once; what else there is to do, such as adopting, can wait this long.
EVERY_S = 5.0
RETRY_FIRST_S = 0.5
# A restarted engine is back within this; a longer outage costs one try each time.
RETRY_MAX_S = 10.0
# Dead processes are rare: a supervisor that restarts one does not hurry.
ADOPT_EVERY_S = 15.0
REFUSED = "refused"
ROW, EVENT = b"R", b"E"  # the first byte of a line says which table it is for

_ROWS = Counter("fastpix_beacon_rows_total", "Rows of beacons that ClickHouse took, by table", ["table"])
_REFUSED = Counter("fastpix_beacon_segments_refused_total", "Segments that ClickHouse refused; kept in a folder")
_SECONDS = Histogram("fastpix_beacon_flush_seconds", "Time to insert one segment")


class Flusher:
    """Makes missing tables as soon as ClickHouse answers; the embedded engine has made its own before."""

    def __init__(self, log_: Wal, clickhouse: ClickHouse, options: TableOptions) -> None:
        self._wal = log_
        self._clickhouse = clickhouse
        self._options = options
        self._has_tables = False
        self._adopted_at = float("-inf")
        self._pause_s = RETRY_FIRST_S

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                self._wal.has_closed.clear()
                await self.flush()
                self._pause_s = RETRY_FIRST_S
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wal.has_closed.wait(), EVERY_S)
                continue
            except errors.Unavailable as fault:
                self._pause_s = min(self._pause_s * 2, RETRY_MAX_S)
                if self._wal.backlog_bytes:  # otherwise nobody misses it
                    _log.warning("beacons_wait", error=fault.description, backlog_bytes=self._wal.backlog_bytes)
            except Exception:
                self._pause_s = RETRY_MAX_S
                _log.exception("beacon_flush_failed")
            await asyncio.sleep(self._pause_s)

    async def flush(self) -> None:
        """Everything that is closed now. Raises errors.Unavailable."""
        await self._ensure_tables()
        for segment in self._wal.segments():
            await self._insert(segment)
        now = asyncio.get_running_loop().time()
        if now - self._adopted_at >= ADOPT_EVERY_S:
            with contextlib.closing(self._wal.adoptable()) as folders:
                for adopted in folders:
                    for segment in adopted.segments():
                        await self._insert(segment)
                        _log.info("beacon_segment_adopted", segment=segment.name)
                    adopted.remove()
            self._adopted_at = now

    async def _insert(self, segment: Path) -> None:
        data = await asyncio.to_thread(segment.read_bytes)
        lines = wal.whole_lines(data)
        rows = [line[1:] for line in lines if line[:1] == ROW]
        events = [line[1:] for line in lines if line[:1] == EVENT]
        try:
            with _SECONDS.time():
                await self._insert_lines(rows, events)
        except StatementFault as fault:
            if fault.code == UNKNOWN_TABLE:  # somebody dropped them: they are made again
                self._has_tables = False
                raise errors.Unavailable("The tables of views are missing.") from fault
            self._set_aside(segment, fault)
        self._wal.flushed(segment, len(data))

    async def _insert_lines(self, rows: list[bytes], events: list[bytes]) -> None:
        if rows:
            await store.insert_rows(self._clickhouse, b"\n".join(rows))
            _ROWS.labels("rows").inc(len(rows))
        if events:
            await store.insert_events(self._clickhouse, b"\n".join(events))
            _ROWS.labels("events").inc(len(events))

    async def _ensure_tables(self) -> None:
        if not self._has_tables:
            await tables.ensure(self._clickhouse, self._options)
            self._has_tables = True

    def _set_aside(self, segment: Path, fault: StatementFault) -> None:
        folder = segment.parent.parent / REFUSED
        folder.mkdir(mode=0o700, exist_ok=True)
        segment.rename(folder / segment.name)
        _REFUSED.inc()
        _log.error("beacon_segment_refused", segment=segment.name, code=fault.code, error=fault.description[:500])
