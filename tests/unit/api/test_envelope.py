"""Whatever is wrong, the answer is the error envelope, in JSON, with a 4xx and every bad field."""

import asyncio
import json

import httpx
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.api.conftest import VIDEO

from fastpix_server.api import unit
from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.media import service


def fields(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert list(error) == ["code", "message", "fields"]
    assert (error["code"], error["message"]) == (422, "payload validation failed")
    return {f["field"]: f["message"] for f in error["fields"]}


async def test_every_bad_field_of_a_body_is_named_in_one_answer(api):
    answer = await api.http.post(
        "/on-demand",
        json={
            "inputs": [{"type": "video", "url": "ftp://example.com/a.mp4", "endTime": 0, "startTime": "1"}],
            "accessPolicy": "drm",
            "title": "x" * 256,
            "creatorId": 7,
            "metadata": {"a": 1, "b": "x" * 256, "c": "fine"},
            "maxResolution": "999p",
            "mediaQuality": None,
            "sourceAccess": "yes",
            "optimizeAudio": "yes",
            "mp4Support": "capped_8k",
            "summary": {"generate": True, "summaryLength": 251},
            "subtitles": {"languageCode": "en", "languageName": "english"},
            "moderation": {"type": "smell"},
            "chapters": True,
            "namedEntities": True,
        },
    )
    assert fields(answer) == {
        "inputs[0].url": "is invalid",
        "inputs[0].endTime": "must be after startTime",
        "inputs[0].startTime": "is invalid",
        "drmConfigurationId": "must not be null",
        "title": "must be at most 255 characters",
        "creatorId": "is invalid",
        "metadata.a": "is invalid",
        "metadata.b": "must be at most 255 characters",
        "maxResolution": "is invalid",
        "sourceAccess": "is invalid",
        "optimizeAudio": "is invalid",
        "mp4Support": "is invalid",
        "summary.generate": "is not supported yet",
        "summary.summaryLength": "must be between 30 and 250",
        "subtitles": "is not supported yet",
        "moderation.type": "is invalid",
        "chapters": "is not supported yet",
        "namedEntities": "is not supported yet",
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {"body": "must not be null"}),
        (b"null", {"body": "is invalid"}),
        (b"{", {"body": "is not valid JSON"}),
        (b"[]", {"body": "is invalid"}),
        (b'"text"', {"body": "is invalid"}),
        (b"{}", {"inputs": "must not be null"}),
        (b'{"inputs": null}', {"inputs": "must not be null"}),
        (b'{"inputs": []}', {"inputs": "must hold exactly one video"}),
        (b'{"inputs": {}}', {"inputs": "is invalid"}),
        (b'{"inputs": ["x"]}', {"inputs[0]": "is invalid"}),
        (b'{"inputs": [{"type": "video"}]}', {"inputs[0].url": "must not be null"}),
        (b'{"inputs": [{"url": "https://a.b/c"}]}', {"inputs[0].type": "must not be null"}),
        (b'{"inputs": [{"type": "watermark", "url": "https://a.b/c"}]}', {"inputs": "must hold exactly one video"}),
        (b'{"inputs": [{"type": "audio"}]}', {"inputs[0].swapTrackUrl": "must not be null"}),
        (
            b'{"inputs": [{"type": "video", "url": "https://a.b/c"},'
            b' {"type": "subtitle", "url": "x", "languageCode": "?"}]}',
            {
                "inputs[1].url": "is invalid",
                "inputs[1].languageCode": "is invalid",
                "inputs[1].languageName": "must not be null",
            },
        ),
        (b'{"inputs": [{"type": "hologram", "url": "https://a.b/c"}]}', {"inputs[0].type": "is invalid"}),
        (b'{"title": "a\\u0000b"}', {"title": "is invalid"}),
        (b'{"metadata": {"a\\u0000": "b"}}', {"metadata": "is invalid"}),
        (b"\xff\xfe{\x00}\x00", {"body": "is not valid JSON"}),
        (b"[" * 100_000, {"body": "is not valid JSON"}),
        (b'{"title": "\\ud800"}', {"body": "is not valid JSON"}),
        (b'{"a": 1e999}', {"body": "is not valid JSON"}),
    ],
)
async def test_a_body_that_is_no_creation_is_refused_with_its_reason(api, body, expected):
    assert fields(await api.http.post("/on-demand", content=body)) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("fp_mediaId://c0ffee00", "is invalid"),
        ("file:///etc/passwd", "is invalid"),
        ("https://", "is invalid"),
        ("https://[", "is invalid"),
        ("https://a.b:99999/c", "is invalid"),
        ("https://a b/c", "is invalid"),
        ("https://a.b/c\nd", "is invalid"),
        ("not a url", "is invalid"),
        ("https://a.b/" + "x" * 8181, "must be at most 8192 characters"),
    ],
)
async def test_a_url_that_we_cannot_fetch_is_refused(api, url, message):
    body = {"inputs": [{"type": "video", "url": url}]}
    assert fields(await api.http.post("/on-demand", json=body)) == {"inputs[0].url": message}


@pytest.mark.parametrize(
    "options",
    [
        {"title": "x" * 255},
        {"metadata": {str(n): "x" * 255 for n in range(10)}},
        {"sourceAccess": False, "optimizeAudio": False, "chapters": False, "summary": {"generate": False}},
        {"accessRestrictions": {"domains": {"defaultPolicy": "allow", "allow": [], "deny": []}}},
        {"inputs": [{"type": "video", "url": "https://a.b/" + "x" * 8180, "startTime": 0}]},
        {"unknownField": {"is": "ignored"}},
        {"title": "é 漢字 🎬 \\ \" '; drop table media; --"},
    ],
)
async def test_options_at_their_limit_or_without_effect_are_accepted(api, options):
    assert (await api.http.post("/on-demand", json={**VIDEO, **options})).status_code == 201


async def test_eleven_metadata_entries_are_one_too_many(api):
    body = {**VIDEO, "metadata": {str(n): "x" for n in range(11)}}
    assert fields(await api.http.post("/on-demand", json=body)) == {"metadata": "must have at most 10 entries"}


async def test_restrictions_are_kept_with_the_playback_id_and_their_lists_are_bounded(api):
    wanted = {
        "domains": {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []},
        "userAgents": {"defaultPolicy": "allow", "allow": [], "deny": []},
    }
    made = await api.create(accessRestrictions={"domains": {"defaultPolicy": "deny", "allow": ["example.com"]}})
    assert made["playbackIds"][0]["accessRestrictions"] == wanted
    listed = await api.http.get(f"/on-demand/{made['id']}/playback-ids")
    assert listed.json()["data"][0]["accessRestrictions"] == wanted
    for count, status in ((100, 201), (101, 422)):
        rules = {"userAgents": {"deny": [f"bot {n}" for n in range(count)]}}
        assert (await api.http.post("/on-demand", json={**VIDEO, "accessRestrictions": rules})).status_code == status


@pytest.mark.parametrize("media_id", ["x", "1", "not-a-uuid", "0" * 36, "a" * 5000, "%00", "é"])
async def test_a_malformed_id_in_the_path_is_a_bad_field(api, media_id):
    assert fields(await api.http.get(f"/on-demand/{media_id}/input-info")) == {"mediaId": "is invalid"}


async def test_an_id_in_capitals_is_the_same_id(api):
    made = await api.create()
    assert (await api.http.get(f"/on-demand/{made['id'].upper()}")).json()["data"]["id"] == made["id"]


async def test_a_malformed_playback_id_is_a_bad_field_in_path_and_query(api):
    made = await api.create()
    path = f"/on-demand/{made['id']}/playback-ids"
    assert fields(await api.http.get(f"{path}/x")) == {"playbackId": "is invalid"}
    assert fields(await api.http.delete(path, params={"playbackId": "x"})) == {"playbackId": "is invalid"}


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/on-demand/upload", "/live", "/data"],
)
async def test_a_path_that_is_no_operation_is_not_found_in_the_envelope(api, path):
    answer = await api.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404)


async def test_a_method_that_is_no_operation_is_refused_in_the_envelope(api):
    answer = await api.http.put("/on-demand", json={})
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["success"]) == (405, 405, False)
    assert "allow" in answer.headers


async def test_a_trailing_slash_is_the_same_path(api):
    made = (await api.http.post("/on-demand/", json=VIDEO)).json()["data"]
    assert (await api.http.get(f"/on-demand/{made['id']}/")).status_code == 200


async def test_a_body_counts_whatever_its_content_type(api):
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "nonsense"):
        answer = await api.http.post("/on-demand", content=json.dumps(VIDEO), headers={"Content-Type": content_type})
        assert answer.status_code == 201


async def test_a_body_of_a_mebibyte_is_read_and_one_byte_more_is_not(api):
    padding = json.dumps({**VIDEO, "ignored": ""})
    fill = unit.BODY_MAX_BYTES - len(padding)
    at_limit = json.dumps({**VIDEO, "ignored": "x" * fill}).encode()
    assert len(at_limit) == unit.BODY_MAX_BYTES
    assert (await api.http.post("/on-demand", content=at_limit)).status_code == 201

    async def unannounced():
        yield at_limit
        yield b" "

    for content in (at_limit + b" ", unannounced()):
        answer = await api.http.post("/on-demand", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, 413)


async def test_a_body_that_never_ends_arriving_is_given_up(api, monkeypatch):
    monkeypatch.setattr(unit, "BODY_WAIT_S", 0.05)

    async def stalled():
        yield b'{"inputs": '
        await asyncio.sleep(5)
        yield b"[]}"

    assert fields(await api.http.post("/on-demand", content=stalled())) == {"body": "did not arrive completely"}


async def test_every_answer_carries_a_request_id_and_a_callers_own_comes_back(api):
    assert (await api.http.get("/nothing")).headers["x-request-id"]
    own = await api.http.get("/on-demand", headers={"X-Request-Id": "trace-1"})
    assert own.headers["x-request-id"] == "trace-1"
    odd = await api.http.get("/on-demand", headers={"X-Request-Id": "a b\tc"})
    assert odd.headers["x-request-id"] != "a b\tc"


async def test_what_nobody_foresaw_is_a_500_in_the_envelope_without_details(api, monkeypatch):
    async def broken(*_args, **_options):
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(service, "list_page", broken)
    answer = await api.http.get("/on-demand", headers={"X-Request-Id": "trace-2"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == 500
    assert "trace-2" in answer.json()["error"]["description"]
    assert "secret" not in answer.text


async def test_a_lost_race_asks_to_come_back(api, monkeypatch):
    async def deadlocked(tx, *_args, **_options):
        await tx.execute(sqlalchemy.text("do $$ begin raise exception 'lost' using errcode = '40P01'; end $$"))

    monkeypatch.setattr(service, "create_from_url", deadlocked)
    answer = await api.http.post("/on-demand", json=VIDEO)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"


async def test_many_bad_fields_are_listed_up_to_a_bound(api):
    body = {**VIDEO, "metadata": {str(n): n for n in range(500)}}
    assert len((await api.http.post("/on-demand", json=body)).json()["error"]["fields"]) == 100


def test_each_error_of_the_tree_has_a_status():
    from fastpix_server.api.errors import answer

    expected = {
        errors.Invalid(FieldError("a", "is invalid")): 422,
        errors.Unauthorized("x"): 401,
        errors.Forbidden("x"): 403,
        errors.NotFound("x"): 404,
        errors.Conflict("x"): 409,
        errors.BadState("x"): 400,
        errors.Gone("x"): 410,
        errors.TooLarge("x"): 413,
        errors.TooMany(3): 429,
        errors.Unavailable("x"): 503,
    }
    assert {fault: answer(fault).status_code for fault in expected} == expected


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_OPTIONS = (
    "inputs", "accessPolicy", "accessRestrictions", "drmConfigurationId", "title", "creatorId", "metadata",
    "maxResolution", "mediaQuality", "sourceAccess", "optimizeAudio", "summary", "subtitles", "chapters", "mp4Support",
    "moderation", "resolution",
)  # fmt: skip
_input = st.dictionaries(
    st.sampled_from(
        (
            "type",
            "url",
            "startTime",
            "endTime",
            "segments",
            "expungeSegments",
            "introUrl",
            "placement",
            "swapTrackUrl",
            "imposeTracks",
            "opacity",
        )
    ),
    _json | st.sampled_from(("video", "audio", "watermark", "https://a.b/c")),
)
_bodies = st.one_of(
    st.binary(max_size=200),
    _json.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(_OPTIONS), _json | st.lists(_input, max_size=2), max_size=6).map(
        lambda value: json.dumps(value).encode()
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_bodies)
def test_no_body_whatever_it_holds_is_a_server_error(fuzzed, body):
    loop, http, media_id = fuzzed
    for method, path in (
        ("POST", "/on-demand"),
        ("PATCH", f"/on-demand/{media_id}"),
        ("POST", f"/on-demand/{media_id}/playback-ids"),
    ):
        answer = loop.run_until_complete(http.request(method, path, content=body))
        assert answer.status_code in (200, 201, 400, 422), (method, path, answer.text)
        assert answer.json()["success"] is (answer.status_code < 300)
