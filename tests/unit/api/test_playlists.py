"""Playlists over the whole stack of the API: what is kept in which order, and what hostile bodies get."""

import random
import uuid

import pytest
from sqlalchemy import text
from tests.unit.api.conftest import Api

ROOT = "/on-demand/playlists"
EVER = {"startDate": "2020-01-01", "endDate": "2100-01-01"}
SMART = {
    "name": "s",
    "referenceId": "s",
    "type": "smart",
    "playOrder": "createdDate ASC",
    "metadata": {"createdDate": EVER},
}


async def ready(api: Api, *days: str) -> list[str]:
    """Ready media, created on those days."""
    made = [str((await api.create())["id"]) for _ in days]
    async with api.db.unit() as tx:
        for media_id, day in zip(made, days, strict=True):
            await tx.execute(
                text(
                    "update media set status = 'Ready', duration_s = 9.5, width = 1920, height = 1080,"
                    " created_at = cast(:day as timestamptz) where id = :id"
                ),
                {"id": media_id, "day": day},
            )
    return made


async def manual(api: Api, name: str = "m", **more: object) -> str:
    answer = await api.http.post(ROOT, json={"name": name, "referenceId": name, "type": "manual", **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


async def held(api: Api, playlist: str) -> list[str]:
    shown = (await api.http.get(f"{ROOT}/{playlist}")).json()["data"]
    assert shown["mediaCount"] == len(shown["mediaList"])
    return [entry["id"] for entry in shown["mediaList"]]


async def test_a_manual_playlist_has_exactly_the_keys_of_the_contract(api: Api):
    [media] = await ready(api, "2026-05-01")
    playlist = await manual(api, description="")
    answer = await api.http.patch(f"{ROOT}/{playlist}/media", json={"mediaIds": [media, media]})
    shown = answer.json()["data"]
    keys = {"id", "name", "referenceId", "type", "mediaList", "workspaceId", "createdAt", "updatedAt", "mediaCount"}
    assert set(shown) == keys
    [entry] = shown["mediaList"]
    assert set(entry) == {"createdAt", "duration", "id", "sourceResolution", "status", "thumbnail"}
    assert (entry["duration"], entry["sourceResolution"], entry["status"]) == (9.5, "1080", "Ready")
    told = (await api.http.put(f"{ROOT}/{playlist}", json={"name": "n", "description": "about"})).json()["data"]
    assert (told["name"], told["description"]) == ("n", "about")
    assert told["updatedAt"] > shown["updatedAt"]
    old = await api.http.get(f"{ROOT}/{playlist}", headers={"X-Fastpix-Api-Generation": "1"})
    assert old.json()["data"]["mediaList"][0]["duration"] == "00:00:09"


async def test_a_smart_playlist_is_filled_once_by_whole_days_in_its_order(api: Api):
    days = ("2026-04-30T23:59:59Z", "2026-05-01T00:00:00Z", "2026-05-02T12:00:00Z", "2026-05-03T23:59:59.999Z")
    _, first, second, third = await ready(api, *days)
    [late] = await ready(api, "2026-05-04T00:00:00Z")
    await api.create()  # in no playlist: it is not Ready
    dates = {"createdDate": {"startDate": "2026-05-01", "endDate": "2026-05-03"}}
    for order, limit, expected in (
        ("createdDate ASC", 1000, [first, second, third]),
        ("createdDate DESC", 2, [third, second]),
    ):
        body = {**SMART, "referenceId": order, "playOrder": order, "limit": limit, "metadata": dates}
        made = (await api.http.post(ROOT, json=body)).json()["data"]
        assert [entry["id"] for entry in made["mediaList"]] == expected
        assert (made["playOrder"], made["metadata"], made["mediaCount"]) == (order, dates, len(expected))
        await ready(api, "2026-05-01T01:00:00Z")
        assert await held(api, made["id"]) == expected
    past = {**SMART, "metadata": {**dates, "updatedDate": {"startDate": "2026-05-01", "endDate": "2026-05-02"}}}
    assert (await api.http.post(ROOT, json=past)).json()["data"]["mediaList"] == []  # all changed just now
    assert late not in expected


async def test_a_reference_id_is_taken_once_in_its_workspace(api: Api):
    await manual(api, "one")
    again = await api.http.post(ROOT, json={"name": "x", "referenceId": "one", "type": "manual"})
    assert again.status_code == 409
    assert again.json()["error"] == {
        "code": 409,
        "message": "playlist create failed",
        "description": "A playlist with the given reference ID already exists.",
    }


async def test_lists_are_newest_first_and_say_how_many_media_each_has(api: Api):
    [media] = await ready(api, "2026-05-01")
    names = [await manual(api, name) for name in ("a", "b", "c")]
    await api.http.patch(f"{ROOT}/{names[0]}/media", json={"mediaIds": [media]})
    page = (await api.http.get(ROOT, params={"limit": 2, "offset": 2})).json()
    [entry] = page["data"]
    assert (entry["id"], entry["mediaCount"], "mediaList" in entry) == (names[0], 1, False)
    assert page["pagination"] == {"totalRecords": 3, "currentOffset": 2, "offsetCount": 2}


async def test_a_deleted_media_leaves_its_playlists_and_a_deleted_playlist_leaves_its_media(api: Api):
    first, second = await ready(api, "2026-05-01", "2026-05-02")
    lists = [await manual(api, name) for name in ("a", "b")]
    for playlist in lists:
        await api.http.patch(f"{ROOT}/{playlist}/media", json={"mediaIds": [first, second]})
    await api.http.delete(f"/on-demand/{first}")
    assert [await held(api, playlist) for playlist in lists] == [[second], [second]]
    assert (await api.http.delete(f"{ROOT}/{lists[0]}")).json() == {"success": True}
    gone = await api.http.delete(f"{ROOT}/{lists[0]}")
    assert (gone.status_code, gone.json()["error"]["message"]) == (404, "playlist not found")
    assert (await api.http.get(f"/on-demand/{second}")).status_code == 200


async def test_any_series_of_changes_gives_the_list_that_a_plain_list_would_give(api: Api):
    chance = random.Random(20261126)
    media = await ready(api, *["2026-05-01"] * 7)
    playlist, model = await manual(api, limit=5), []
    path = f"{ROOT}/{playlist}/media"
    for _ in range(40):
        some = chance.sample(media, chance.randint(1, 3))
        match chance.choice(("PATCH", "PATCH", "PUT", "DELETE")):
            case "PATCH":
                new = [one for one in some if one not in model]
                status = 200 if len(model) + len(new) <= 5 else 422
                changed = model + new
                answer = await api.http.patch(path, json={"mediaIds": some})
            case "PUT":
                changed = some if chance.random() < 0.3 else chance.sample(model, len(model))
                status = 200 if sorted(changed) == sorted(model) else 422
                answer = await api.http.put(path, json={"mediaIds": changed})
            case _:
                changed = [one for one in model if one not in some]
                status = 200 if set(some) <= set(model) else 422
                answer = await api.http.request("DELETE", path, json={"mediaIds": some})
        assert answer.status_code == status, answer.text
        model = changed if status == 200 else model
        assert await held(api, playlist) == model


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
async def test_hostile_bodies_name_their_field_and_change_nothing(api: Api, method: str):
    [media] = await ready(api, "2026-05-01")
    path = f"{ROOT}/{await manual(api)}/media"
    await api.http.patch(path, json={"mediaIds": [media]})
    bad: list[tuple[bytes | None, str]] = [
        (None, "body"),
        (b"", "body"),
        (b"[]", "body"),
        (b"{", "body"),
        (b"{}", "mediaIds"),
        (b'{"mediaIds": null}', "mediaIds"),
        (b'{"mediaIds": "%s"}' % media.encode(), "mediaIds"),
        (b'{"mediaIds": {"0": "%s"}}' % media.encode(), "mediaIds"),
        (b'{"mediaIds": [1]}', "mediaIds[0]"),
        (b'{"mediaIds": ["%s", "\\u0000"]}' % media.encode(), "mediaIds[1]"),
        (b'{"mediaIds": ["\' or 1=1 --"]}', "mediaIds[0]"),
        (b'{"mediaIds": [%s]}' % b",".join([b'"%s"' % str(uuid.uuid4()).encode()] * 1001), "mediaIds"),
    ]
    for body, field in bad:
        answer = await api.http.request(method, path, content=body)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["error"]["fields"][0]["field"] == field, body
    assert (await api.http.request(method, path, content=b" " * (1 << 20) + b"{}")).status_code == 413
    stranger = await api.http.request(method, path, json={"mediaIds": [str(uuid.uuid4())]})
    assert stranger.status_code in (404, 422)
    assert await held(api, path.split("/")[3]) == [media]


async def test_media_that_are_not_ready_come_into_no_list(api: Api):
    [media], waiting = await ready(api, "2026-05-01"), str((await api.create())["id"])
    path = f"{ROOT}/{await manual(api)}/media"
    answer = await api.http.patch(path, json={"mediaIds": [media, waiting]})
    assert answer.json()["error"]["fields"] == [{"field": "mediaIds[1]", "message": "is not Ready"}]
    assert await held(api, path.split("/")[3]) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "clever"}, "type"),
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"referenceId": ""}, "referenceId"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": True}, "limit"),
        ({"description": "x" * 1001}, "description"),
        ({"playOrder": None}, "playOrder"),
        ({"playOrder": "createdDate"}, "playOrder"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {}}, "metadata.createdDate"),
        ({"metadata": {"createdDate": {**EVER, "startDate": "2026-02-30"}}}, "metadata.createdDate.startDate"),
        ({"metadata": {"createdDate": {**EVER, "endDate": "2019-01-01"}}}, "metadata.createdDate.endDate"),
        ({"type": "manual"}, "playOrder"),
    ],
)
async def test_a_bad_playlist_is_refused_by_the_name_of_its_field(api: Api, change: dict[str, object], field: str):
    answer = await api.http.post(ROOT, json={**SMART, **change})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == field


async def test_dates_at_the_ends_of_time_are_dates(api: Api):
    [media] = await ready(api, "2026-05-01")
    ends = {"startDate": "0001-01-01", "endDate": "9999-12-31"}
    made = await api.http.post(ROOT, json={**SMART, "metadata": {"createdDate": ends}})
    assert [entry["id"] for entry in made.json()["data"]["mediaList"]] == [media]


async def test_restrictions_are_replaced_once_the_media_is_ready(api: Api):
    waiting = await api.create()
    named = waiting["playbackIds"][0]["id"]
    path = f"/on-demand/{waiting['id']}/playback-ids/{named}"
    rules = {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []}
    early = await api.http.patch(f"{path}/domains", json=rules)
    assert early.status_code == 400
    assert "not ready for updates" in early.json()["error"]["message"]
    [media] = await ready(api, "2026-05-01")
    [named] = (await api.http.get(f"/on-demand/{media}/playback-ids")).json()["data"]
    path = f"/on-demand/{media}/playback-ids/{named['id']}"
    assert (await api.http.patch(f"{path}/domains", json=rules)).json()["data"] == rules
    plain = {"defaultPolicy": "allow", "allow": [], "deny": []}
    assert (await api.http.patch(f"{path}/user-agents", json={})).json()["data"] == plain
    agents = {"defaultPolicy": "allow", "allow": [], "deny": ["Curl"]}
    assert (await api.http.patch(f"{path}/user-agents", json=agents)).json()["data"] == agents
    shown = (await api.http.get(path)).json()["data"]
    assert shown["accessRestrictions"] == {"domains": rules, "userAgents": agents}
    stranger = f"/on-demand/{media}/playback-ids/{waiting['playbackIds'][0]['id']}/domains"
    answer = await api.http.patch(stranger, json=rules)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Media/PlaybackId not Found")
    bad = await api.http.patch(f"{path}/domains", json={"defaultPolicy": "maybe", "allow": ["x"] * 101})
    assert {fault["field"] for fault in bad.json()["error"]["fields"]} == {"defaultPolicy", "allow"}
