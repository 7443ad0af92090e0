"""The viewer's way to a running session: an edge, a real origin server, a real house; the encoder is fed by hand."""

import asyncio
import re
import time

import aiohttp
import pytest
from tests.airing import on_air
from tests.playing import ORIGIN_KEY

from fastpix_server.db.pool import Database
from fastpix_server.edge import watching
from fastpix_server.edge.origin import pack_viewers, unpack_viewers
from fastpix_server.edge.origin_auth import HEADER, SKEW_S, OriginAuth
from fastpix_server.live import service, sessions

WAIT_S = 30


async def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.02)
    return found


def newest(text):
    """msn and part that a player asks for next."""
    first = int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)[1])
    finished = len(re.findall(r"^#EXTINF:", text, re.MULTILINE))
    parts = len(re.findall(r"^#EXT-X-PART:", text.rpartition("#EXTINF:")[2], re.MULTILINE))
    return first + finished, parts


async def test_a_stream_that_did_not_begin_is_not_ready_and_one_that_runs_is_a_manifest(stage):
    edge = await stage.edge()
    air = await on_air(stage, seconds=0.1)
    early = await edge.get(f"/{air.playback_id.id}.m3u8")
    assert (early.status_code, "ready" in early.json()["error"]["message"]) == (400, True)
    assert early.headers["cache-control"] == "no-store"
    air.send(6)
    answer = await edge.get(f"/{air.playback_id.id}.m3u8?maxResolution=720p&t=17&token=x")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/vnd.apple.mpegurl")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert re.search(rf"^{air.folder[1:]}/source/index\.m3u8\?v=[0-9a-f]{{8}}$", answer.text, re.MULTILINE)
    assert re.search(rf'URI="{air.folder[1:]}/a0/index\.m3u8\?v=[0-9a-f]{{8}}"', answer.text)
    assert "token" not in " ".join(air.asked)
    dash = await edge.get(f"/{air.playback_id.id}.mpd")
    assert dash.status_code == 200
    assert "<MPD" in dash.text


async def test_playlists_segments_parts_and_headers_come_with_what_caches_may_do(stage):
    edge, air = await stage.edge(), await on_air(stage)
    plain = await edge.get(f"{air.folder}/source/index.m3u8?v=12345678")
    assert plain.headers["cache-control"] == "public, max-age=1"
    msn, _ = newest(plain.text)
    known = await edge.get(f"{air.folder}/source/index.m3u8", params={"_HLS_msn": msn - 1})
    assert known.headers["cache-control"] == "public, max-age=6"
    init = re.search(r'#EXT-X-MAP:URI="([^"]+)"', plain.text)[1]
    segment = re.findall(r"^([0-9]+\.m4s)$", plain.text, re.MULTILINE)[0]
    piece = re.findall(r'#EXT-X-PART:.*URI="([^"]+)"', plain.text)[0]
    for name in (init, segment, piece):
        answer = await edge.get(f"{air.folder}/source/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["cache-control"] == "public, max-age=86400, immutable"
        ranged = await edge.get(f"{air.folder}/source/{name}", headers={"Range": "bytes=4-7"})
        assert (ranged.status_code, ranged.content) == (206, answer.content[4:8])
        same = await edge.get(f"{air.folder}/source/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert same.status_code == 304


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("source/99999.m4s", 404),
        ("source/0.999.m4s", 404),
        ("source/007.m4s", 404),
        ("source/-1.m4s", 404),
        ("source/1e3.m4s", 404),
        ("source/init-9.mp4", 404),
        ("source/init-x.mp4", 404),
        ("nothing/0.m4s", 404),
        ("no%2e%2e/0.m4s", 404),
        ("nothing/index.m3u8", 404),
        ("source/index.m3u8?_HLS_msn=x", 422),
        ("source/index.m3u8?_HLS_msn=-1", 422),
        ("source/index.m3u8?_HLS_msn=99999999999999999999", 422),
        ("source/index.m3u8?_HLS_msn=999999", 400),
        ("source/index.m3u8?_HLS_part=1", 400),
    ],
)
async def test_what_is_not_there_or_no_question_is_refused_in_the_envelope(stage, name, status):
    edge, air = await stage.edge(), await on_air(stage)
    answer = await edge.get(f"{air.folder}/{name}")
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == status
    assert answer.headers["cache-control"] == "no-store"


async def test_hundreds_of_viewers_who_wait_for_one_part_are_one_question_to_the_origin(stage):
    edge, air = await stage.edge(), await on_air(stage)
    url = f"{air.folder}/source/index.m3u8"
    msn, part = newest((await edge.get(url)).text)
    air.asked.clear()
    waiting = [asyncio.create_task(edge.get(f"{url}?v={n:08x}&_HLS_msn={msn}&_HLS_part={part}")) for n in range(200)]
    await until(lambda: air.asked, "the question")
    gone = waiting.pop()
    gone.cancel()  # a viewer who closes the page takes nothing from the others
    air.send(1)
    answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert [path for path in air.asked if "index.m3u8" in path] == [
        f"/live/{air.running.session.id}/source/index.m3u8?msn={msn}&part={part}"
    ]
    late = await edge.get(f"{url}?_HLS_msn={msn}&_HLS_part={part}")
    assert late.text == answers[0].text
    assert len([path for path in air.asked if "index.m3u8" in path]) == 1


async def test_an_origin_that_is_away_or_has_lost_the_session_is_trouble_that_passes(stage):
    edge, air = await stage.edge(), await on_air(stage)
    url = f"{air.folder}/source/0.m4s"
    air.house._running.clear()
    for _ in range(2):
        answer = await edge.get(url)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    async with stage.db.unit() as tx:
        shown = air.running.session
        await sessions.show(tx, shown, "http://127.0.0.1:9")
    await until_status(edge, f"/{air.playback_id.id}.m3u8", 503)


async def until_status(edge, url, status):
    end = time.monotonic() + WAIT_S
    while (await edge.get(url)).status_code != status:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_an_ended_session_is_complete_and_names_no_viewer(stage):
    edge, air = await stage.edge(), await on_air(stage)
    url = f"{air.folder}/source/index.m3u8"
    msn, _ = newest((await edge.get(url)).text)
    waiting = asyncio.create_task(edge.get(f"{url}?_HLS_msn={msn + 1}"))
    await asyncio.sleep(0.1)
    async with stage.db.unit() as tx:
        await service.disable(tx, air.stream.workspace_id, air.stream.id)
    assert "#EXT-X-ENDLIST" in (await waiting).text

    async def is_closed():
        text = (await edge.get(f"/{air.playback_id.id}.m3u8")).text
        return "?v=" not in text and "#EXT-X-STREAM-INF" in text

    end = time.monotonic() + WAIT_S
    while not await is_closed():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    while "#EXT-X-ENDLIST" not in (await edge.get(url)).text:  # a plain playlist is kept for a second
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_viewers_are_counted_once_each_over_edges_and_names_and_forgotten(stage, monkeypatch):
    monkeypatch.setattr(watching, "TELL_S", 0.1)
    edges = [await stage.edge(), await stage.edge()]
    air = await on_air(stage)
    url = f"{air.folder}/source/index.m3u8"
    for edge in edges:
        for name in ("a", "b", "c"):
            await edge.get(f"{url}?v={name}")
        await edge.get(url, headers={"User-Agent": "somebody else"})
        await edge.get(url, headers={"X-Forwarded-For": "203.0.113.7"})
    await edges[0].get(f"{air.folder}/source/99999.m4s?v=refused")
    await until(lambda: air.running.viewers.count(time.monotonic()) == 5, "five viewers")
    await asyncio.sleep(0.3)
    assert air.running.viewers.count(time.monotonic()) == 5
    assert air.running.viewers.count(time.monotonic() + 31) == 0


async def test_an_origin_answers_nobody_without_the_key(stage):
    air = await on_air(stage)
    path = f"/live/{air.running.session.id}/source/index.m3u8"
    late = OriginAuth(ORIGIN_KEY, now_s=lambda: time.time() - SKEW_S - 5)
    early = OriginAuth(ORIGIN_KEY, now_s=lambda: time.time() + SKEW_S + 5)
    other = OriginAuth(bytes(32))
    good = OriginAuth(ORIGIN_KEY).headers()
    bad = [{}, {HEADER: ""}, {HEADER: good[HEADER][:-1]}, late.headers(), early.headers(), other.headers()]
    async with aiohttp.ClientSession() as client:
        for headers in bad:
            for ask in (
                client.get(air.origin + path, headers=headers),
                client.post(air.origin + path, headers=headers),
            ):
                async with ask as answer:
                    assert (answer.status, await answer.read()) == (401, b"")
        async with client.get(air.origin + path, headers=good) as answer:
            assert answer.status == 200
        async with client.get(f"{air.origin}/live/nobody/source/index.m3u8", headers=good) as answer:
            assert answer.status == 421
        told = f"{air.origin}/live/{air.running.session.id}/viewers"
        for body in (b"", b"\x00" * 8, b"\x00" * 200_000):
            async with client.post(told, data=body, headers=good) as answer:
                assert answer.status in (400, 413), len(body)


def test_viewers_travel_as_they_are():
    numbers = [0, 1, 2**63, 2**64 - 1]
    packed = pack_viewers(3, numbers)
    assert (packed[0], list(unpack_viewers(packed[1:]))) == (3, numbers)
    assert packed[9:17] == (1).to_bytes(8, "big")


async def test_an_edge_that_cannot_reach_the_database_goes_on_with_what_it_knows(stage, monkeypatch):
    edge, air = await stage.edge(), await on_air(stage)
    url = f"{air.folder}/source/index.m3u8"
    for _ in range(20):  # word of how the stream came on air may still be under way: then the edge has to look again
        assert (await edge.get(url)).status_code == 200
        monkeypatch.setattr(Database, "unit", None)
        answer = await edge.get(url)
        monkeypatch.undo()
        if answer.status_code == 200:
            return
    pytest.fail(f"{answer.status_code} without the database")
