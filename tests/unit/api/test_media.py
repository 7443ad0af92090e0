"""Media calls as the contract words them, byte for byte where it does."""

import re
import uuid

import pytest
from sqlalchemy import text

from fastpix_server.base import ids

OPEN = {
    "domains": {"defaultPolicy": "allow", "allow": [], "deny": []},
    "userAgents": {"defaultPolicy": "allow", "allow": [], "deny": []},
}


async def events(api, media_id):
    async with api.db.unit() as tx:
        found = await tx.execute(
            text("select type, status, data from events where object_id = :id order by position"), {"id": media_id}
        )
        return found.all()


async def jobs(api):
    async with api.db.unit() as tx:
        found = await tx.execute(text("select task_name, queue_name, args from procrastinate_jobs order by id"))
        return [(row.task_name, row.queue_name, row.args["media_id"]) for row in found]


async def test_creating_answers_with_the_keys_of_the_contract_in_their_order(api):
    answer = await api.http.post(
        "/on-demand",
        json={
            "inputs": [{"type": "video", "url": "https://example.com/a.mp4"}],
            "metadata": {"key1": "value1"},
            "accessPolicy": "public",
            "maxResolution": "1080p",
            "mediaQuality": "standard",
        },
    )
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    data = body["data"]
    assert body["success"] is True
    assert list(data) == [
        "id", "trial", "status", "createdAt", "updatedAt", "playbackIds", "metadata", "mediaQuality", "sourceAccess",
        "maxResolution", "inputs", "optimizeAudio",
    ]  # fmt: skip
    assert ids.is_uuid(data["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", data["createdAt"])
    assert data["createdAt"] < data["updatedAt"]
    assert data["playbackIds"] == [
        {"id": data["playbackIds"][0]["id"], "accessPolicy": "public", "accessRestrictions": OPEN}
    ]
    assert data["inputs"] == [{"type": "video", "url": "https://example.com/a.mp4"}]
    assert (data["trial"], data["status"], data["metadata"]) == (False, "Created", {"key1": "value1"})


async def test_creating_tells_its_event_and_queues_the_fetch_with_the_row(api):
    media = await api.create(title="A film")
    [event] = await events(api, media["id"])
    assert (event.type, event.status) == ("video.media.created", "media_created")
    assert (event.data["id"], event.data["status"], event.data["title"]) == (media["id"], "created", "A film")
    assert await jobs(api) == [("media.fetch", "fetch", media["id"])]


async def test_a_refused_creation_leaves_no_row_event_or_job(api):
    answer = await api.http.post(
        "/on-demand",
        json={
            "inputs": [{"type": "video", "url": "https://example.com/a.mp4"}],
            "accessPolicy": "drm",
            "drmConfigurationId": str(uuid.uuid4()),
        },
    )
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "DRM ID does not exist")
    assert (await api.http.get("/on-demand")).json()["data"] == []
    assert await jobs(api) == []


async def test_a_fresh_media_omits_what_is_not_known_yet(api):
    made = await api.create()
    media = (await api.http.get(f"/on-demand/{made['id']}")).json()["data"]
    playback_id = made["playbackIds"][0]["id"]
    assert list(media) == [
        "thumbnail", "id", "workspaceId", "metadata", "mediaQuality", "maxResolution", "status", "sourceAccess",
        "playbackIds", "tracks", "generatedSubtitles", "isAudioOnly", "subtitleAvailable", "createdAt", "updatedAt",
        "optimizeAudio",
    ]  # fmt: skip
    assert media["thumbnail"].endswith(f"/{playback_id}/thumbnail.png")
    assert media["workspaceId"] == api.workspace_id
    assert (media["tracks"], media["generatedSubtitles"], media["metadata"]) == ([], [], {})


async def test_the_list_is_newest_first_in_pages_counted_from_one(api):
    made = [(await api.create())["id"] for _ in range(5)]
    first = (await api.http.get("/on-demand", params={"limit": 2})).json()
    assert [m["id"] for m in first["data"]] == made[:2:-1]
    assert first["pagination"] == {"totalRecords": 5, "currentOffset": 1, "offsetCount": 3}
    last = (await api.http.get("/on-demand", params={"limit": 2, "offset": 3})).json()
    assert [m["id"] for m in last["data"]] == [made[0]]
    oldest = (await api.http.get("/on-demand", params={"limit": 1, "orderBy": "asc"})).json()
    assert [m["id"] for m in oldest["data"]] == [made[0]]
    beyond = await api.http.get("/on-demand", params={"limit": 2, "offset": 9})
    assert (beyond.status_code, beyond.json()["data"]) == (200, [])


async def test_an_empty_list_has_no_pages(api):
    empty = (await api.http.get("/on-demand")).json()
    assert empty == {
        "success": True,
        "data": [],
        "pagination": {"totalRecords": 0, "currentOffset": 1, "offsetCount": 0},
    }


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("limit=0", "limit", "must be between 1 and 50"),
        ("limit=51", "limit", "must be between 1 and 50"),
        ("limit=ten", "limit", "is invalid"),
        ("offset=0", "offset", "must be between 1 and 1000000000"),
        ("offset=-1", "offset", "must be between 1 and 1000000000"),
        ("offset=99999999999999999999999", "offset", "must be between 1 and 1000000000"),
        ("orderBy=up", "orderBy", "is invalid"),
    ],
)
async def test_a_page_out_of_bounds_is_refused_by_name(api, query, field, message):
    answer = await api.http.get(f"/on-demand?{query}")
    assert answer.status_code == 422
    assert answer.json() == {
        "success": False,
        "error": {
            "code": 422,
            "message": "payload validation failed",
            "fields": [{"field": field, "message": message}],
        },
    }


@pytest.mark.parametrize("query", ["limit=1", "limit=50", "offset=1", "offset=1000000000", "orderBy=asc"])
async def test_a_page_at_its_bounds_is_fine(api, query):
    assert (await api.http.get(f"/on-demand?{query}")).status_code == 200


async def test_updating_replaces_metadata_and_keeps_what_is_not_named(api):
    made = await api.create(title="Old", metadata={"a": "1", "b": "2"}, creatorId="me")
    answer = await api.http.patch(f"/on-demand/{made['id']}", json={"metadata": {"c": "3"}})
    media = answer.json()["data"]
    assert (answer.status_code, media["metadata"], media["title"], media["creatorId"]) == (200, {"c": "3"}, "Old", "me")
    assert media["updatedAt"] > made["updatedAt"]
    assert [e.type for e in await events(api, made["id"])] == ["video.media.created", "video.media.updated"]


async def test_an_empty_text_removes_and_null_changes_nothing(api):
    made = await api.create(title="Old", creatorId="me")
    media = (await api.http.patch(f"/on-demand/{made['id']}", json={"title": "", "creatorId": None})).json()["data"]
    assert "title" not in media
    assert media["creatorId"] == "me"


async def test_a_deleted_media_is_gone_with_its_playback_ids_and_its_bytes_are_a_jobs_work(api):
    made = await api.create()
    assert (await api.http.delete(f"/on-demand/{made['id']}")).json() == {"success": True}
    for answer in (
        await api.http.delete(f"/on-demand/{made['id']}"),
        await api.http.get(f"/on-demand/{made['id']}"),
        await api.http.get(f"/on-demand/{made['id']}/playback-ids"),
        await api.http.get(f"/on-demand/{made['id']}/input-info"),
    ):
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "media workspace relation not found")
    assert [name for name, _, _ in await jobs(api)] == ["media.fetch", "media.erase", "media.erase"]
    [*_, last] = await events(api, made["id"])
    assert (last.type, last.data["playbackIds"]) == ("video.media.deleted", made["playbackIds"])
    async with api.db.unit() as tx:
        left = await tx.execute(text("select count(*) from playback_ids where deleted_at is null"))
        assert left.scalar_one() == 0


async def test_input_info_names_the_url_before_the_file_is_known(api):
    made = await api.create()
    answer = await api.http.get(f"/on-demand/{made['id']}/input-info")
    assert answer.json()["data"] == {"configuration": {"url": "https://example.com/video.mp4"}, "file": {"tracks": []}}


async def test_a_private_media_says_so(api):
    made = await api.create(accessPolicy="private")
    assert made["playbackIds"][0]["accessPolicy"] == "private"


async def test_playback_ids_are_made_listed_shown_and_revoked(api):
    media = await api.create()
    path = f"/on-demand/{media['id']}/playback-ids"
    answer = await api.http.post(path, json={"accessPolicy": "private", "resolution": "720p"})
    made = answer.json()["data"]
    assert answer.status_code == 201
    assert made == {"id": made["id"], "accessPolicy": "private", "accessRestrictions": OPEN, "resolution": "720p"}
    listed = (await api.http.get(path)).json()
    assert listed == {"success": True, "data": [media["playbackIds"][0], made]}
    assert (await api.http.get(f"{path}/{made['id']}")).json()["data"] == made
    assert (await api.http.delete(path, params={"playbackId": made["id"]})).json() == {"success": True}
    for answer in (
        await api.http.delete(path, params={"playbackId": made["id"]}),
        await api.http.get(f"{path}/{made['id']}"),
    ):
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Media/PlaybackId not Found")


async def test_a_playback_id_without_a_cap_has_no_resolution_key(api):
    media = await api.create()
    made = (await api.http.post(f"/on-demand/{media['id']}/playback-ids", json={"accessPolicy": "public"})).json()
    assert "resolution" not in made["data"]


async def test_deleting_a_playback_id_needs_the_query_parameter(api):
    media = await api.create()
    answer = await api.http.delete(f"/on-demand/{media['id']}/playback-ids")
    assert answer.json()["error"]["fields"] == [{"field": "playbackId", "message": "must not be null"}]


async def test_the_workspace_of_a_token_is_shown_with_its_public_key(api):
    data = (await api.http.get("/iam/workspace")).json()["data"]
    assert (data["workspaceId"], data["name"]) == (api.workspace_id, "Development")
    assert re.fullmatch(r"[0-9a-f]{32}", data["workspaceKey"])
