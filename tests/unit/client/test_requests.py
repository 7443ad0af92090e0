"""Attempts, time limits and errors: what the clients do when an answer is late, wrong, or never comes."""

import datetime
import email.utils
import socket
import threading
import time
import uuid

import pytest
from tests.unit.client.scripted import Answer

import fastpix
from fastpix import errors
from fastpix._async import http as async_http
from fastpix._sync import http as sync_http
from fastpix.options import Retries

MEDIA = {"success": True, "data": {"id": "m", "status": "Ready", "createdAt": "2026-05-20T09:06:43.064393Z"}}
OK = Answer(200, MEDIA)


def refusal(status: int, **error: object) -> Answer:
    return Answer(status, {"success": False, "error": {"code": status, **error}}, {"X-Request-Id": "r-1"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (413, errors.TooLarge),
        (418, errors.Refused),
        (422, errors.Invalid),
        (501, errors.ServerFault),
    ],
)
async def test_a_refusal_is_an_error_of_its_status_and_is_not_repeated(status, kind, both, server):
    fields = [{"field": "inputs[0].url", "message": "is invalid"}]
    server.script(refusal(status, message="no", description="because", fields=fields))
    with pytest.raises(kind) as caught:
        await both.call(both.client.media.get, media_id="m")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.request_id, caught.value.attempts) == (status, "r-1", 1)
    assert (caught.value.message, caught.value.description) == ("no", "because")
    assert caught.value.fields == (("inputs[0].url", "is invalid"),)
    assert str(caught.value) == f"{status} no: because; inputs[0].url is invalid (request r-1)"
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 524])
async def test_a_passing_trouble_is_tried_again_with_the_same_idempotency_key(status, both, server):
    server.script(refusal(status, message="busy"), refusal(status, message="busy"), OK)
    assert (await both.call(both.client.media.create, url="https://a.example/v.mp4")).id == "m"
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert uuid.UUID(keys[0]).version == 4
    assert len({asked.body for asked in server.asked}) == 1


async def test_trouble_that_stays_is_raised_after_the_last_attempt(both, server):
    server.script(*[refusal(503, message="away")] * 9)
    with pytest.raises(errors.ServerFault) as caught:
        await both.call(both.client.media.get, media_id="m")
    assert (caught.value.status, caught.value.attempts, len(server.asked)) == (503, 4, 4)
    server.script(*[refusal(503, message="away")] * 9)
    with pytest.raises(errors.ServerFault):
        await both.call(both.client.with_options(retries=0).media.get, media_id="m")
    assert len(server.asked) == 1


async def test_the_server_says_when_to_come_back(both, server):
    server.script(Answer(429, {}, {"Retry-After": "0.3"}), OK)
    began = time.monotonic()
    await both.call(both.client.media.get, media_id="m")
    assert time.monotonic() - began >= 0.3
    server.script(Answer(429, {}, {"Retry-After": "3600"}), OK)
    with pytest.raises(errors.RateLimited) as caught:
        await both.call(both.client.media.get, media_id="m")
    assert (caught.value.retry_after_s, len(server.asked)) == (3600, 1)


def test_waits_double_are_scattered_and_bounded() -> None:
    plan = Retries(attempts=8, first_wait_s=1, max_wait_s=10)
    waits = [plan.wait_s(attempt) for attempt in range(1, 9)]
    assert waits[-1] is None
    for wait_s, full_s in zip(waits[:-1], [1, 2, 4, 8, 10, 10, 10], strict=True):
        assert wait_s is not None
        assert full_s / 2 <= wait_s <= full_s
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    told = plan.wait_s(1, email.utils.format_datetime(soon, usegmt=True))
    assert told is not None
    assert 25 < told <= 30
    assert plan.wait_s(1, "-5") == 0.0
    for nonsense in ("soon", "nan", "inf", ""):
        wait_s = plan.wait_s(1, nonsense)
        assert wait_s is not None
        assert 0.5 <= wait_s <= 1
    with pytest.raises(ValueError, match="at least 1"):
        Retries(attempts=0)


async def test_a_connection_that_breaks_is_made_anew(both, server):
    server.script(Answer(200, MEDIA, break_after=20), Answer(200, MEDIA, break_after=0), OK)
    assert (await both.call(both.client.media.get, media_id="m")).id == "m"
    server.script(*[Answer(200, MEDIA, break_after=20)] * 4)
    with pytest.raises(errors.ConnectionFailed) as caught:
        await both.call(both.client.media.delete, media_id="m")
    assert caught.value.attempts == 4
    assert caught.value.idempotency_key == server.asked[0].headers["idempotency-key"]


async def test_nobody_at_the_door_is_no_answer(both):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1?sig=s"
        both.client._api.http.credentials = both.client._api.http.credentials.__class__("u", "p", url.split("?")[0])
        with pytest.raises(errors.ConnectionFailed) as caught:
            await both.call(both.client.media.get, media_id="m")
    assert isinstance(caught.value, errors.NoAnswer)
    assert "p" not in str(caught.value).split()


async def test_an_answer_that_is_late_times_out(both, server):
    hold = threading.Event()
    server.script(Answer(200, MEDIA, hold=hold), OK)
    try:
        with pytest.raises(errors.TimedOut):
            await both.call(both.client.with_options(timeout_s=0.2, retries=0).media.get, media_id="m")
    finally:
        hold.set()


async def test_an_answer_that_drips_times_out_too(both):
    """Each byte comes in time, all of them do not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        is_over = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                try:
                    while not is_over.wait(0.02):
                        connection.sendall(b" ")
                except OSError:
                    pass

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        client = both.client.with_options(timeout_s=0.3, retries=0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        client._api.http.credentials = client._api.http.credentials.__class__("u", "p", url)
        with pytest.raises(errors.TimedOut, match="no complete answer"):
            await both.call(client.media.get, media_id="m")
        is_over.set()
        thread.join(10)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b'{"success": true, "data": {"id": "m"',
        b"\xff\xfe",
        b"[]",
        b'{"success": true}',
        b'{"success": true, "data": {"id": 7}}',
        b'{"success": true, "data": {"id": "m", "status": "Ready", "createdAt": "yesterday"}}',
        b"[" * 100_000,
    ],
    ids=["empty", "html", "cut", "no-text", "list", "no-data", "no-status", "no-time", "deep"],
)
async def test_a_success_that_is_not_understood_is_a_bad_answer(body, both, server):
    server.script(Answer(200, body, {"X-Request-Id": "r-2"}))
    with pytest.raises(errors.BadAnswer) as caught:
        await both.call(both.client.media.get, media_id="m")
    assert (caught.value.status, caught.value.request_id) == (200, "r-2")
    assert caught.value.body == body[:2048]
    assert "<html>" not in str(caught.value)  # a body may hold a secret


async def test_a_refusal_without_an_envelope_keeps_its_status(both, server):
    for body in (b"<html>nginx</html>", b'{"error": "no"}', b'{"error": {"fields": [1, {}]}}', b"[" * 100_000):
        server.script(Answer(404, body))
        with pytest.raises(errors.NotFound) as caught:
            await both.call(both.client.media.get, media_id="m")
        assert caught.value.body == body[:2048]


async def test_a_redirect_is_not_followed(both, server):
    server.script(Answer(302, b"", {"Location": "https://elsewhere.example/"}))
    with pytest.raises(errors.BadAnswer, match="elsewhere"):
        await both.call(both.client.media.get, media_id="m")
    assert len(server.asked) == 1


async def test_an_answer_without_end_is_cut(both, server, monkeypatch):
    for module in (async_http, sync_http):
        monkeypatch.setattr(module, "ANSWER_MAX_BYTES", 1000)
    server.script(Answer(200, b" " * 2000))
    with pytest.raises(errors.BadAnswer, match="More than 1000 bytes"):
        await both.call(both.client.media.get, media_id="m")


async def test_unknown_keys_are_ignored_and_nulls_are_absences(both, server):
    data = {**MEDIA["data"], "newKey": [1], "title": None, "tracks": None, "mp4Support": "capped_4k", "duration": "90"}
    data["metadata"] = {"duration": "90", "mp4Support": "yes"}
    server.script(Answer(200, {"success": True, "data": data, "newer": 1}))
    media = await both.call(both.client.media.get, media_id="m")
    assert (media.title, media.tracks, media.duration, media.mp4_support[0].type) == (None, (), 90.0, "capped_4k")
    assert media.metadata == {"duration": "90", "mp4Support": "yes"}


async def test_pages_are_asked_for_one_by_one_and_read_as_one(both, server):
    def page(number: int) -> Answer:
        data = [{"id": f"{number}{one}", "createdAt": None} for one in "ab"[: 3 - number]]
        return Answer(200, {"data": data, "pagination": {"totalRecords": 3, "currentOffset": number, "offsetCount": 2}})

    server.script(page(1), page(2))
    keys = both.client.signing_keys.list(limit=2)
    assert server.asked == []
    assert [key.id for key in await both.items(keys)] == ["1a", "1b", "2a"]
    assert [dict(asked.query) for asked in server.asked] == [
        {"limit": "2", "offset": "1"},
        {"limit": "2", "offset": "2"},
    ]
    server.script(page(1))
    assert [key.id for key in await both.call(keys.all, limit=1)] == ["1a"]
    server.script(page(2))
    found = await both.call(both.client.signing_keys.list(page=2).page)
    assert (found.pagination.total_records, found.has_more, len(found.items)) == (3, False, 1)


async def test_waiting_ends_with_ready_with_failed_or_in_time(both, server):
    def seen(status: str, **more: object) -> Answer:
        return Answer(200, {"data": {**MEDIA["data"], "status": status, **more}})

    server.script(seen("Created"), seen("Processing"), seen("Ready"))
    assert (await both.call(both.client.media.wait_until_ready, media_id="m")).status == "Ready"
    reason = {"code": "url_unreachable", "description": "The URL could not be reached."}
    server.script(seen("Failed", failureReason=reason))
    with pytest.raises(errors.MediaFailed, match="could not be reached") as caught:
        await both.call(both.client.media.wait_until_ready, media_id="m")
    assert caught.value.media.failure_reason.code == "url_unreachable"
    server.script()
    server.otherwise = lambda asked: seen("Processing")
    with pytest.raises(errors.WaitedTooLong, match="Processing after"):
        await both.call(both.client.media.wait_until_ready, media_id="m", timeout_s=0.1)


async def test_options_are_added_and_the_connection_is_shared(both, server):
    other = both.client.with_options(headers={"X-Client-Type": "web-browser"}, idempotency_key="order-17")
    again = other.with_options(headers={"X-Request-Id": "mine"})
    server.script(OK, OK)
    await both.call(again.media.create, url="u")
    assert server.asked[0].headers["x-client-type"] == "web-browser"
    assert server.asked[0].headers["x-request-id"] == "mine"
    assert server.asked[0].headers["idempotency-key"] == "order-17"
    await both.call(both.client.media.create, url="u")
    assert "x-client-type" not in server.asked[1].headers
    assert again._api.http is both.client._api.http


async def test_the_raw_answer_comes_with_its_value(both, server):
    server.script(Answer(503, {}), Answer(200, MEDIA, {"X-Request-Id": "r-3"}))
    raw = await both.call(both.client.raw, both.client.media.get, media_id="m")
    assert (raw.value.id, raw.status, raw.request_id, raw.attempts) == ("m", 200, "r-3", 2)
    assert raw.headers["content-type"] == "application/json"
    assert b'"createdAt"' in raw.body


async def test_what_has_no_method_can_be_asked_for(both, server):
    server.script(Answer(200, {"success": True, "data": [1]}))
    found = await both.call(both.client.request, "patch", "newer/thing", query={"a": [1, 2]}, body={"b": True})
    assert found == {"success": True, "data": [1]}
    [asked] = server.asked
    assert (asked.method, asked.path, asked.query) == ("PATCH", "/v1/newer/thing", [("a", "1"), ("a", "2")])
    assert asked.json == {"b": True}


@pytest.mark.parametrize("bad", ["", ".", ".."])
async def test_an_id_cannot_become_another_path(bad, both, server):
    with pytest.raises(ValueError, match="must be an id"):
        await both.call(both.client.media.delete, media_id=bad)
    with pytest.raises(ValueError, match="must be an id"):
        both.client.media.list_clips(media_id=bad)
    assert server.asked == []
    await both.call(both.client.media.delete, media_id="../live/streams?x=1#")
    assert server.asked[0].path == "/v1/on-demand/..%2Flive%2Fstreams%3Fx%3D1%23"


def test_credentials_come_from_the_environment_and_are_never_shown(monkeypatch) -> None:
    for name in ("FASTPIX_USERNAME", "FASTPIX_PASSWORD", "FASTPIX_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(errors.NotConfigured, match="FASTPIX_USERNAME"):
        fastpix.FastPix()
    monkeypatch.setenv("FASTPIX_USERNAME", "id")
    with pytest.raises(errors.NotConfigured, match="FASTPIX_PASSWORD"):
        fastpix.FastPix()
    monkeypatch.setenv("FASTPIX_PASSWORD", "s3cret")
    with fastpix.FastPix() as client:
        assert client.base_url == "https://api.fastpix.com/v1"
        assert "s3cret" not in repr(client)
    monkeypatch.setenv("FASTPIX_BASE_URL", "http://127.0.0.1:8080")
    with fastpix.FastPix() as client:
        assert client.base_url == "http://127.0.0.1:8080/v1"
    with fastpix.FastPix(base_url="https://video.example.com/api/v1/") as client:
        assert client.base_url == "https://video.example.com/api/v1"
    for bad in ("127.0.0.1:8080", "ftp://a.example", "https://", "https://a:b@c.example/", "https://a.example/?x=1"):
        with pytest.raises(errors.NotConfigured):
            fastpix.FastPix(base_url=bad)


def test_every_public_name_is_there_and_every_error_has_one_root() -> None:
    for name in fastpix.__all__:
        value = getattr(fastpix, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, errors.FastPixError)
            assert name in (errors.__doc__ or "")
    kinds = {
        value.__name__
        for value in vars(errors).values()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert kinds - {"FieldFault"} <= set(fastpix.__all__)
    with pytest.raises(AttributeError):
        fastpix.nothing  # noqa: B018
