"""DRM configurations, and media that is created encrypted."""

import asyncio
import uuid

import pytest
from sqlalchemy import text

from fastpix_server.access import service as access
from fastpix_server.playback import content_keys

PATH = "/on-demand/drm-configurations"
UNKNOWN = {
    "code": 400,
    "message": "DRM ID does not exist",
    "description": "The DRM configuration ID does not exist for the workspace.",
}


async def configuration(api) -> str:
    [found] = (await api.http.get(PATH)).json()["data"]
    return found["id"]


async def keys(api) -> list[tuple[str, str]]:
    async with api.db.unit() as tx:
        rows = await tx.execute(text("select target_id, key_id from playback_content_keys"))
        return [(str(row.target_id), str(row.key_id)) for row in rows]


async def test_every_workspace_has_one_configuration_from_the_start(api):
    answer = (await api.http.get(PATH)).json()
    assert answer["pagination"] == {"totalRecords": 1, "currentOffset": 1, "offsetCount": 1}
    [found] = answer["data"]
    assert list(found) == ["id"]
    assert (await api.http.get(PATH)).json() == answer
    assert (await api.http.get(f"{PATH}/{found['id']}")).json() == {"success": True, "data": found}
    assert (await api.http.get(f"{PATH}/{found['id'].upper()}")).json()["data"] == found
    assert (await api.http.get(PATH, params={"offset": 2})).json()["data"] == []


async def test_an_unknown_or_malformed_configuration_is_refused_as_the_contract_says(api):
    async with api.db.unit() as tx:
        other = await access.create_workspace(tx, name="Other")
        [theirs] = await access.list_drm_configurations(tx, other.id)
    assert theirs != await configuration(api)
    for unknown in (str(uuid.uuid4()), theirs):
        answer = await api.http.get(f"{PATH}/{unknown}")
        assert (answer.status_code, answer.json()["error"]) == (400, UNKNOWN)
    answer = await api.http.get(f"{PATH}/x")
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == [{"field": "drmConfigurationId", "message": "is invalid"}]


async def test_a_media_is_created_encrypted_with_its_key_in_the_same_transaction(api):
    made = await api.create(accessPolicy="drm", drmConfigurationId=await configuration(api))
    assert [p["accessPolicy"] for p in made["playbackIds"]] == ["drm"]
    [(target_id, key_id)] = await keys(api)
    assert target_id == made["id"]
    assert key_id != made["id"]
    async with api.db.unit() as tx:
        key = await content_keys.get(tx, target_id)
    assert (key.key_id, len(key.key), len(key.iv)) == (key_id, 16, 16)


async def test_a_key_is_made_with_the_first_encrypted_id_and_kept_for_the_next_ones(api):
    made = await api.create()
    assert await keys(api) == []
    path, body = f"/on-demand/{made['id']}/playback-ids", {"accessPolicy": "drm"}
    body["drmConfigurationId"] = await configuration(api)
    answers = await asyncio.gather(*(api.http.post(path, json=body) for _ in range(4)))
    assert [a.status_code for a in answers] == [201] * 4
    assert {a.json()["data"]["accessPolicy"] for a in answers} == {"drm"}
    [(target_id, _)] = await keys(api)
    assert target_id == made["id"]
    await api.http.delete(f"/on-demand/{made['id']}")
    assert await keys(api) == []


@pytest.mark.parametrize("given", ["nothing", "unknown", "malformed"])
async def test_an_encrypted_id_needs_a_configuration_of_the_workspace(api, given):
    made = await api.create()
    body = {"accessPolicy": "drm"}
    if given != "nothing":
        body["drmConfigurationId"] = str(uuid.uuid4()) if given == "unknown" else "x"
    message = "must not be null" if given == "nothing" else "is invalid"
    refused = [{"field": "drmConfigurationId", "message": message}]
    creation = {"inputs": [{"type": "video", "url": "https://example.com/a.mp4"}]}
    for path, payload, below in (
        (f"/on-demand/{made['id']}/playback-ids", body, ""),
        ("/on-demand", creation | body, ""),
        ("/on-demand/upload", {"corsOrigin": "*", "pushMediaSettings": body}, "pushMediaSettings."),
    ):
        answer = await api.http.post(path, json=payload)
        if given == "unknown":
            assert (answer.status_code, answer.json()["error"]) == (400, UNKNOWN)
        else:
            assert answer.status_code == 422
            assert answer.json()["error"]["fields"] == [{**refused[0], "field": f"{below}drmConfigurationId"}]
    assert await keys(api) == []


async def test_an_upload_may_become_an_encrypted_media(api):
    settings = {"accessPolicy": "drm", "drmConfigurationId": await configuration(api)}
    answer = await api.http.post("/on-demand/upload", json={"corsOrigin": "*", "pushMediaSettings": settings})
    assert answer.status_code == 201
    assert answer.json()["data"]["pushMediaSettings"]["playbackIds"][0]["accessPolicy"] == "drm"


async def test_a_configuration_named_for_a_public_id_has_no_effect(api):
    made = await api.create(accessPolicy="public", drmConfigurationId=str(uuid.uuid4()))
    assert [p["accessPolicy"] for p in made["playbackIds"]] == ["public"]
    assert await keys(api) == []
