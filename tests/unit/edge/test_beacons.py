"""POST / as the SDKs use it: what they send becomes a view, what nobody should send harms nobody."""

import asyncio
import dataclasses
import ipaddress
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from tests.analytics_role import AnalyticsRole
from tests.unit.views.sessions import KEY, RECORDED, VIEW_ID

from fastpix_server.access import service as access
from fastpix_server.base.client_address import Network
from fastpix_server.db.pool import Database
from fastpix_server.edge.beacons import Beacons, host_key
from fastpix_server.playback import service as playback
from fastpix_server.views import beacon, reading, schema
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.intake import BURST_OF_RATE, Intake, IntakeOptions
from fastpix_server.views.rows import moment

PHONE = (
    "Mozilla/5.0 (Linux; Android 8.0.0; SM-G955U Build/R16NW) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/148.0.0.0 Mobile Safari/537.36"
)


@dataclasses.dataclass
class Door:
    """A beacon door with its parts; `key` names its one workspace."""

    db: Database
    clickhouse: ClickHouse
    intake: Intake
    client: httpx.AsyncClient
    workspace_id: str
    key: str

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        content_type = {"Content-Type": "text/plain", "User-Agent": PHONE}
        return await self.client.post("/", content=body, headers={**content_type, **headers})

    async def view(self, names: list[str], view_id: str) -> dict[str, Any]:
        """Waits until it is there."""
        parameters = {"workspace_id": self.workspace_id, "view_id": view_id}
        async with asyncio.timeout(60):
            while True:
                found = await self.clickhouse.rows(reading.merged_view(names), parameters)
                if found:
                    return found[0]
                await asyncio.sleep(0.1)

    def event(self, **fields: Any) -> dict[str, Any]:
        now_ms = time.time_ns() // 1_000_000
        base = {"wsid": self.key, "veid": str(uuid.uuid4()), "vesqnu": 1, "evna": "viewBegin", "vitp": now_ms}
        return {**base, "vest": now_ms, **fields}


async def open_door(
    database_url: str, clickhouse_url: str, folder: Path, trusted: tuple[Network, ...] = (), **options: Any
) -> Door:
    db = await Database.open(database_url, size=2)
    clickhouse = ClickHouse(clickhouse_url)
    key = uuid.uuid4().hex
    async with db.unit() as tx:
        workspace = await access.create_workspace(tx, name="beacons", key=key)
    intake = Intake(db, ClickHouse(clickhouse_url), IntakeOptions(folder / "beacons", **options))
    intake.start()
    app = Starlette(routes=Beacons(intake, trusted).routes())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=("8.8.8.8", 1)), base_url="http://edge")
    return Door(db, clickhouse, intake, client, workspace.id, key)


async def close(door: Door) -> None:
    await door.client.aclose()
    await door.intake.stop()
    await door.clickhouse.close()
    await door.db.close()


@pytest.fixture
async def door(database_url: str, analytics_role: AnalyticsRole, tmp_path: Path) -> AsyncIterator[Door]:
    door = await open_door(database_url, analytics_role.url, tmp_path)
    yield door
    await close(door)


def shifted(body: dict[str, Any], key: str, by_ms: int) -> bytes:
    """The recorded request with the door's key, as if it happened `by_ms` later."""
    text = json.dumps(body).replace(KEY, key)
    times = {"transmission_timestamp", "vitp", "vest", "rqst", "rqrpst", "rqrped"}

    def moved(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value + by_ms if name in times else value for name, value in pairs}

    return json.dumps(json.loads(text, object_pairs_hook=moved)).encode()


async def test_the_recorded_session_is_a_view_in_every_field(door: Door) -> None:
    by_ms = time.time_ns() // 1_000_000 - 1795417501378
    playback_id, media_id = "5b2fe1e7-8e2b-4b2f-9d3a-2f6b0d7a1c11", str(uuid.uuid4())
    async with door.db.unit() as tx:
        made = await playback.create_id(tx, workspace_id=door.workspace_id, target_id=media_id, access_policy="public")
    for request in RECORDED:
        body = shifted(request["body"], door.key, by_ms).replace(playback_id.encode(), made.id.encode())
        answer = await door.send(body, **request["headers"])
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["access-control-allow-origin"] == "*"
    names = [
        "fp_playback_id", "media_id", "country_code", "country", "continent", "browser_name", "browser_version",
        "os_name", "os_version", "device_type", "device_manufacturer", "device_model", "ip_address", "watch_time",
        "playing_time", "video_startup_time", "total_startup_time", "jump_latency", "average_bitrate", "viewer_id",
        "view_session_id", "video_id", "video_title", "player_resolution", "video_resolution", "is_ended", "has_played",
        "playback_failed", "exit_before_video_start", "buffer_ratio", "avg_upscaling", "page_url", "cdn",
    ]  # fmt: skip
    view = await door.view([*names, "is_completed"], VIEW_ID)
    while not view["is_completed"]:  # the first segment may be in the table before the last
        view = await door.view([*names, "is_completed"], VIEW_ID)
    assert {name: view[name] for name in names} == {
        "fp_playback_id": made.id,
        "media_id": media_id,
        "country_code": "US",
        "country": "United States",
        "continent": "NA",
        "browser_name": "Chrome",
        "browser_version": "Chrome 148",
        "os_name": "Android",
        "os_version": "Android 8.0.0",
        "device_type": "Mobile",
        "device_manufacturer": "Samsung",
        "device_model": "SM-G955U",
        "ip_address": "8.8.8.8",
        "watch_time": 22155,
        "playing_time": 22155 - 29 - 52,
        "video_startup_time": 29,
        "total_startup_time": 29,
        "jump_latency": 52,
        "average_bitrate": 900000,
        "viewer_id": "u1",
        "view_session_id": "67f9e0be-b932-4dc6-b0b2-a1eb9536d3b5",
        "video_id": "vid1",
        "video_title": "T",
        "player_resolution": "640x584",
        "video_resolution": "360X640",
        "is_ended": True,
        "has_played": True,
        "playback_failed": False,
        "exit_before_video_start": False,
        "buffer_ratio": 0,
        "avg_upscaling": 0,
        "page_url": "https://page.fp.test/",
        "cdn": "",
    }
    start = moment(1795417475299 + by_ms)
    assert (view["view_start"], view["view_end"]) == (start, moment(1795417501368 + by_ms))
    events = await door.clickhouse.rows(
        f"SELECT sequence, name FROM {schema.EVENTS} FINAL"
        " WHERE workspace_id = {workspace_id:UUID} AND view_id = {view_id:UUID} ORDER BY sequence",
        {"workspace_id": door.workspace_id, "view_id": VIEW_ID},
    )
    assert [row["sequence"] for row in events] == [1, 2, 4, 11, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25]


async def test_a_preload_without_a_begin_is_no_view_and_a_stranger_counts_nowhere(door: Door) -> None:
    preload, begun = door.event(evna="playerReady", vest=None), door.event()
    stranger = door.event(wsid="nobody")
    answer = await door.send(json.dumps({"events": [preload, stranger, begun]}).encode())
    assert answer.status_code == 200
    await door.view([], begun["veid"])
    for other in (preload, stranger):
        parameters = {"workspace_id": door.workspace_id, "view_id": other["veid"]}
        assert await door.clickhouse.rows(reading.merged_view([]), parameters) == []


async def test_the_key_in_the_host_name_and_the_id_in_the_event_name_the_workspace(door: Door) -> None:
    by_host, by_id = door.event(), door.event(wsid=door.workspace_id.upper())
    del by_host["wsid"]
    await door.send(json.dumps({"events": [by_host]}).encode(), Host=f"{door.key}.beacons.example.com")
    await door.send(json.dumps({"events": [by_id]}).encode(), **{"Content-Type": "application/json"})
    await door.view([], by_host["veid"])
    await door.view([], by_id["veid"])


async def test_only_a_trusted_proxy_tells_where_a_viewer_is(
    database_url: str, analytics_role: AnalyticsRole, tmp_path: Path
) -> None:
    countries = {}
    for name, trusted in (("own", ()), ("trusted", (ipaddress.ip_network("8.8.8.0/24"),))):
        door = await open_door(database_url, analytics_role.url, tmp_path, trusted)
        event = door.event()
        await door.send(json.dumps([event]).encode(), **{"X-Forwarded-For": "9.9.9.9, 1.1.1.1"})
        countries[name] = (await door.view(["country_code"], event["veid"]))["country_code"]
        await close(door)
    assert countries == {"own": "US", "trusted": "AU"}


async def test_a_playback_id_of_somebody_else_shows_no_media(door: Door) -> None:
    async with door.db.unit() as tx:
        other = await access.create_workspace(tx, name="other")
        made = await playback.create_id(tx, workspace_id=other.id, target_id=str(uuid.uuid4()), access_policy="public")
    event = door.event(vdsour=f"https://stream.example.com/{made.id}.m3u8?token=x", viid="")
    await door.send(json.dumps({"events": [event]}).encode())
    view = await door.view(["fp_playback_id", "media_id", "video_id"], event["veid"])
    assert (view["fp_playback_id"], view["media_id"], view["video_id"]) == (made.id, "", "")


HOSTILE = [
    b"", b"null", b"[]", b"{}", b"\xff\xfe\x00", b'{"events": "x"}', b"[" * 200_000, b"%00%00", b"<xml/>",
    b'{"events":[' + b"{}," * 5000 + b"{}]}", b'{"events": [{"vitp": NaN}]}', b'{"metadata": [], "events": [{}]}',
    b'{"events": [null, 1, "x", [], {"wsid": {}}]}', b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    b'{"events": [{"wsid": "' + b"a" * 100_000 + b'"}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_body_is_answered_as_any_other(door: Door, body: bytes) -> None:
    assert (await door.send(body)).status_code == 200


async def test_hostile_values_beside_good_ones_cost_only_themselves(door: Door) -> None:
    nasty: list[Any] = ["\0" * 50, "\ud800", 10**30, -1, 1e308, "x" * 10_000, [[[]]], {"$ne": 1}, "'; DROP TABLE x"]
    codes = [code for column in schema.COLUMNS for code in column.codes if code != "vest"]
    events = [door.event(**dict.fromkeys(codes, value)) for value in nasty]
    good = door.event(vdtt="still here")
    for event in [*events, good]:
        body = json.dumps({"metadata": {"transmission_timestamp": event.get("vewati")}, "events": [event]}).encode()
        assert (await door.send(body)).status_code == 200
    view = await door.view(["video_title"], good["veid"])
    assert view["video_title"] == "still here"
    for event in events:
        await door.view([*schema.BY_NAME, *schema.DERIVED_BY_NAME], event["veid"])


async def test_a_body_over_the_limit_is_refused_however_its_length_is_told(door: Door) -> None:
    assert (await door.send(b"x" * (beacon.BODY_MAX_BYTES + 1))).status_code == 413

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(beacon.BODY_MAX_BYTES // 65536 + 2):
            yield b"x" * 65536

    answer = await door.client.post("/", content=parts())
    assert answer.status_code == 413
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_preflight_allows_what_players_send(door: Door) -> None:
    answer = await door.client.options(
        "/", headers={"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Type" in answer.headers["access-control-allow-headers"]


async def test_one_address_that_sends_too_much_is_told_to_wait(
    database_url: str, analytics_role: AnalyticsRole, tmp_path: Path
) -> None:
    door = await open_door(database_url, analytics_role.url, tmp_path, rate_per_s=1)
    statuses = [(await door.send(b"{}")).status_code for _ in range(BURST_OF_RATE * 3)]
    assert statuses[:BURST_OF_RATE] == [200] * BURST_OF_RATE
    assert 429 in statuses
    refused = await door.send(b"{}")
    assert refused.status_code == 200 or int(refused.headers["retry-after"]) >= 1
    await close(door)


async def test_while_clickhouse_is_away_beacons_are_kept_until_the_backlog_is_full(
    database_url: str, tmp_path: Path
) -> None:
    door = await open_door(database_url, "http://127.0.0.1:9", tmp_path, backlog_max_bytes=20_000)
    statuses = [(await door.send(json.dumps([door.event()]).encode())).status_code for _ in range(60)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert set(statuses) == {200, 429}
    await close(door)
    assert sum(path.stat().st_size for path in (tmp_path / "beacons").glob("*/*.closed")) <= 20_000


async def test_what_one_process_could_not_store_the_next_one_does(
    database_url: str, analytics_role: AnalyticsRole, tmp_path: Path
) -> None:
    without = await open_door(database_url, "http://127.0.0.1:9", tmp_path)
    event = without.event()
    assert (await without.send(json.dumps([event]).encode())).status_code == 200
    await close(without)
    after = await open_door(database_url, analytics_role.url, tmp_path)
    after.workspace_id = without.workspace_id
    await after.view([], event["veid"])
    await close(after)
    assert list((tmp_path / "beacons").iterdir()) == []


async def test_a_segment_that_is_refused_is_set_aside_and_holds_nothing_up(door: Door, tmp_path: Path) -> None:
    folder = tmp_path / "beacons" / "dead"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "1.closed").write_bytes(b'R{"workspace_id":"no uuid"}\n')
    event = door.event()
    async with asyncio.timeout(60):
        while not (tmp_path / "beacons" / "refused" / "1.closed").exists():  # noqa: ASYNC110 - files have no events
            await asyncio.sleep(0.1)
    await door.send(json.dumps([event]).encode())
    await door.view([], event["veid"])


async def test_the_segment_that_a_dead_process_was_writing_counts_up_to_its_torn_line(
    door: Door, tmp_path: Path
) -> None:
    view_id, torn_id = str(uuid.uuid4()), str(uuid.uuid4())
    row = '{"workspace_id":"%s","view_id":"%s","hour":1795417200,"view_start":"2026-11-23 07:04:35.299"}'
    folder = tmp_path / "beacons" / "dead"
    folder.mkdir()
    (folder / "lock").touch()
    whole, torn = (f"R{row % (door.workspace_id, name)}" for name in (view_id, torn_id))
    (folder / "2.open").write_text(f"{whole}\n{torn[:-20]}")
    await door.view([], view_id)
    async with asyncio.timeout(60):
        while folder.exists():  # noqa: ASYNC110 - files have no events
            await asyncio.sleep(0.1)
    assert not (tmp_path / "beacons" / "refused").exists()


async def test_while_the_database_is_away_a_known_workspace_is_served_and_a_new_one_asked_again(
    analytics_role: AnalyticsRole, tmp_path: Path
) -> None:
    db = await Database.open("postgresql://127.0.0.1:9/none", size=1)
    clickhouse = ClickHouse(analytics_role.url)
    intake = Intake(db, clickhouse, IntakeOptions(tmp_path / "beacons"))
    intake.start()
    app = Starlette(routes=Beacons(intake, ()).routes())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://edge")
    answer = await client.post("/", content=b'[{"wsid": "somekey", "veid": "x"}]')
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    await client.aclose()
    await intake.stop()
    await clickhouse.close()
    await db.close()


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("wskey123.metrix.example", "wskey123"),
        ("WSKEY123.metrix.example:8080", "wskey123"),
        ("12345.metrix.example", "12345"),
        ("b173e2b0-dc19-4190-b70e-c36198c3480e.metrix.example", "b173e2b0-dc19-4190-b70e-c36198c3480e"),
        ("collector.metrix.example", ""),
        ("localhost:8080", ""),
        ("127.0.0.1:8080", ""),
        ("1000.0.0.1", ""),
        ("[::1]:8080", ""),
        ("", ""),
    ],
)
def test_a_host_name_may_begin_with_the_key(host: str, key: str) -> None:
    assert host_key(host) == key
