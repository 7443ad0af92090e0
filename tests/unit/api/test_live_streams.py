"""Live streams, their playback ids and simulcast targets as the contract words them."""

import re

import pytest
from sqlalchemy import text

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.ingest.model import PublishRequest
from fastpix_server.live import sessions, sessions_store
from fastpix_server.live.streams import Ingest

PATH = "/live/streams"
OPEN = {
    "domains": {"defaultPolicy": "allow", "allow": [], "deny": []},
    "userAgents": {"defaultPolicy": "allow", "allow": [], "deny": []},
}
BODY = {"playbackSettings": {"accessPolicy": "public"}, "inputMediaSettings": {}}
INGEST = Ingest("11111111-2222-4333-8444-555555555555", "http://127.0.0.1:1")


async def create(api, settings=None, **playback):
    body = {"playbackSettings": playback or {"accessPolicy": "public"}, "inputMediaSettings": settings or {}}
    answer = await api.http.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


async def events(api, stream_id):
    async with api.db.unit() as tx:
        found = await tx.execute(
            text("select type, status, object_type, data from events where object_id = :id order by position"),
            {"id": stream_id},
        )
        return found.all()


async def words(api, stream_id):
    return [row.type.removeprefix("video.live_stream.") for row in await events(api, stream_id)]


async def publish(api, stream, *, is_playable=True):
    """What an ingest process does when an encoder comes."""
    async with api.db.unit() as tx:
        await sessions_store.register_ingest(tx, INGEST.id, INGEST.origin)
        begun = await sessions.begin(tx, INGEST, PublishRequest("rtmp", stream["streamKey"], "127.0.0.1"))
    assert isinstance(begun, sessions.Begun), begun
    if is_playable:
        async with api.db.unit() as tx:
            await sessions.playable(tx, INGEST.id, begun.session.id)
    return begun.session


async def test_a_new_stream_has_the_keys_of_the_contract_in_their_order(api):
    data = await create(api, {"metadata": {"livestream_name": "fastpix_livestream"}})
    assert list(data) == [
        "streamId", "streamKey", "srtSecret", "trial", "status", "maxResolution", "maxDuration", "createdAt",
        "reconnectWindow", "enableRecording", "enableDvrMode", "mediaPolicy", "metadata", "lowLatency",
        "closedCaptions", "playbackIds", "srtPlaybackResponse",
    ]  # fmt: skip
    stream_id = data["streamId"]
    assert re.fullmatch(r"[0-9a-f]{32}", stream_id)
    secrets = [data["streamKey"], data["srtSecret"], data["srtPlaybackResponse"]["srtPlaybackSecret"]]
    assert all(re.fullmatch(rf"[0-9a-f]{{32}}k{stream_id}", secret) for secret in secrets)
    assert len(set(secrets)) == 3
    assert data["srtPlaybackResponse"]["srtPlaybackStreamId"] == f"play{stream_id}"
    assert (data["status"], data["trial"], data["maxResolution"], data["maxDuration"]) == (
        "idle",
        False,
        "1080p",
        28800,
    )
    assert (data["reconnectWindow"], data["enableRecording"], data["enableDvrMode"]) == (60, True, False)
    assert (data["mediaPolicy"], data["metadata"]) == ("public", {"livestream_name": "fastpix_livestream"})
    [name] = data["playbackIds"]
    assert ids.is_uuid(name["id"])
    assert (name["accessPolicy"], name["accessRestrictions"]) == ("public", OPEN)
    [created] = await events(api, stream_id)
    assert (created.type, created.object_type, created.status, created.data) == (
        "video.live_stream.created", "live", "live_stream_created", data,
    )  # fmt: skip


async def test_every_setting_of_a_new_stream_is_kept(api):
    deny = {"domains": {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []}}
    made = await create(
        api,
        {
            "maxResolution": "480p",
            "reconnectWindow": 1800,
            "mediaPolicy": "private",
            "enableDvrMode": True,
            "enableRecording": False,
        },
        accessPolicy="private",
        accessRestrictions=deny,
    )
    read = (await api.http.get(f"{PATH}/{made['streamId']}")).json()["data"]
    assert read == made
    assert "metadata" not in read
    assert (read["maxResolution"], read["reconnectWindow"], read["mediaPolicy"]) == ("480p", 1800, "private")
    assert (read["enableDvrMode"], read["enableRecording"]) == (True, False)
    assert read["playbackIds"][0]["accessPolicy"] == "private"
    assert read["playbackIds"][0]["accessRestrictions"] == {**OPEN, **deny}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"inputMediaSettings": {}}, "playbackSettings", "must not be null"),
        ({"playbackSettings": {}}, "inputMediaSettings", "must not be null"),
        ({**BODY, "playbackSettings": {"accessPolicy": "drm"}}, "playbackSettings.accessPolicy", "is invalid"),
        ({**BODY, "inputMediaSettings": {"reconnectWindow": 59}}, "inputMediaSettings.reconnectWindow",
         "must be between 60 and 1800"),
        ({**BODY, "inputMediaSettings": {"reconnectWindow": 1801}}, "inputMediaSettings.reconnectWindow",
         "must be between 60 and 1800"),
        ({**BODY, "inputMediaSettings": {"maxResolution": "2160p"}}, "inputMediaSettings.maxResolution", "is invalid"),
        ({**BODY, "inputMediaSettings": {"mediaPolicy": "drm"}}, "inputMediaSettings.mediaPolicy", "is invalid"),
        ({**BODY, "inputMediaSettings": {"mediaQuality": "pro"}}, "inputMediaSettings.mediaQuality",
         "is not supported yet"),
        ({**BODY, "inputMediaSettings": {"metadata": {"a": 1}}}, "inputMediaSettings.metadata.a", "is invalid"),
    ],
)  # fmt: skip
async def test_a_bad_setting_is_named(api, body, field, message):
    answer = await api.http.post(PATH, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == [{"field": field, "message": message}]


async def test_streams_are_listed_newest_first_with_pages_of_the_contract(api):
    made = [await create(api) for _ in range(3)]
    body = (await api.http.get(PATH, params={"limit": 2})).json()
    assert body["data"] == [made[2], made[1]]
    assert body["pagination"] == {"totalRecords": 3, "currentOffset": 1, "offsetCount": 2}
    assert (await api.http.get(PATH, params={"limit": 2, "offset": 2, "orderBy": "asc"})).json()["data"] == [made[2]]


async def test_an_id_may_be_written_as_a_uuid_and_a_malformed_one_is_named(api):
    made = await create(api)
    h = made["streamId"]
    dashed = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
    assert (await api.http.get(f"{PATH}/{dashed}")).json()["data"] == made
    answer = await api.http.get(f"{PATH}/nope")
    assert (answer.status_code, answer.json()["error"]["fields"]) == (
        422, [{"field": "streamId", "message": "is invalid"}],
    )  # fmt: skip


async def test_metadata_is_replaced_and_the_window_changed(api):
    made = await create(api, {"metadata": {"a": "1"}})
    path = f"{PATH}/{made['streamId']}"
    changed = (await api.http.patch(path, json={"metadata": {"b": "2"}})).json()["data"]
    assert (changed["metadata"], changed["reconnectWindow"]) == ({"b": "2"}, 60)
    changed = (await api.http.patch(path, json={"reconnectWindow": 100})).json()["data"]
    assert (changed["metadata"], changed["reconnectWindow"]) == ({"b": "2"}, 100)
    assert (await api.http.patch(path, json={"reconnectWindow": 10})).status_code == 422
    assert await words(api, made["streamId"]) == ["created", "updated", "updated"]


async def test_disabling_and_enabling_are_said_once_each(api):
    made = await create(api)
    path = f"{PATH}/{made['streamId']}"
    again = await api.http.put(f"{path}/live-enable")
    assert (again.status_code, again.json()["error"]["message"]) == (400, "stream is already enabled")
    assert (await api.http.put(f"{path}/live-disable")).json() == {"success": True}
    assert (await api.http.get(path)).json()["data"]["status"] == "disabled"
    again = await api.http.put(f"{path}/live-disable")
    assert (again.status_code, again.json()["error"]["message"]) == (400, "stream already disabled")
    refused = await api.http.patch(path, json={"reconnectWindow": 100})
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "stream is disabled")
    assert (await api.http.put(f"{path}/live-enable")).json() == {"success": True}
    assert (await api.http.get(path)).json()["data"]["status"] == "idle"
    assert await words(api, made["streamId"]) == ["created", "disabled", "enabled"]


async def test_only_an_active_stream_can_be_finished(api):
    made = await create(api)
    path = f"{PATH}/{made['streamId']}"
    refused = await api.http.put(f"{path}/finish")
    assert (refused.status_code, refused.json()["error"]) == (
        400,
        {
            "code": 400,
            "message": "stream cannot be completed",
            "description": "Only active streams can be marked as completed.",
        },
    )
    session = await publish(api, made)
    assert (await api.http.get(path)).json()["data"]["status"] == "active"
    assert (await api.http.put(f"{path}/finish")).json() == {"success": True}
    assert (await api.http.get(path)).json()["data"]["status"] == "idle"
    async with api.db.unit() as tx:
        ended = await sessions_store.find(tx, session.id)
    assert (ended.state, ended.end_reason, ended.finalised_at) == ("ended", "finished", None)
    assert await words(api, made["streamId"]) == ["created", "connected", "preparing", "recording", "active", "idle"]


async def test_a_running_session_ends_with_its_disabled_or_deleted_stream(api):
    for verb, path_end, word in (("PUT", "/live-disable", "disabled"), ("DELETE", "", "deleted")):
        made = await create(api)
        session = await publish(api, made)
        assert (await api.http.request(verb, f"{PATH}/{made['streamId']}{path_end}")).status_code == 200
        async with api.db.unit() as tx:
            ended = await sessions_store.find(tx, session.id)
        assert (ended.state, ended.end_reason) == ("ended", word)
        assert (await words(api, made["streamId"]))[-1] == word


async def test_a_deleted_stream_is_not_found_and_its_playback_id_is_buried(api):
    made = await create(api)
    path = f"{PATH}/{made['streamId']}"
    assert (await api.http.delete(path)).json() == {"success": True}
    for again in (await api.http.delete(path), await api.http.get(path), await api.http.put(f"{path}/finish")):
        assert (again.status_code, again.json()["error"]["message"]) == (404, "stream not found")
    async with api.db.unit() as tx:
        living = await tx.execute(text("select count(*) from playback_ids where deleted_at is null"))
        assert living.scalar_one() == 0


async def test_a_new_playback_id_is_listed_first_and_a_deleted_one_not_at_all(api):
    made = await create(api)
    path = f"{PATH}/{made['streamId']}/playback-ids"
    answer = await api.http.post(path, json={"accessPolicy": "private"})
    assert answer.status_code == 201
    second = answer.json()["data"]
    assert second == {"id": second["id"], "accessPolicy": "private", "accessRestrictions": OPEN}
    named = (await api.http.get(f"{PATH}/{made['streamId']}")).json()["data"]["playbackIds"]
    assert [p["id"] for p in named] == [second["id"], made["playbackIds"][0]["id"]]
    assert (await api.http.get(f"{path}/{second['id']}")).json()["data"] == second
    assert (await api.http.delete(path, params={"playbackId": second["id"]})).json() == {"success": True}
    gone = await api.http.delete(path, params={"playbackId": second["id"]})
    assert (gone.status_code, gone.json()["error"]["message"]) == (404, "stream/playbackId not found")
    assert (await api.http.get(f"{path}/{second['id']}")).status_code == 404
    named = (await api.http.get(f"{PATH}/{made['streamId']}")).json()["data"]["playbackIds"]
    assert [p["id"] for p in named] == [made["playbackIds"][0]["id"]]


@pytest.mark.parametrize(("kind", "key"), [("domains", "domains"), ("user-agents", "userAgents")])
async def test_restrictions_of_a_playback_id_are_replaced(api, kind, key):
    made = await create(api)
    playback_id = made["playbackIds"][0]["id"]
    path = f"{PATH}/{made['streamId']}/playback-ids/{playback_id}"
    rules = {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []}
    assert (await api.http.patch(f"{path}/{kind}", json=rules)).json() == {"success": True, "data": rules}
    assert (await api.http.get(path)).json()["data"]["accessRestrictions"] == {**OPEN, key: rules}
    assert (await api.http.patch(f"{path}/{kind}", json={})).json()["data"] == OPEN[key]
    bad = await api.http.patch(f"{path}/{kind}", json={"defaultPolicy": "maybe"})
    assert (bad.status_code, bad.json()["error"]["fields"][0]["field"]) == (422, "defaultPolicy")
    unknown = f"{PATH}/{made['streamId']}/playback-ids/{ids.new_uuid()}/{kind}"
    assert (await api.http.patch(unknown, json=rules)).status_code == 404


TARGET = {"url": "rtmps://live.example.com:443/app", "streamKey": "abc-123", "metadata": {"name": "elsewhere"}}


async def test_a_simulcast_target_is_made_read_changed_and_deleted(api):
    made = await create(api)
    path = f"{PATH}/{made['streamId']}/simulcast"
    answer = await api.http.post(path, json=TARGET)
    assert answer.status_code == 201
    target = answer.json()["data"]
    assert target == {"simulcastId": target["simulcastId"], **TARGET, "isEnabled": True}
    assert re.fullmatch(r"[0-9a-f]{32}", target["simulcastId"])
    one = f"{path}/{target['simulcastId']}"
    assert (await api.http.get(one)).json()["data"] == target
    off = (await api.http.put(one, json={"isEnabled": False})).json()["data"]
    assert off == {**target, "isEnabled": False}
    renamed = (await api.http.patch(one, json={"metadata": {"name": "b"}})).json()["data"]
    assert renamed == {**target, "isEnabled": False, "metadata": {"name": "b"}}
    assert (await api.http.get(f"{PATH}/{made['streamId']}")).json()["data"]["simulcastResponses"] == [renamed]
    assert (await api.http.delete(one)).json() == {"success": True}
    for gone in (await api.http.get(one), await api.http.delete(one), await api.http.put(one, json={})):
        assert (gone.status_code, gone.json()["error"]["message"]) == (404, "stream/simulcast not found")
    found = [row for row in await events(api, made["streamId"]) if "simulcast_target" in row.type]
    assert [row.type.rpartition(".")[2] for row in found] == ["created", "updated", "updated", "deleted"]
    assert found[0].data == {"streamId": made["streamId"], **target}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://example.com/live"}, "url"),
        ({"url": "rtmp://"}, "url"),
        ({"url": "srt://example.com"}, "url"),
        ({"url": "srt://example.com:9000?passphrase=short"}, "url"),
        ({"url": "srt://example.com:9000?streamid=abc-124"}, "streamKey"),
        ({"url": "rtmp://user:secret@example.com/live"}, "url"),
        ({"url": "rtmp://example.com/live' -f flv /etc/passwd"}, "url"),
        ({"url": "rtmp://example.com/live\nx"}, "url"),
        ({"url": f"rtmp://example.com/{'x' * 2050}"}, "url"),
        ({"streamKey": ""}, "streamKey"),
        ({"streamKey": "a b"}, "streamKey"),
        ({"streamKey": "x" * 1025}, "streamKey"),
        ({"streamKey": None}, "streamKey"),
    ],
)
async def test_a_bad_target_is_named(api, change, field):
    made = await create(api)
    answer = await api.http.post(f"{PATH}/{made['streamId']}/simulcast", json={**TARGET, **change})
    assert answer.status_code == 422, answer.text
    assert [f["field"] for f in answer.json()["error"]["fields"]] == [field]


async def test_targets_are_added_while_the_stream_is_idle_and_changed_while_it_is_not_disabled(api):
    made = await create(api)
    path = f"{PATH}/{made['streamId']}/simulcast"
    target = (await api.http.post(path, json=TARGET)).json()["data"]
    await publish(api, made)
    refused = await api.http.post(path, json=TARGET)
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "stream is not idle")
    one = f"{path}/{target['simulcastId']}"
    assert (await api.http.put(one, json={"isEnabled": False})).status_code == 200
    await api.http.put(f"{PATH}/{made['streamId']}/live-disable")
    refused = await api.http.put(one, json={"isEnabled": True})
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "stream is disabled")


async def test_viewers_and_health_are_what_the_ingest_told_last(api):
    made = await create(api)
    path = f"{PATH}/{made['streamId']}"
    assert (await api.http.get(f"{path}/viewer-count")).json() == {"success": True, "data": {"views": 0}}
    idle = {"streamId": made["streamId"], "status": "idle", "isPublishing": False, "viewers": 0}
    assert (await api.http.get(f"{path}/health")).json()["data"] == idle
    session = await publish(api, made)
    async with api.db.unit() as tx:
        await sessions_store.report(
            tx, session.id, holder=INGEST.id, viewers=17, health={"bitrateBps": 1e6, "fps": 30.0}
        )
    assert (await api.http.get(f"{path}/viewer-count")).json()["data"] == {"views": 17}
    told = (await api.http.get(f"{path}/health")).json()["data"]
    assert (told["isPublishing"], told["viewers"], told["sessionId"]) == (True, 17, session.id)
    assert (told["protocol"], told["connections"]) == ("rtmp", 1)
    async with api.db.unit() as tx:
        await tx.execute(text("update live_sessions set viewers_at = now() - interval '1 minute'"))
    assert (await api.http.get(f"{path}/viewer-count")).json()["data"] == {"views": 0}


async def test_a_stream_of_another_workspace_can_neither_be_seen_nor_changed(api):
    made = await create(api)
    async with api.db.unit() as tx:
        other = await access.create_workspace(tx, name="Other")
        token = await access.create_token(tx, pepper=api.context.pepper, workspace_id=other.id, name="t")
    path = f"{PATH}/{made['streamId']}"
    async with api.other(token.id, token.secret) as http:
        for verb, end in (
            ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("PUT", "/live-enable"), ("PUT", "/live-disable"),
            ("PUT", "/finish"), ("GET", "/viewer-count"), ("GET", "/health"), ("POST", "/playback-ids"),
            ("POST", "/simulcast"),
        ):  # fmt: skip
            body = {} if verb in ("GET", "DELETE") else {"json": TARGET if end == "/simulcast" else {}}
            assert (await http.request(verb, path + end, **body)).status_code == 404, (verb, end)
        assert (await http.get(PATH)).json()["data"] == []
    assert await words(api, made["streamId"]) == ["created"]


async def test_no_secret_of_a_stream_is_logged(api, capsys):
    made = await create(api)
    await publish(api, made)
    await api.http.delete(f"{PATH}/{made['streamId']}")
    out, err = capsys.readouterr()
    for name in ("streamKey", "srtSecret"):
        assert made[name] not in out + err
