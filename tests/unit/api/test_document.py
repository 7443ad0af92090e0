"""The OpenAPI document describes what is really answered: real answers of every operation are held against it."""

import dataclasses
import re
import uuid
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from sqlalchemy import text
from tests.unit.api.conftest import VIDEO
from tests.unit.api.test_live_streams import publish

from fastpix_server.db.pool import Json
from fastpix_server.live import sessions_store
from fastpix_server.media import recordings, service
from fastpix_server.media.storage import StorageJobs

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


@pytest.fixture
async def context(context, engine):
    return dataclasses.replace(context, video_data=engine)


@pytest.fixture
async def document(api) -> dict[str, Any]:
    answer = await api.http.get("/openapi.json", auth=None)
    assert answer.status_code == 200
    return answer.json()


class Checker:
    """Validates an answer against its operation and remembers which (operation, status) were seen."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.operations = {
            operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()
        }
        self.schemas = {"components": document["components"]}
        self.seen: set[tuple[str, int]] = set()

    def check(self, operation_id: str, status: int, answer: httpx.Response) -> Any:
        assert answer.status_code == status, answer.text
        described = self.operations[operation_id]["responses"][str(status)]
        schema = described["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, **self.schemas}).validate(answer.json())
        self.seen.add((operation_id, status))
        return answer.json().get("data")

    def contents(self, operation_id: str, status: int) -> set[str]:
        """The media types of an answer that is no JSON."""
        self.seen.add((operation_id, status))
        return set(self.operations[operation_id]["responses"][str(status)]["content"])


async def make_ready(api, media_id):
    """What a worker would have found out."""
    async with api.db.unit() as tx:
        await tx.execute(
            text(
                "update media set status = 'Ready', container = 'mp4', duration_s = 5.28, width = 1280, height = 720"
                " where id = :id"
            ),
            {"id": media_id},
        )
        for position, kind in enumerate(("video", "audio")):
            await tx.execute(
                text(
                    "insert into media_tracks (id, media_id, position, type, status, width, height, frame_rate,"
                    " language_code, language_name) values (:id, :media, :position, :type, 'available', 1280, 720,"
                    " '25.000', 'und', 'default')"
                ),
                {"id": str(uuid.uuid4()), "media": media_id, "position": position, "type": kind},
            )


async def test_every_operation_answers_as_the_document_says(api, document):
    http = api.http
    on = Checker(document)
    made = on.check("create-media", 201, await http.post("/on-demand", json={**VIDEO, "title": "t", "creatorId": "c"}))
    failed = on.check("create-media", 201, await http.post("/on-demand", json=VIDEO))
    async with api.db.unit() as tx:
        await service.fail(tx, failed["id"], "url_unreachable", "The URL could not be reached.")
    await make_ready(api, made["id"])
    path = f"/on-demand/{made['id']}"
    media = on.check("get-media", 200, await http.get(path))
    assert [t["status"] for t in media["tracks"]] == ["available", "available"]
    reason = on.check("get-media", 200, await http.get(f"/on-demand/{failed['id']}"))["failureReason"]
    assert reason == {"code": "url_unreachable", "description": "The URL could not be reached."}
    listed = on.check("list-media", 200, await http.get("/on-demand"))
    assert [t["status"] for t in listed[1]["tracks"]] == ["Ready", "Ready"]
    on.check("updated-media", 200, await http.patch(path, json={"title": "u"}))
    on.check("retrieveMediaInputInfo", 200, await http.get(f"{path}/input-info"))
    second = on.check(
        "create-media-playback-id", 201, await http.post(f"{path}/playback-ids", json={"resolution": "480p"})
    )
    rules, named = {"defaultPolicy": "deny", "allow": ["a.example"]}, f"{path}/playback-ids/{second['id']}"
    assert on.check("update-domain-restrictions", 200, await http.patch(f"{named}/domains", json=rules))["deny"] == []
    on.check("update-user-agent-restrictions", 200, await http.patch(f"{named}/user-agents", json=rules))
    on.check("list-playback-ids", 200, await http.get(f"{path}/playback-ids"))
    on.check("get-playback-id", 200, await http.get(f"{path}/playback-ids/{second['id']}"))
    await _add_to(on, http, path, media["tracks"])
    revoke = {"playbackId": second["id"]}
    on.check("delete-media-playback-id", 200, await http.delete(f"{path}/playback-ids", params=revoke))
    await StorageJobs(api.db, api.context.storage, cache_max_bytes=0).run()
    stored = on.check("get-storage", 200, await http.get("/iam/storage"))
    assert [one["totalBytes"] for one in stored["media"]] == [0, 0]
    on.check("get-workspace", 200, await http.get("/iam/workspace"))
    token_path, token = "/iam/access-tokens", {"name": "ci", "permissions": ["video:read"]}
    pair = on.check("create-access-token", 201, await http.post(token_path, json=token))
    async with api.other(pair["id"], pair["secretKey"]) as other:
        on.check("list-access-tokens", 403, await other.get(token_path))
    listed = on.check("list-access-tokens", 200, await http.get(token_path))
    assert ["lastUsedAt" in one for one in listed] == [True, True]
    on.check("get-access-token", 200, await http.get(f"{token_path}/{pair['id']}"))
    on.check("create-access-token", 422, await http.post(token_path, json={"name": "", "permissions": ["video:eat"]}))
    on.check("delete-access-token", 200, await http.delete(f"{token_path}/{pair['id']}"))
    on.check("delete-access-token", 404, await http.delete(f"{token_path}/{pair['id']}"))
    key = on.check("create_signing_key", 201, await http.post("/iam/signing-keys"))
    on.check("list_signing_keys", 200, await http.get("/iam/signing-keys"))
    on.check("get-signing_key_by_id", 200, await http.get(f"/iam/signing-keys/{key['id']}"))
    on.check("delete_signing_key", 200, await http.delete(f"/iam/signing-keys/{key['id']}"))
    on.check("delete_signing_key", 404, await http.delete(f"/iam/signing-keys/{key['id']}"))
    [drm] = on.check("getDrmConfiguration", 200, await http.get("/on-demand/drm-configurations"))
    on.check("getDrmConfigurationById", 200, await http.get(f"/on-demand/drm-configurations/{drm['id']}"))
    on.check("getDrmConfigurationById", 400, await http.get(f"/on-demand/drm-configurations/{media['id']}"))
    upload = on.check(
        "direct-upload-video-media",
        201,
        await http.post("/on-demand/upload", json={"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public"}}),
    )
    stream_id = uuid.uuid4().hex
    async with api.db.unit() as tx:
        await recordings.create(
            tx,
            media_id=str(uuid.uuid4()),
            workspace_id=api.workspace_id,
            stream_id=stream_id,
            origin="clip",
            policy="public",
            max_resolution="1080p",
        )
    (clip,) = on.check("list-live-clips", 200, await http.get(f"/on-demand/{stream_id}/live-clips"))
    assert clip["streamId"] == stream_id
    assert on.check("list-live-clips", 200, await http.get(f"/on-demand/{uuid.uuid4()}/live-clips")) == []
    on.check("list-live-clips", 422, await http.get("/on-demand/nothing/live-clips"))
    own = {"inputs": [{"type": "video", "url": f"fp_mediaId://{media['id']}", "endTime": 2}]}
    made = on.check("create-media", 201, await http.post("/on-demand", json=own))
    assert made["sourceMediaId"] == media["id"]
    assert on.check("get-media", 200, await http.get(f"/on-demand/{made['id']}"))["sourceMediaId"] == media["id"]
    (clip,) = on.check("get-media-clips", 200, await http.get(f"{path}/media-clips"))
    assert clip["id"] == made["id"]
    on.check("get-media-clips", 404, await http.get(f"/on-demand/{uuid.uuid4()}/media-clips"))
    gone = {"inputs": [{"type": "video", "url": f"fp_mediaId://{uuid.uuid4()}"}]}
    on.check("create-media", 404, await http.post("/on-demand", json=gone))
    on.check("list-uploads", 200, await http.get("/on-demand/uploads"))
    on.check("cancel-upload", 200, await http.put(f"/on-demand/upload/{upload['uploadId']}/cancel"))
    on.check("cancel-upload", 400, await http.put(f"/on-demand/upload/{upload['uploadId']}/cancel"))
    await live_answers(api, on, http)
    await _webhook_answers(api, on, http)
    await playlist_answers(on, http, media["id"])
    on.check("delete-media", 200, await http.delete(path))
    on.check("create-media", 422, await http.post("/on-demand", json={}))
    on.check("list-media", 422, await http.get("/on-demand?limit=0"))
    on.check("get-media", 404, await http.get(path))
    on.check("get-playback-id", 404, await http.get(f"{path}/playback-ids/{second['id']}"))
    on.check("list-media", 401, await http.get("/on-demand", auth=("nobody", "nothing")))
    await _ask_about_views(api, on)
    assert {operation for operation, status in on.seen if status < 300} == set(on.operations)


async def playlist_answers(on, http, media_id):
    root, ever = "/on-demand/playlists", {"startDate": "2020-01-01", "endDate": "2100-01-01"}
    smart = {"name": "s", "referenceId": "s", "type": "smart", "playOrder": "createdDate DESC", "description": "d"}
    smart["metadata"] = {"createdDate": ever, "updatedDate": ever}
    filled = on.check("create-a-playlist", 201, await http.post(root, json=smart))
    assert media_id in [one["id"] for one in filled["mediaList"]]
    manual = {"name": "m", "referenceId": "m", "type": "manual"}
    made = on.check("create-a-playlist", 201, await http.post(root, json=manual))
    on.check("create-a-playlist", 409, await http.post(root, json=manual))
    on.check("create-a-playlist", 422, await http.post(root, json={**smart, "metadata": None}))
    on.check("get-all-playlists", 200, await http.get(root))
    one, held = f"{root}/{made['id']}", f"{root}/{made['id']}/media"
    on.check("update-a-playlist", 200, await http.put(one, json={"name": "n", "description": "e"}))
    chosen = {"mediaIds": [media_id]}
    on.check("add-media-to-playlist", 200, await http.patch(held, json=chosen))
    on.check("change-media-order-in-playlist", 200, await http.put(held, json=chosen))
    on.check("get-playlist-by-id", 200, await http.get(one))
    on.check("delete-media-from-playlist", 200, await http.request("DELETE", held, json=chosen))
    on.check("delete-media-from-playlist", 422, await http.request("DELETE", held, json=chosen))
    on.check("delete-a-playlist", 200, await http.delete(one))
    on.check("get-playlist-by-id", 404, await http.get(one))


async def _add_to(on, http, path, own):
    track = {"url": "https://a.example/a.srt", "type": "subtitle", "languageCode": "en", "languageName": "English"}
    added = on.check(
        "Add-media-track", 201, await http.post(f"{path}/tracks", json={"tracks": {**track, "title": "t"}})
    )
    on.check("Add-media-track", 400, await http.post(f"{path}/tracks", json={"tracks": track}))
    on.check("Add-media-track", 422, await http.post(f"{path}/tracks", json={"tracks": [track]}))
    one = f"{path}/tracks/{added['id']}"
    on.check("update-media-track", 200, await http.patch(one, json={"languageName": "British"}))
    on.check("update-media-track", 200, await http.patch(f"{path}/tracks/{own[1]['id']}", json={"languageCode": "fr"}))
    on.check("get-media", 200, await http.get(path))
    on.check("delete-media-track", 200, await http.delete(one))
    on.check("delete-media-track", 400, await http.delete(f"{path}/tracks/{own[0]['id']}"))
    on.check("delete-media-track", 404, await http.delete(one))
    files = f"{path}/update-mp4Support"
    on.check("updated-mp4Support", 200, await http.patch(files, json={"mp4Support": "audioOnly,capped_4k"}))
    on.check("updated-mp4Support", 400, await http.patch(files, json={"mp4Support": "audioOnly,capped_4k"}))
    on.check("updated-mp4Support", 422, await http.patch(files, json={"mp4Support": "all"}))
    on.check("updated-source-access", 200, await http.patch(f"{path}/source-access", json={"sourceAccess": True}))
    on.check("updated-source-access", 422, await http.patch(f"{path}/source-access", json={"sourceAccess": "yes"}))


async def live_answers(api, on, http):
    body = {
        "playbackSettings": {"accessPolicy": "private"},
        "inputMediaSettings": {"metadata": {"a": "b"}, "enableDvrMode": True},
    }
    stream = on.check("create-new-stream", 201, await http.post("/live/streams", json=body))
    path = f"/live/streams/{stream['streamId']}"
    names, pushes = f"{path}/playback-ids", f"{path}/simulcast"
    named = on.check("create-playbackId-of-stream", 201, await http.post(names, json={}))
    one = f"{names}/{named['id']}"
    on.check("get-live-stream-playback-id", 200, await http.get(one))
    on.check("update-live-stream-domain-restrictions", 200, await http.patch(f"{one}/domains", json={}))
    on.check("update-live-stream-user-agent-restrictions", 200, await http.patch(f"{one}/user-agents", json={}))
    target = {"url": "rtmp://example.com/app", "streamKey": "k", "metadata": {"a": "b"}}
    made = on.check("create-simulcast-of-stream", 201, await http.post(pushes, json=target))
    push = f"{pushes}/{made['simulcastId']}"
    on.check("get-specific-simulcast-of-stream", 200, await http.get(push))
    on.check("update-specific-simulcast-of-stream", 200, await http.put(push, json={"isEnabled": False}))
    on.check("get-live-stream-by-id", 200, await http.get(path))
    on.check("get-all-streams", 200, await http.get("/live/streams"))
    on.check("update-live-stream", 200, await http.patch(path, json={"reconnectWindow": 90}))
    on.check("get-live-stream-viewer-count-by-id", 200, await http.get(f"{path}/viewer-count"))
    on.check("get-live-stream-health", 200, await http.get(f"{path}/health"))
    session = await publish(api, stream)
    async with api.db.unit() as tx:
        told = {"bitrateBps": 1e6, "rttMs": 12.5}
        await sessions_store.report(tx, session.id, holder=session.holder, viewers=1, health=told)
    health = on.check("get-live-stream-health", 200, await http.get(f"{path}/health"))
    assert health["health"]["rttMs"] == 12.5
    on.check("delete-simulcast-of-stream", 200, await http.delete(push))
    on.check("delete-playbackId-of-stream", 200, await http.delete(names, params={"playbackId": named["id"]}))
    on.check("complete-live-stream", 200, await http.put(f"{path}/finish"))
    on.check("complete-live-stream", 400, await http.put(f"{path}/finish"))
    on.check("disable-live-stream", 200, await http.put(f"{path}/live-disable"))
    on.check("enable-live-stream", 200, await http.put(f"{path}/live-enable"))
    on.check("delete-live-stream", 200, await http.delete(path))
    on.check("get-live-stream-by-id", 404, await http.get(path))


async def _webhook_answers(api, on, http):
    asked = {"url": "https://a.example/", "name": "n"}
    made = on.check("create-webhook", 201, await http.post("/webhooks", json=asked))
    on.check("create-webhook", 422, await http.post("/webhooks", json={"url": "nowhere"}))
    one = f"/webhooks/{made['id']}"
    on.check("test-webhook", 400, await http.post(f"{one}/test"))
    has_all = "failures = 1, failing_since = now(), last_failure_at = now(), last_success_at = now()"
    async with api.db.unit() as tx:
        await tx.execute(text(f"update webhook_endpoints set status = 'active', {has_all}"))
    tested = on.check("test-webhook", 201, await http.post(f"{one}/test"))
    attempts = [{"attemptedAt": "2026-01-01", "responseStatus": 500}, {"attemptedAt": "2026-01-02", "error": "timeout"}]
    async with api.db.unit() as tx:
        ended = "update webhook_deliveries set state = 'failed', ended_at = now(), attempts = :attempts"
        await tx.execute(text(ended), {"attempts": Json(attempts)})
    on.check("list-webhooks", 200, await http.get("/webhooks"))
    on.check("get-webhook", 200, await http.get(one))
    on.check("rotate-webhook-secret", 200, await http.post(f"{one}/rotate-secret", json={}))
    on.check("list-webhook-deliveries", 200, await http.get(f"{one}/deliveries"))
    on.check("list-webhook-deliveries", 422, await http.get(f"{one}/deliveries?state=lost"))
    delivery = f"{one}/deliveries/{tested['id']}"
    on.check("get-webhook-delivery", 200, await http.get(delivery))
    on.check("replay-webhook-delivery", 200, await http.post(f"{delivery}/replay"))
    long_ago = {"from": "2020-01-01"}
    on.check("replay-webhook-events", 200, await http.post(f"{one}/replay", json=long_ago))
    on.check("update-webhook", 200, await http.patch(one, json={"isEnabled": False}))
    on.check("replay-webhook-events", 400, await http.post(f"{one}/replay", json=long_ago))
    on.check("delete-webhook", 200, await http.delete(one))
    on.check("get-webhook", 404, await http.get(one))


async def _ask_about_views(api, on):
    view_id, http = str(uuid.uuid4()), api.http
    told = {"has_error": True, "error_code": "networkError", "bitrates": [["2026-01-01 00:00:00.000", 900_000]]}
    api.context.video_data.watch(api.workspace_id, view_id, has_played=True, video_startup_time=5, watch_time=9, **told)
    assert len(on.check("list_video_views", 200, await http.get("/data/viewlist"))) == 1
    on.check("list_video_views", 422, await http.get("/data/viewlist?timespan[0]=24:hours"))
    on.check("get_video_view_details", 200, await http.get(f"/data/viewlist/{view_id}"))
    on.check("get_video_view_details", 404, await http.get(f"/data/viewlist/{uuid.uuid4()}"))
    on.check("list_by_top_content", 200, await http.get("/data/viewlist/top-content"))
    current = "/data/viewlist/current-views"
    on.check("current-views-timeseries", 200, await http.get(f"{current}/getTimeseriesViews"))
    on.check("current-views-filter", 200, await http.get(f"{current}/filter"))
    on.check("list_dimensions", 200, await http.get("/data/dimensions"))
    on.check("list_filter_values_for_dimension", 200, await http.get("/data/dimensions/error_code"))
    on.check("list_filter_values_for_dimension", 404, await http.get("/data/dimensions/no_such"))
    on.check("list_errors", 200, await http.get("/data/errors?limit=5"))
    metric = "/data/metrics/quality_of_experience_score"
    on.check("list_breakdown_values", 200, await http.get(f"{metric}/breakdown"))
    on.check("list_breakdown_values", 400, await http.get(f"{metric}/breakdown?groupBy=shoe_size"))
    on.check("list_overall_values", 200, await http.get(f"{metric}/overall?measurement=95th"))
    on.check("get_timeseries_data", 200, await http.get(f"{metric}/timeseries?granularity=hour"))
    on.check("list_comparison_values", 200, await http.get("/data/metrics/comparison"))
    on.check("get-realtime", 200, await http.get("/data/realtime?minutes=5"))
    on.check("get-realtime", 422, await http.get("/data/realtime?minutes=0"))
    exported = await http.get("/data/export/views")
    assert exported.headers["content-type"].split(";")[0] in on.contents("export-views", 200)
    await _alert_about_views(api, on)


async def _alert_about_views(api, on):
    http, asked = api.http, {"name": "slow", "metric": "video_startup_time", "threshold": 2000}
    made = on.check("create-alert", 201, await http.post("/data/alerts", json={**asked, "url": "https://a.example/"}))
    on.check("create-alert", 422, await http.post("/data/alerts", json={**asked, "threshold": "high"}))
    on.check("list-alerts", 200, await http.get("/data/alerts"))
    one = f"/data/alerts/{made['id']}"
    on.check("get-alert", 200, await http.get(one))
    on.check("update-alert", 200, await http.patch(one, json={"isEnabled": False}))
    on.check("delete-alert", 200, await http.delete(one))
    on.check("get-alert", 404, await http.get(one))


async def test_every_operation_names_its_refusals_and_its_permission(document):
    for path in document["paths"].values():
        for operation in path.values():
            assert {"401", "429", "503"} <= set(operation["responses"])
            assert operation["description"] if "description" in operation else operation["summary"]


async def test_the_reference_page_shows_every_operation_and_loads_nothing(api, document):
    answer = await api.http.get("/docs", auth=None)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for path in document["paths"].values():
        for operation in path.values():
            assert f"id='{operation['operationId']}'" in answer.text
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    named = set(re.findall(r" id='?([^' >]+)", answer.text))
    assert set(re.findall(r"href='#([^']+)'", answer.text)) - named == set()


async def test_the_written_reference_lists_exactly_the_operations_that_work(document):
    rows = re.findall(r"^\| ([\w-]+) \| ([A-Z]+) `(/[^`?]+)[^`]*` \| works", REFERENCE.read_text(), re.MULTILINE)
    routed = {
        (operation["operationId"], method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(rows) == routed
