"""The upload URL under every kind of trouble: gaps, overlaps, lies, rivals, restarts, time."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.unit.uploads.conftest import Uploading, ask, free_port, put

from fastpix_server.db.pool import Database
from fastpix_server.media import uploads, uploads_store
from fastpix_server.storage.open import open_store

FILE = os.urandom(2_500_000)
HALF = len(FILE) // 2


def test_overlap_gap_and_repetition_end_in_the_same_bytes(uploading: Uploading) -> None:
    made = uploading.create()
    url, total = made["url"], len(FILE)
    assert put(url, FILE[:1_000_000], 0, total).headers["range"] == "bytes=0-999999"
    gap = put(url, FILE[1_500_000:2_000_000], 1_500_000, total)
    assert (gap.status_code, gap.headers["range"]) == (308, "bytes=0-999999")
    again = put(url, FILE[:1_000_000], 0, total)
    assert (again.status_code, again.headers["range"]) == (308, "bytes=0-999999")
    overlap = put(url, FILE[600_000:1_400_000], 600_000, total)
    assert (overlap.status_code, overlap.headers["range"]) == (308, "bytes=0-1399999")
    assert put(url, FILE[1_300_000:], 1_300_000, total).status_code == 200
    assert put(url, FILE[1_300_000:], 1_300_000, total).status_code == 200
    assert uploading.stored(made["uploadId"]) == FILE
    assert uploading.events(made["uploadId"]).count("video.upload.media_created") == 1


def test_a_total_that_is_said_only_at_the_end_is_taken(uploading: Uploading) -> None:
    made = uploading.create()
    put(made["url"], FILE[:HALF], 0, "*")
    put(made["url"], FILE[HALF:], HALF, "*")
    assert ask(made["url"], len(FILE)).status_code == 200
    assert uploading.stored(made["uploadId"]) == FILE


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Range": "bytes 0-9"}, b"0123456789", 400),
        ({"Content-Range": "chunks 0-9/20"}, b"0123456789", 400),
        ({"Content-Range": "bytes 9-0/20"}, b"0123456789", 416),
        ({"Content-Range": "bytes 0-19/10"}, b"x" * 20, 416),
        ({"Content-Range": "bytes 0-9/20"}, b"012345678", 400),
        ({"Content-Range": "bytes 0-9/20"}, b"0123456789A", 400),
        ({"Content-Range": "bytes 0-9/99999999999999"}, b"0123456789", 413),
        ({"Content-Range": "bytes */20"}, b"0123456789", 400),
        ({"Content-Range": "bytes */0"}, b"", 400),
        ({}, b"", 400),
    ],
)
def test_a_wrong_range_is_refused_in_the_envelope_and_stores_nothing(
    uploading: Uploading, headers: dict[str, str], body: bytes, status: int
) -> None:
    made = uploading.create()
    answer = httpx.put(made["url"], content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is False
    assert answer.json()["error"]["code"] == status
    assert answer.json()["error"]["description"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "range" not in ask(made["url"], "*").headers


def test_a_total_that_changes_is_refused(uploading: Uploading) -> None:
    made = uploading.create()
    put(made["url"], FILE[:100], 0, 300)
    assert put(made["url"], FILE[100:200], 100, 400).status_code == 400
    assert put(made["url"], FILE[100:300], 100, 300).status_code == 200


def test_a_chunked_body_longer_than_its_range_is_refused(uploading: Uploading) -> None:
    made = uploading.create()
    body = iter([FILE[:150]])
    answer = httpx.put(made["url"], content=body, headers={"Content-Range": "bytes 0-99/300"})
    assert answer.status_code == 400
    assert "longer" in answer.json()["error"]["description"]
    assert ask(made["url"], 300).headers["range"] == "bytes=0-99"


def test_a_chunked_body_shorter_than_its_range_is_told_the_truth(uploading: Uploading) -> None:
    made = uploading.create()
    answer = httpx.put(made["url"], content=iter([FILE[:60]]), headers={"Content-Range": "bytes 0-99/300"})
    assert (answer.status_code, answer.headers["range"]) == (308, "bytes=0-59")


@pytest.mark.parametrize("change", ["sig=0", "exp=1", "upload_id=0", None])
def test_a_url_that_was_tampered_with_is_forbidden(uploading: Uploading, change: str | None) -> None:
    url = uploading.create()["url"]
    path, _, query = url.partition("?")
    parts = dict(pair.split("=") for pair in query.split("&"))
    if change is not None:
        name, _, value = change.partition("=")
        parts[name] = value
    bad = path if change is None else path + "?" + "&".join(f"{n}={v}" for n, v in parts.items())
    assert httpx.put(bad, content=FILE[:100]).status_code == 403
    assert httpx.put(url, content=FILE[:100]).status_code == 200


def test_one_uploads_signature_does_not_open_another(uploading: Uploading) -> None:
    mine, other = uploading.create(), uploading.create()
    stolen = other["url"].partition("?")[0] + "?" + mine["url"].partition("?")[2]
    assert httpx.put(stolen, content=b"x").status_code == 403


@pytest.mark.parametrize("upload_id", ["beff5537-de85-42e1-a673-2a405cd94177", "nonsense", "%2e%2e"])
def test_an_unknown_upload_is_not_found(uploading: Uploading, upload_id: str) -> None:
    answer = httpx.put(f"{uploading.base}/upload/{upload_id}?sig=x&exp=1", content=b"x")
    assert answer.status_code == 404


def test_other_methods_are_refused_with_the_list_of_good_ones(uploading: Uploading) -> None:
    answer = httpx.get(uploading.create()["url"])
    assert (answer.status_code, answer.headers["allow"]) == (405, "PUT, POST, DELETE, OPTIONS")


def test_delete_gives_the_session_up(uploading: Uploading) -> None:
    made = uploading.create()
    put(made["url"], FILE[:100], 0, 300)
    assert httpx.delete(made["url"]).status_code == 204
    assert put(made["url"], FILE[100:300], 100, 300).status_code == 410
    assert uploading.status(made["uploadId"]) == "cancelled"


def test_a_second_post_begins_anew(uploading: Uploading) -> None:
    made = uploading.create(browser=True)
    begin = {"x-goog-resumable": "start"}
    first = httpx.post(made["url"], headers=begin).headers["location"]
    put(first, b"bytes of a file that the user thought better of", 0, 1000)
    second = httpx.post(made["url"], headers=begin).headers["location"]
    assert "range" not in ask(second, "*").headers
    assert httpx.put(second, content=FILE).status_code == 200
    assert uploading.stored(made["uploadId"]) == FILE


@contextlib.contextmanager
def _half_sent(url: str, body: bytes, first: int, total: int, announced: int) -> Iterator[socket.socket]:
    """A request whose body stops in the middle while its connection stays open."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.create_connection((parts.hostname, parts.port)) as line:
        head = (
            f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {announced}\r\n"
            f"Content-Range: bytes {first}-{first + announced - 1}/{total}\r\n\r\n"
        )
        line.sendall(head.encode() + body)
        yield line


def _eventually_durable(url: str, total: int, at_least: int) -> int:
    for _ in range(1200):
        text = ask(url, total).headers.get("range", "bytes=0--1")
        if (durable := int(text.removeprefix("bytes=0-")) + 1) >= at_least:
            return durable
        time.sleep(0.05)
    raise AssertionError("the bytes before the break did not become durable")


def test_bytes_before_a_broken_connection_count(uploading: Uploading) -> None:
    made = uploading.create()
    with _half_sent(made["url"], FILE[:1_000_000], 0, len(FILE), 2_000_000):
        time.sleep(0.3)
    durable = _eventually_durable(made["url"], len(FILE), 1_000_000)
    assert durable == 1_000_000
    assert put(made["url"], FILE[durable:], durable, len(FILE)).status_code == 200
    assert uploading.stored(made["uploadId"]) == FILE


def test_a_newer_request_takes_over_from_a_silent_one(uploading: Uploading) -> None:
    """A phone that changed networks: the old connection hangs, whichever process holds it."""
    for _ in range(4):
        made = uploading.create()
        with _half_sent(made["url"], FILE[:1_000_000], 0, len(FILE), 2_000_000):
            time.sleep(0.2)
            begun = time.monotonic()
            answer = put(made["url"], FILE, 0, len(FILE))
            assert (answer.status_code, time.monotonic() - begun < 20) == (200, True), answer.text
        assert uploading.stored(made["uploadId"]) == FILE


def test_many_writers_at_once_end_in_one_media(uploading: Uploading) -> None:
    made = uploading.create()

    def client() -> None:
        for _ in range(60):
            asked = ask(made["url"], len(FILE))
            if asked.status_code == 200:
                return
            at = int(asked.headers.get("range", "bytes=0--1").removeprefix("bytes=0-")) + 1
            answer = put(made["url"], FILE[at : at + 700_000], at, len(FILE))
            assert answer.status_code in (200, 308, 503), answer.text
            time.sleep(0.05)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert uploading.stored(made["uploadId"]) == FILE
    assert uploading.events(made["uploadId"]).count("video.upload.media_created") == 1


def test_memory_stays_bounded_whatever_the_chunk(uploading: Uploading) -> None:
    made = uploading.create()
    piece = os.urandom(1_000_000)
    before = uploading.memory_bytes()
    peak = 0

    def body() -> Iterator[bytes]:
        nonlocal peak
        for n in range(300):
            if n % 30 == 0:
                peak = max(peak, uploading.memory_bytes())
            yield piece

    answer = httpx.put(made["url"], content=body(), headers={"Content-Length": str(300 * len(piece))}, timeout=60)
    assert answer.status_code == 200
    assert peak - before < 60_000_000


def test_a_killed_server_goes_on_from_the_acknowledged_bytes(module_database_url: str, tmp_path: Path) -> None:
    running = Uploading(module_database_url, tmp_path, free_port(), processes=1)
    running.start()
    try:
        made = running.create()
        assert put(made["url"], FILE[:1_000_000], 0, len(FILE)).status_code == 308
        with _half_sent(made["url"], FILE[1_000_000:1_500_000], 1_000_000, len(FILE), 1_000_000):
            time.sleep(0.2)
            running.kill()
        running.start()
        asked = ask(made["url"], len(FILE))
        at = int(asked.headers["range"].removeprefix("bytes=0-")) + 1
        assert at >= 1_000_000
        assert put(made["url"], FILE[at:], at, len(FILE)).status_code == 200
        assert running.stored(made["uploadId"]) == FILE
    finally:
        running.kill()


def test_storage_that_is_away_is_a_passing_fault_and_loses_nothing(uploading: Uploading) -> None:
    made = uploading.create()
    put(made["url"], FILE[:HALF], 0, len(FILE))
    staging = uploading.folder / "objects" / ".staging"
    staging.rename(staging.with_name(".away"))
    staging.write_text("no folder any more")
    try:
        answer = put(made["url"], FILE[HALF:], HALF, len(FILE))
    finally:
        staging.unlink()
        staging.with_name(".away").rename(staging)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["access-control-allow-origin"] == "*"
    assert put(made["url"], FILE[HALF:], HALF, len(FILE)).status_code == 200
    assert uploading.stored(made["uploadId"]) == FILE


def test_a_crash_between_the_rename_and_the_commit_is_completed_by_the_next_request(uploading: Uploading) -> None:
    made = uploading.create()
    upload_id = made["uploadId"]
    put(made["url"], FILE[:HALF], 0, len(FILE))
    target = uploading.folder / "objects" / "sources" / upload_id / "original"
    target.parent.mkdir(parents=True)
    target.write_bytes(FILE)
    for path in uploading.staged(upload_id):
        path.unlink()
    assert ask(made["url"], len(FILE)).status_code == 200
    assert uploading.status(upload_id) == "completed"
    assert uploading.stored(upload_id) == FILE


def _age(uploading: Uploading, upload_id: str, seconds: int) -> None:
    uploading.rows(
        "update uploads set expires_at = %s where id = %s", datetime.now(UTC) + timedelta(seconds=seconds), upload_id
    )


def test_an_expired_upload_is_gone_and_purged(uploading: Uploading) -> None:
    begun, fresh, alive = uploading.create(), uploading.create(), uploading.create()
    for made in (begun, alive):
        put(made["url"], FILE[:100], 0, 300)
    _age(uploading, begun["uploadId"], -1)
    _age(uploading, fresh["uploadId"], -1)
    for made in (begun, fresh):
        assert put(made["url"], FILE[100:300], 100, 300).status_code == 410
        assert uploading.api("PUT", f"/upload/{made['uploadId']}/cancel").status_code == 400
    listed = uploading.api("GET", "/uploads", params={"limit": 50}).json()["data"]
    assert {begun["uploadId"], fresh["uploadId"]}.isdisjoint(entry["uploadId"] for entry in listed)
    _purge(uploading)
    assert uploading.status(begun["uploadId"]) == "expired"
    assert uploading.staged(begun["uploadId"]) == []
    assert put(begun["url"], FILE[100:300], 100, 300).status_code == 410
    assert put(alive["url"], FILE[100:300], 100, 300).status_code == 200


def test_a_begun_session_lives_a_day_from_its_last_byte(uploading: Uploading) -> None:
    made = uploading.create()
    left = "select extract(epoch from expires_at - now()) from uploads where id = %s"
    assert 14_000 < uploading.rows(left, made["uploadId"])[0][0] <= 14_400
    put(made["url"], FILE[:100], 0, 300)
    assert 86_000 < uploading.rows(left, made["uploadId"])[0][0] <= 86_400


def test_the_purge_completes_what_was_whole_but_never_answered(uploading: Uploading) -> None:
    made = uploading.create()
    upload_id = made["uploadId"]
    put(made["url"], FILE[:HALF], 0, len(FILE))
    asyncio.run(_append(uploading, upload_id, FILE[HALF:], HALF))
    _age(uploading, upload_id, -1)
    _purge(uploading)
    assert uploading.status(upload_id) == "completed"
    assert uploading.stored(upload_id) == FILE
    assert uploading.api("GET", f"/{upload_id}").status_code == 200


async def _append(uploading: Uploading, upload_id: str, data: bytes, offset: int) -> None:
    async def one():  # type: ignore[no-untyped-def]
        yield data

    storage = open_store(f"file://{uploading.folder}/objects", {}, uploading.folder / "work")
    await storage.staging.append(upload_id, offset, one(), max_size_bytes=10**9)


def _purge(uploading: Uploading) -> None:
    async def run() -> None:
        db = await Database.open(uploading.database_url, size=2)
        storage = open_store(f"file://{uploading.folder}/objects", {}, uploading.folder / "work")
        while await uploads.purge(db, storage, public_url=uploading.base):
            async with db.unit() as tx:
                if not await uploads_store.expired(tx, limit=1):
                    break
        await db.close()

    asyncio.run(run())
