"""Every operation of the API has a method, and every method asks for exactly what its operation is."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from tests.unit.client.calls import APART, CALLS
from tests.unit.client.scripted import Answer

from fastpix import AsyncFastPix, FastPix, operations, types

HERE = Path(__file__).parent
# The 68 operations of the public API's own document, each with an answer as the document describes it.
OFFICIAL: dict[str, dict[str, Any]] = json.loads((HERE / "official_answers.json").read_text())
API_PAGE = HERE.parents[2] / "docs" / "reference" / "api.md"
# Of the official service since that document was written.
NEWER = {
    "update-live-stream-domain-restrictions",
    "update-live-stream-user-agent-restrictions",
    "current-views-timeseries",
    "current-views-filter",
}
# Operations of ours have no official answer: the least that each may answer.
OURS: dict[str, Any] = {
    "get-live-stream-health": {"streamId": "s", "status": "idle"},
    "get-workspace": {"workspaceId": "w", "workspaceKey": "k", "name": "n"},
    "get-storage": {"totalBytes": 5, "mediaCount": 1, "media": [{"mediaId": "m", "totalBytes": 5}]},
    "create-access-token": {"id": "i", "secretKey": "s", "name": "n", "permissions": ["video:read"]},
    "list-access-tokens": [{"id": "i"}],
    "get-access-token": {"id": "i", "lastUsedAt": "2026-05-20T09:06:00Z"},
    "delete-access-token": None,
    "create-webhook": {"id": "i", "url": "u", "status": "verifying", "signingSecret": "s"},
    "list-webhooks": [{"id": "i", "url": "u", "status": "active"}],
    "get-webhook": {"id": "i", "url": "u", "status": "active"},
    "update-webhook": {"id": "i", "url": "u", "status": "active"},
    "delete-webhook": None,
    "rotate-webhook-secret": {"id": "i", "url": "u", "status": "active", "signingSecret": "s"},
    "test-webhook": {"id": "i", "webhookId": "w", "eventId": "e", "type": "t", "state": "pending"},
    "list-webhook-deliveries": [{"id": "i", "webhookId": "w", "eventId": "e", "type": "t", "state": "pending"}],
    "get-webhook-delivery": {"id": "i", "webhookId": "w", "eventId": "e", "type": "t", "state": "failed"},
    "replay-webhook-delivery": {"id": "i", "webhookId": "w", "eventId": "e", "type": "t", "state": "pending"},
    "replay-webhook-events": {"events": 3, "queued": 2, "continueFrom": "2026-05-20T09:06:00Z"},
    "export-views": [],
    "get-realtime": {"concurrentViews": 1, "concurrentViewers": 1, "errors": 0, "series": []},
    "create-alert": {"id": "i", "name": "n", "metric": "views", "threshold": 1},
    "list-alerts": [{"id": "i", "name": "n", "metric": "views", "threshold": 1}],
    "get-alert": {"id": "i", "name": "n", "metric": "views", "threshold": 1},
    "update-alert": {"id": "i", "name": "n", "metric": "views", "threshold": 1},
    "delete-alert": None,
    "update-live-stream-domain-restrictions": {"defaultPolicy": "deny", "allow": ["a.example"], "deny": []},
    "update-live-stream-user-agent-restrictions": {"defaultPolicy": "allow", "allow": [], "deny": ["curl"]},
    "current-views-timeseries": [{"intervalTime": "2026-05-20T09:06:00Z", "numberOfViews": 2, "metricValue": None}],
    "current-views-filter": [{"dimensionName": "DE", "concurrentViewers": 2, "metricValue": 2}],
}


# What the two methods that wait are told when they look once more.
WAITED_FOR = {
    "id": "m",
    "createdAt": "2026-05-20T09:06:43.064393Z",
    "streamId": "s",
    "streamKey": "k",
}


def methods_of(client: Any) -> set[str]:
    """`media.create` and so on: every public method of every group."""
    found: set[str] = set()

    def look(group: Any, prefix: str) -> None:
        for name in dir(group):
            if name.startswith("_"):
                continue
            value = getattr(group, name)
            if inspect.ismethod(value):
                found.add(prefix + name)
            elif type(value).__name__.endswith("Operations"):
                look(value, f"{prefix}{name}.")

    for name, group in vars(client).items():
        if not name.startswith("_"):
            look(group, f"{name}.")
    return found


def test_every_method_has_a_call_and_every_operation_a_method() -> None:
    with FastPix(username="u", password="p") as client:
        assert methods_of(client) == {*CALLS, *APART}
        assert methods_of(AsyncFastPix(username="u", password="p")) == methods_of(client)
    assert {call.operation for call in CALLS.values()} == set(operations.known())


def test_the_operations_are_those_of_the_official_document_and_ours() -> None:
    ids = [operation.id for operation in operations.known()]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {*OFFICIAL, *OURS}
    assert set(OURS) >= NEWER
    for operation in operations.known():
        if operation.id in OFFICIAL:
            official = OFFICIAL[operation.id]
            assert (operation.method, operation.path) == (official["method"], official["path"])


def test_every_operation_that_the_server_has_is_known() -> None:
    """docs/reference/api.md lists exactly the operations that work (held against the server in tests/unit/api)."""
    rows = re.findall(r"^\| [\w-]+ \| ([A-Z]+) `(/[^`?]+)[^`]*` \| works", API_PAGE.read_text(), re.MULTILINE)
    assert len(rows) > 60
    assert {(m, _bare(path)) for m, path in rows} <= {(op.method, _bare(op.path)) for op in operations.known()}


def _bare(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def answer_of(operation_id: str) -> Answer:
    if operation_id in OFFICIAL:
        official = OFFICIAL[operation_id]
        return Answer(official["status"], official["answer"])
    data = OURS[operation_id]
    page = {"pagination": {"totalRecords": 1, "currentOffset": 1, "offsetCount": 1}} if isinstance(data, list) else {}
    return Answer(200, {"success": True, "data": data, **page})


async def test_every_method_asks_for_its_operation_and_reads_its_answer(both, server):
    for name, call in CALLS.items():
        waited_for = WAITED_FOR | {"status": "active" if "/live/" in call.path else "Ready"}
        server.script(answer_of(call.operation.id))
        server.otherwise = lambda asked, data=waited_for: Answer(200, {"success": True, "data": data})
        found = await both.call(both.method(name), **call.given)
        asked = server.asked[0]
        assert (name, asked.method, asked.path) == (name, call.operation.method, f"/v1{call.path}")
        assert (name, asked.query) == (name, call.query)
        assert (name, asked.json if asked.body else None) == (name, call.body)
        assert asked.headers["authorization"] == "Basic dTpw"
        assert ("idempotency-key" in asked.headers) is (call.operation.method != "GET")
        assert found is not None, name


async def test_the_official_answers_become_typed_values(both, server):
    async def asked_for(name: str) -> Any:
        server.script(answer_of(CALLS[name].operation.id))
        return await both.call(both.method(name), **CALLS[name].given)

    media = (await asked_for("media.list")).items[0]
    assert isinstance(media, types.Media)
    assert isinstance(media.duration, float)  # the document says HH:MM:SS
    assert {track.type for track in media.tracks} >= {"video"}
    [clip] = (await asked_for("media.list_clips")).items
    assert (clip.duration, clip.status, clip.playback_ids[0].access_policy) == (13.0, "Ready", "public")
    stream = await asked_for("live_streams.create")
    assert (stream.status, stream.reconnect_window, stream.srt_playback_response is None) == ("idle", 60, False)
    detail = await asked_for("data.views.get")
    assert (detail.browser_name, detail.device_type, detail.view_seeked_count) == ("Chrome", "Mobile", 1)
    assert [event.e for event in detail.events] == ["playerReady", "viewBegin"]
    [view, *_] = (await asked_for("data.views.list")).items
    assert isinstance(view.qoe_score, float)
    assert "browser_name" in await asked_for("data.dimensions.list")
    series = await asked_for("data.metrics.timeseries")
    assert series.points[0].interval_time.tzinfo is not None
    assert isinstance(await asked_for("media.get_summary"), str)
    assert (await asked_for("playlists.create")).metadata.created_date.start_date == "2024-11-11"
