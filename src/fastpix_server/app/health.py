"""Answers about the process itself: alive, ready, metrics.

Invariants: *live* asks nobody; *ready* is true only when a request and a job would both be served now; an answer names
the failing part in plain words and no address, path or secret.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import prometheus_client
import prometheus_client.multiprocess
from sqlalchemy.exc import SQLAlchemyError

from fastpix_server.base import errors, log
from fastpix_server.db import migrate
from fastpix_server.jobs import alive
from fastpix_server.live import ingests
from fastpix_server.media import storage
from fastpix_server.storage.port import StorageError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from fastpix_server.app.wiring import Platform

_log = log.get(__name__)

PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})
# The self-test writes and deletes an object; a probe each second must not turn that into load.
_STORAGE_TEST_EVERY_S = 30.0
_STORAGE_TEST_TIMEOUT_S = 5.0
_ANALYTICS_TEST_TIMEOUT_S = 2.0
# The counts behind it change once a minute; a scraper must not turn it into load.
_STORAGE_TEXT_EVERY_S = 15.0
_STORAGE_TEXT_TIMEOUT_S = 3.0
_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Endpoints:
    """The three paths of PATHS as an ASGI app, and `/`, which leads to the reference of the API."""

    def __init__(self, platform: "Platform", *, expects_ingest: bool = False) -> None:
        """`expects_ingest`: live ingest runs beside us, so we are ready only with it."""
        self._platform = platform
        self._expects_ingest = expects_ingest
        self._storage_tested_at = float("-inf")
        self._storage_is_fine = False
        self._storage_lock = asyncio.Lock()
        self._has_seen_analytics = False
        self._storage_said = b""
        self._storage_text_at = float("-inf")
        self._storage_text_lock = asyncio.Lock()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await answer(send, 405, {"error": "method not allowed"})
        elif scope["path"] == "/":
            await _send(send, 307, b"text/plain", b"", (b"location", b"/docs"))
        elif scope["path"] == "/health/live":
            await answer(send, 200, {"status": "live"})
        elif scope["path"] == "/health/ready":
            await self._ready(send)
        else:
            body = await asyncio.to_thread(metrics_text)
            await _send(send, 200, _METRICS_TYPE, body + await self._storage_text())

    async def _storage_text(self) -> bytes:
        """What every machine would say alike, from the database; nothing while it is away."""
        async with self._storage_text_lock:
            if time.monotonic() - self._storage_text_at > _STORAGE_TEXT_EVERY_S:
                try:
                    maximum = self._platform.settings.cache_max_bytes
                    async with asyncio.timeout(_STORAGE_TEXT_TIMEOUT_S):
                        self._storage_said = await storage.metrics_text(self._platform.db, cache_max_bytes=maximum)
                except (errors.Unavailable, SQLAlchemyError, TimeoutError):
                    self._storage_said = b""
                self._storage_text_at = time.monotonic()
            return self._storage_said

    async def _ready(self, send: "Send") -> None:
        checks = {**await self._check_database(), "storage": await self._check_storage()}
        # Once it was there, its absence takes nobody out of service: beacons wait for it on our disk.
        has_started = await self._has_analytics_started()
        if has_started is not None:
            checks["analytics"] = has_started
        is_ready = all(checks.values())
        words = {name: "ok" if is_fine else "failed" for name, is_fine in checks.items()}
        await answer(send, 200 if is_ready else 503, {"status": "ready" if is_ready else "not ready", "checks": words})

    async def _check_database(self) -> dict[str, bool]:
        checks = {"database": False, "migrations": False, "worker": False}
        try:
            async with self._platform.db.unit() as tx:
                checks["database"] = True
                checks["migrations"] = await migrate.is_at_head(tx)
                if checks["migrations"]:
                    checks["worker"] = await alive.has_worker(tx)
            if self._expects_ingest:
                checks["ingest"] = bool(checks["migrations"] and await ingests.living(self._platform.db))
        except errors.Unavailable:
            _log.warning("not_ready", part="database")
        return checks

    async def _has_analytics_started(self) -> bool | None:
        """None where there is none."""
        if self._has_seen_analytics or not self._platform.settings.clickhouse_url:
            return self._has_seen_analytics or None
        try:
            await self._platform.clickhouse.rows("SELECT 1", timeout_s=_ANALYTICS_TEST_TIMEOUT_S)
            self._has_seen_analytics = True
        except errors.FastpixError:
            _log.debug("not_ready", part="analytics")
        return self._has_seen_analytics

    async def _check_storage(self) -> bool:
        async with self._storage_lock:
            # A failure is asked about again at once: only good news is remembered.
            if self._storage_is_fine and time.monotonic() - self._storage_tested_at < _STORAGE_TEST_EVERY_S:
                return True
            try:
                async with asyncio.timeout(_STORAGE_TEST_TIMEOUT_S):
                    await self._platform.storage.objects.self_test()
                self._storage_is_fine = True
            except (StorageError, OSError, TimeoutError) as fault:
                self._storage_is_fine = False
                _log.warning("not_ready", part="storage", error=f"{type(fault).__name__}: {fault}")
            self._storage_tested_at = time.monotonic()
            return self._storage_is_fine


def metrics_text() -> bytes:
    """All processes of this machine when they share a folder of samples, otherwise this process alone."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return bytes(prometheus_client.generate_latest())
    _forget_dead(Path(folder))
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.multiprocess.MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return bytes(prometheus_client.generate_latest(registry))


def _forget_dead(folder: Path) -> None:
    """Live gauges of processes that ended are removed; their counters stay, as they happened."""
    for sample in folder.glob("gauge_live*_*.db"):
        pid = sample.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            sample.unlink(missing_ok=True)


async def answer(send: "Send", status: int, body: dict[str, object]) -> None:
    await _send(send, status, b"application/json", msgspec.json.encode(body))


async def not_found(scope: "Scope", receive: "Receive", send: "Send") -> None:
    """For a family that this role does not serve."""
    await answer(send, 404, {"error": "not found"})


async def _send(send: "Send", status: int, content_type: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
