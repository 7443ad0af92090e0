"""The front of the HTTP port: who answers what, request ids, health."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from fastpix_server.app import health, settings
from fastpix_server.app.http import Front, choose_family
from fastpix_server.base import log
from fastpix_server.db.pool import Database


@pytest.mark.parametrize(
    ("path", "host", "family"),
    [
        ("/v1/on-demand", "localhost:8080", "api"),
        ("/v1", "localhost", "api"),
        ("/v1x", "localhost", "edge"),
        ("/docs", "localhost", "api"),
        ("/docsx", "localhost", "edge"),
        ("/x.m3u8", "localhost", "edge"),
        ("/", "localhost", "edge"),
        ("/x.m3u8", "api.example.com", "api"),
        # Players have the name of the API's host in them for licences.
        ("/v1/on-demand/drm/license/clearkey/x", "api.example.com", "edge"),
        ("/v1/on-demand/drm/cert/fairplay/x", "localhost", "edge"),
        ("/v1/on-demand/drm-configurations", "localhost", "api"),
        ("/v1/x", "stream.example.com", "edge"),
        ("/v1/x", "images.example.com", "edge"),
        ("/v1/x", "apix.example.com", "api"),
        ("/x", "apix.example.com", "edge"),
        ("/health/ready", "stream.example.com", "own"),
        ("/metrics", "api.example.com", "own"),
        ("/health/other", "localhost", "edge"),
    ],
)
def test_host_name_and_then_path_choose_who_answers(path: str, host: str, family: str):
    assert choose_family(path, host) == family


@pytest.fixture
async def front(database_url: str, tmp_path: Path) -> AsyncIterator[Front]:
    front = Front(
        settings.load({"FASTPIX_DATA_DIR": str(tmp_path / "data"), "FASTPIX_DATABASE_URL": database_url}),
        frozenset({"api", "edge"}),
    )
    await front.start()
    yield front
    await front.stop()


async def ask(front: Front, path: str, *, method: str = "GET", host: str = "localhost", **headers: str) -> Any:
    """status, headers, body."""
    sent: list[dict[str, Any]] = []
    pairs = [(b"host", host.encode()), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"token=hush"}
    scope |= {"headers": pairs, "root_path": "", "scheme": "http", "http_version": "1.1", "asgi": {"version": "3.0"}}
    scope |= {"server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "state": {}}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await front(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], sent[0]["headers"], body


def ids_of(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [value for name, value in headers if name.lower() == b"x-request-id"]


@pytest.mark.parametrize("path", ["/health/live", "/v1/on-demand", "/nothing.m3u8", "/docs"])
async def test_every_answer_carries_one_request_id(front: Front, path: str):
    _, headers, _ = await ask(front, path)
    assert len(ids_of(headers)) == 1


@pytest.mark.parametrize("path", ["/health/live", "/v1/on-demand"])
async def test_the_request_id_of_the_caller_is_repeated(front: Front, path: str):
    _, headers, _ = await ask(front, path, x_request_id="abc-1")
    assert ids_of(headers) == [b"abc-1"]


@pytest.mark.parametrize("bad", ["a b", "x" * 129, "a\nb", ""])
async def test_a_request_id_that_is_no_word_is_replaced(front: Front, bad: str):
    _, headers, _ = await ask(front, "/health/live", x_request_id=bad)
    assert ids_of(headers) != [bad.encode()]


async def test_a_person_who_opens_the_address_is_led_to_the_reference(front: Front):
    status, headers, _ = await ask(front, "/")
    assert (status, dict(headers)[b"location"]) == (307, b"/docs")
    assert (await ask(front, "/docs"))[0] == 200
    assert (await ask(front, "/", host="stream.example.com"))[0] == 404  # viewers' host
    assert (await ask(front, "/", method="POST"))[0] != 307  # beacons


async def test_live_asks_nobody(front: Front):
    status, _, body = await ask(front, "/health/live")
    assert (status, json.loads(body)) == (200, {"status": "live"})


async def test_ready_needs_a_worker_and_an_ingest_that_were_heard(front: Front, database_url: str):
    status, _, body = await ask(front, "/health/ready")
    checks = {"database": "ok", "migrations": "ok", "worker": "failed", "ingest": "failed", "storage": "ok"}
    assert (status, json.loads(body)) == (503, {"status": "not ready", "checks": checks})
    db = await Database.open(database_url)
    async with db.unit() as tx:
        await tx.execute(text("insert into procrastinate_workers default values"))
    assert (await ask(front, "/health/ready"))[0] == 503
    async with db.unit() as tx:
        await tx.execute(text("insert into live_ingests (id, origin_url) values (gen_random_uuid(), 'http://x')"))
    status, _, body = await ask(front, "/health/ready")
    assert (status, json.loads(body)["status"]) == (200, "ready")
    async with db.unit() as tx:
        await tx.execute(text("update procrastinate_workers set last_heartbeat = now() - interval '8 s'"))
    assert (await ask(front, "/health/ready"))[0] == 503
    await db.close()


async def test_ready_notices_a_schema_that_is_behind(front: Front, database_url: str):
    db = await Database.open(database_url)
    async with db.unit() as tx:
        await tx.execute(text("update alembic_version set version_num = '0001_jobs'"))
    await db.close()
    _, _, body = await ask(front, "/health/ready")
    assert json.loads(body)["checks"]["migrations"] == "failed"


async def test_ready_notices_storage_that_cannot_be_written(front: Front, tmp_path: Path):
    objects = tmp_path / "data" / "objects"
    objects.rename(tmp_path / "away")
    objects.write_text("a file is in the way")
    _, _, body = await ask(front, "/health/ready")
    assert json.loads(body)["checks"]["storage"] == "failed"
    assert str(tmp_path).encode() not in body


async def test_metrics_are_prometheus_text(front: Front):
    await ask(front, "/health/live")
    status, headers, body = await ask(front, "/metrics")
    assert status == 200
    assert dict(headers)[b"content-type"].startswith(b"text/plain")
    assert b"fastpix_http_requests_total" in body
    assert b'fastpix_storage_bytes{kind="source"} 0.0' in body


async def test_health_refuses_other_methods(front: Front):
    assert (await ask(front, "/health/live", method="POST"))[0] == 405


async def test_the_log_line_of_a_request_has_no_query(front: Front):
    log.configure("test", "debug")
    try:
        with capture_logs() as lines:
            await ask(front, "/v1/on-demand", authorization="Basic c2VjcmV0")
    finally:
        log.configure("test", "warning")
    (line,) = [line for line in lines if line["event"] == "http_request"]
    assert line["path"] == "/v1/on-demand"
    assert "hush" not in str(lines)
    assert "c2VjcmV0" not in str(lines)


async def test_a_family_that_this_role_does_not_serve_is_not_found(database_url: str, tmp_path: Path):
    at = settings.load({"FASTPIX_DATA_DIR": str(tmp_path / "data"), "FASTPIX_DATABASE_URL": database_url})
    front = Front(at, frozenset({"api"}))
    await front.start()
    assert (await ask(front, "/x.m3u8"))[0] == 404
    assert (await ask(front, "/v1/on-demand"))[0] == 401
    await front.stop()


async def test_ready_waits_once_for_the_analytics_role_and_beacons_are_taken_meanwhile(
    database_url: str, tmp_path: Path
) -> None:
    environ = {"FASTPIX_DATA_DIR": str(tmp_path / "data"), "FASTPIX_DATABASE_URL": database_url}
    front = Front(settings.load({**environ, "FASTPIX_CLICKHOUSE_URL": "http://127.0.0.1:9"}), frozenset({"edge"}))
    await front.start()
    _, _, body = await ask(front, "/health/ready")
    assert json.loads(body)["checks"]["analytics"] == "failed"
    assert (await ask(front, "/", method="POST"))[0] == 200
    await front.stop()


def test_live_gauges_of_dead_processes_are_removed_and_their_counters_kept(tmp_path: Path):
    names = ["gauge_livesum_999999999.db", "counter_999999999.db", "gauge_livesum_1.db"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    health._forget_dead(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_999999999.db", "gauge_livesum_1.db"]
