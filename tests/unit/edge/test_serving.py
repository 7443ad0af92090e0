"""The edge over real storage and PostgreSQL, with a real worker where something has to be made."""

import asyncio
import subprocess
import xml.etree.ElementTree as ElementTree

import httpx
import pytest
from tests import footage
from tests.planned import planned
from tests.playing import Playing, Published, until

from fastpix_server.base import ids
from fastpix_server.playback import admission, service


@pytest.fixture
async def bikes(stage: Playing) -> Published:
    """Ten seconds, one copied rung, no sound: cheap to make."""
    source = footage.bikes()
    return await stage.publish(source, await planned(source))


@pytest.fixture
async def edge(stage: Playing) -> httpx.AsyncClient:
    return await stage.edge()


def error(answer: httpx.Response) -> dict[str, object]:
    body = answer.json()
    assert body["success"] is False
    assert body["error"]["code"] == answer.status_code
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    return body["error"]  # type: ignore[no-any-return]


async def test_a_manifest_is_readable_from_any_page(edge: httpx.AsyncClient, bikes: Published) -> None:
    answer = await edge.get(f"/{bikes.playback_id}.m3u8", headers={"Origin": "https://shop.example"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"Content-Length", "Content-Range"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    assert "max-age=10" in answer.headers["cache-control"]
    assert f"{bikes.playback_id}/{bikes.plan.revision}/source/index.m3u8" in answer.text


async def test_a_preflight_names_what_players_send(edge: httpx.AsyncClient, bikes: Published) -> None:
    for path in (f"/{bikes.playback_id}.m3u8", bikes.url("source", "0.m4s"), f"/{bikes.playback_id}/thumbnail.jpg"):
        answer = await edge.options(path)
        assert answer.status_code == 204
        assert "Range" in answer.headers["access-control-allow-headers"]
        assert "HEAD" in answer.headers["access-control-allow-methods"]


async def test_the_dash_manifest_is_xml_over_the_same_segments(edge: httpx.AsyncClient, bikes: Published) -> None:
    answer = await edge.get(f"/{bikes.playback_id}.mpd")
    assert answer.headers["content-type"] == "application/dash+xml"
    template = next(ElementTree.fromstring(answer.text).iter("{urn:mpeg:dash:schema:mpd:2011}SegmentTemplate"))
    assert template.attrib["media"] == f"{bikes.playback_id}/{bikes.plan.revision}/source/$Number$.m4s"


async def test_a_head_request_says_the_length_without_the_body(edge: httpx.AsyncClient, bikes: Published) -> None:
    full = await edge.get(f"/{bikes.playback_id}.m3u8")
    head = await edge.head(f"/{bikes.playback_id}.m3u8")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == full.headers["content-length"]
    assert head.headers["etag"] == full.headers["etag"]


async def test_a_manifest_that_is_known_is_not_sent_again(edge: httpx.AsyncClient, bikes: Published) -> None:
    etag = (await edge.get(f"/{bikes.playback_id}.m3u8")).headers["etag"]
    answer = await edge.get(f"/{bikes.playback_id}.m3u8", headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert answer.content == b""


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("minResolution=720p&maxResolution=480p", ["minResolution", "maxResolution"]),
        ("resolution=720p&maxResolution=720p", ["resolution"]),
        ("maxResolution=900p&renditionOrder=sideways", ["maxResolution", "order"]),
    ],
)
async def test_bad_parameters_name_their_fields(
    edge: httpx.AsyncClient, bikes: Published, query: str, fields: list[str]
) -> None:
    for extension in ("m3u8", "mpd"):
        answer = await edge.get(f"/{bikes.playback_id}.{extension}?{query}")
        assert answer.status_code == 422
        found = error(answer)
        assert [f["field"] for f in found["fields"]] == fields  # type: ignore[attr-defined]
        assert "description" not in found


async def test_an_unknown_id_is_unauthorized(edge: httpx.AsyncClient) -> None:
    answer = await edge.get(f"/{ids.new_uuid()}.m3u8")
    assert answer.status_code == 401
    error(answer)


async def test_what_is_no_id_is_a_bad_field(edge: httpx.AsyncClient) -> None:
    answer = await edge.get("/not-an-id.m3u8")
    assert answer.status_code == 422
    assert error(answer)["fields"] == [{"field": "playbackId", "message": "is invalid"}]


async def test_a_private_id_without_a_token_is_unauthorized(stage: Playing, edge: httpx.AsyncClient) -> None:
    source = footage.bikes()
    published = await stage.publish(source, await planned(source))
    async with stage.db.unit() as tx:
        private = await service.create_id(
            tx, workspace_id=ids.new_uuid(), target_id=published.media_id, access_policy="private"
        )
    for path in (f"/{private.id}.m3u8", f"/{private.id}/{published.plan.revision}/source/0.m4s"):
        answer = await edge.get(path)
        assert answer.status_code == 401
        error(answer)


async def test_media_that_is_not_published_is_not_ready_and_then_is(stage: Playing, edge: httpx.AsyncClient) -> None:
    source = footage.bikes()
    plan = await planned(source)
    media_id = ids.new_uuid()
    async with stage.db.unit() as tx:
        early = await service.create_id(tx, workspace_id=media_id, target_id=media_id, access_policy="public")
    answer = await edge.get(f"/{early.id}.m3u8")
    assert answer.status_code == 400
    assert "ready" in str(error(answer)["message"])
    async with stage.db.unit() as tx:
        await service.publish(
            tx, target_id=media_id, workspace_id=media_id, source_key="sources/x", place="media/x/r", plan=plan
        )
    assert (await edge.get(f"/{early.id}.m3u8")).status_code == 200


async def test_a_deletion_bites_at_once_on_every_edge(
    stage: Playing, bikes: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "TTL_S", 3600)  # so that it is the notification that ends it
    edge, other = await stage.edge(), await stage.edge()
    paths = (f"/{bikes.playback_id}.m3u8", bikes.url("source", "index.m3u8"))
    for client in (edge, other):
        for path in paths:
            assert (await client.get(path)).status_code == 200
    async with stage.db.unit() as tx:
        assert await service.delete_id(tx, bikes.media_id, bikes.playback_id)
    for client in (edge, other):
        for path in paths:
            await until_gone(client, path)


async def until_gone(edge: httpx.AsyncClient, path: str) -> None:
    async def is_gone() -> bool:
        return (await edge.get(path)).status_code == 404

    await until(is_gone)


async def test_unpublished_media_is_gone_with_all_its_ids(
    stage: Playing, bikes: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "TTL_S", 3600)
    edge = await stage.edge()
    assert (await edge.get(f"/{bikes.playback_id}.m3u8")).status_code == 200
    async with stage.db.unit() as tx:
        await service.unpublish(tx, bikes.media_id)
    await until_gone(edge, f"/{bikes.playback_id}.m3u8")


async def test_a_restricted_id_is_forbidden_elsewhere(
    stage: Playing, edge: httpx.AsyncClient, bikes: Published
) -> None:
    async with stage.db.unit() as tx:
        limited = await service.create_id(
            tx,
            workspace_id=ids.new_uuid(),
            target_id=bikes.media_id,
            access_policy="public",
            access_restrictions={"domains": {"defaultPolicy": "deny", "allow": ["shop.example"], "deny": []}},
        )
    url = f"/{limited.id}.m3u8"
    assert (await edge.get(url, headers={"Referer": "https://www.shop.example/x"})).status_code == 200
    assert (await edge.get(url, headers={"Referer": "https://thief.example/x"})).status_code == 403
    assert (await edge.get(url)).status_code == 403


async def test_a_segment_is_made_served_whole_and_for_ever_cacheable(
    stage: Playing, edge: httpx.AsyncClient, bikes: Published
) -> None:
    await stage.maker()
    answer = await edge.get(bikes.url("source", "1.m4s"))
    assert answer.status_code == 200
    assert answer.content[4:8] == b"styp"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    again = await edge.get(bikes.url("source", "1.m4s"))
    assert again.content == answer.content
    assert again.headers["etag"] == answer.headers["etag"]


async def test_ranges_of_a_segment_are_cut_exactly(stage: Playing, edge: httpx.AsyncClient, bikes: Published) -> None:
    await stage.maker()
    for name in ("init.mp4", "0.m4s"):
        url = bikes.url("source", name)
        whole = (await edge.get(url)).content
        size = len(whole)
        for header, part in {
            "bytes=0-9": whole[:10],
            "bytes=10-": whole[10:],
            "bytes=-7": whole[-7:],
            f"bytes=5-{size + 99}": whole[5:],
            f"bytes=-{size + 99}": whole,
        }.items():
            answer = await edge.get(url, headers={"Range": header})
            assert answer.status_code == 206, header
            assert answer.content == part
            first = size - len(part) if not header.startswith(("bytes=0", "bytes=5")) else int(header[6])
            assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{size}"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("bytes=999999999-", 416),
        ("bytes=-0", 416),
        ("bytes=9-3", 200),
        ("bytes=0-1,5-6", 200),
        ("pages=1-2", 200),
        ("bytes=-", 200),
    ],
)
async def test_odd_ranges_are_refused_or_ignored_as_the_rfc_says(
    stage: Playing, edge: httpx.AsyncClient, bikes: Published, header: str, status: int
) -> None:
    await stage.maker()
    answer = await edge.get(bikes.url("source", "init.mp4"), headers={"Range": header})
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"].startswith("bytes */")


async def test_a_range_of_another_version_is_answered_with_the_whole(
    stage: Playing, edge: httpx.AsyncClient, bikes: Published
) -> None:
    await stage.maker()
    url = bikes.url("source", "init.mp4")
    whole = await edge.get(url)
    same = await edge.get(url, headers={"Range": "bytes=0-3", "If-Range": whole.headers["etag"]})
    other = await edge.get(url, headers={"Range": "bytes=0-3", "If-Range": '"another"'})
    assert (same.status_code, other.status_code) == (206, 200)
    assert other.content == whole.content


async def test_what_the_plan_does_not_have_is_not_found(edge: httpx.AsyncClient, bikes: Published) -> None:
    last = bikes.plan.timeline.segment_count
    for path in (
        bikes.url("source", f"{last}.m4s"),
        bikes.url("source", "00.m4s"),
        bikes.url("source", "-1.m4s"),
        bikes.url("source", "1e3.m4s"),
        bikes.url("source", "9999999999999999999999.m4s"),
        bikes.url("source", "٣.m4s"),
        bikes.url("source", "0.m4s%0a"),
        f"/{bikes.playback_id}.m3u8%0a",
        bikes.url("4320p", "0.m4s"),
        bikes.url("4320p", "index.m3u8"),
        bikes.url("a0", "init.mp4"),
        f"/{bikes.playback_id}/000000000000/source/0.m4s",
        f"/{bikes.playback_id}/000000000000/source/index.m3u8",
        f"/{bikes.playback_id}/thumbnail.exe",
        "/",
        "/favicon.ico",
        "/play/assets/x/../../../etc/passwd",
    ):
        answer = await edge.get(path)
        assert answer.status_code == 404, path
        error(answer)


@pytest.mark.parametrize(
    "rest",
    [
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/secret.m4s",
        "source/..%2f..%2f0.m4s",
        "source%00/0.m4s",
        "source/0.m4s%00.jpg",
        "pictures/t0-w0-h0-preserve.m4s",
        "source/0.fast.m4s",
    ],
)
async def test_hostile_paths_find_nothing(stage: Playing, edge: httpx.AsyncClient, bikes: Published, rest: str) -> None:
    answer = await edge.get(f"/{bikes.playback_id}/{bikes.plan.revision}/{rest}")
    assert answer.status_code == 404
    assert "passwd" not in answer.text


async def test_only_reading_methods_are_known(edge: httpx.AsyncClient, bikes: Published) -> None:
    answer = await edge.post(f"/{bikes.playback_id}.m3u8")
    assert answer.status_code == 405
    error(answer)


async def test_the_cap_of_an_id_holds_whatever_is_asked(stage: Playing, edge: httpx.AsyncClient) -> None:
    source = footage.trailer()
    capped = await stage.publish(source, await planned(source), resolution="480p")
    for query in ("", "?resolution=720p", "?minResolution=720p", "?renditionOrder=desc"):
        assert "720p" not in (await edge.get(f"/{capped.playback_id}.m3u8{query}")).text
        assert "720p" not in (await edge.get(f"/{capped.playback_id}.mpd{query}")).text


async def test_a_viewer_is_told_to_come_back_when_nobody_makes_segments(stage: Playing, bikes: Published) -> None:
    impatient = await stage.edge(wait_s=0.7)
    answer = await impatient.get(bikes.url("source", "0.m4s"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    error(answer)


async def test_ffmpeg_reads_the_whole_video_over_http(stage: Playing) -> None:
    source = footage.bigbuckbunny()
    published = await stage.publish(source, await planned(source))
    await stage.maker()
    base = await stage.serve()
    command = [footage.FFPROBE, "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,codec_type"]
    command += ["-of", "csv=p=0", f"{base}/{published.playback_id}.m3u8"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    frames = {int(n) for kind, n in (line.split(",")[:2] for line in set(done.stdout.split())) if kind == "video"}
    assert frames == {published.plan.timeline.frames}
