"""A repeated Idempotency-Key gets the first answer, and the change happens once."""

import asyncio
import uuid

from sqlalchemy import text
from tests.unit.api.conftest import VIDEO

from fastpix_server.api import idempotency
from fastpix_server.media import service

KEY = {"Idempotency-Key": "the same"}


async def media_count(api):
    return (await api.http.get("/on-demand")).json()["pagination"]["totalRecords"]


async def test_a_repeated_creation_gets_the_first_answer_and_makes_nothing(api):
    first = await api.http.post("/on-demand", json=VIDEO, headers=KEY)
    again = await api.http.post("/on-demand", json=VIDEO, headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await media_count(api) == 1


async def test_another_body_under_the_same_key_is_still_a_replay(api):
    first = await api.http.post("/on-demand", json=VIDEO, headers=KEY)
    again = await api.http.post("/on-demand", json={**VIDEO, "title": "other"}, headers=KEY)
    assert again.content == first.content


async def test_another_key_path_or_no_key_is_another_request(api):
    made = (await api.http.post("/on-demand", json=VIDEO, headers=KEY)).json()["data"]
    await api.http.post("/on-demand", json=VIDEO, headers={"Idempotency-Key": "another"})
    await api.http.post("/on-demand", json=VIDEO)
    assert await media_count(api) == 3
    path = f"/on-demand/{made['id']}/playback-ids"
    assert (await api.http.post(path, json={}, headers=KEY)).json()["data"]["id"] != made["playbackIds"][0]["id"]


async def test_twins_at_the_same_moment_make_one_media_between_them(api):
    answers = await asyncio.gather(*(api.http.post("/on-demand", json=VIDEO, headers=KEY) for _ in range(6)))
    assert [a.status_code for a in answers] == [201] * 6
    assert len({a.content for a in answers}) == 1
    assert await media_count(api) == 1


async def test_a_repeated_deletion_is_a_success_again(api):
    made = await api.create()
    path = f"/on-demand/{made['id']}"
    assert (await api.http.delete(path, headers=KEY)).json() == {"success": True}
    assert (await api.http.delete(path, headers=KEY)).json() == {"success": True}
    assert (await api.http.delete(path)).status_code == 404


async def test_a_refused_request_is_not_remembered(api):
    assert (await api.http.post("/on-demand", json={}, headers=KEY)).status_code == 422
    assert (await api.http.post("/on-demand", json=VIDEO, headers=KEY)).status_code == 201


async def test_a_change_that_fails_keeps_neither_itself_nor_an_answer(api, monkeypatch):
    whole = service.list_playback_ids

    async def broken(*_args):
        raise RuntimeError("after the insert")

    monkeypatch.setattr(service, "list_playback_ids", broken)
    assert (await api.http.post("/on-demand", json=VIDEO, headers=KEY)).status_code == 500
    monkeypatch.setattr(service, "list_playback_ids", whole)
    assert await media_count(api) == 0
    assert (await api.http.post("/on-demand", json=VIDEO, headers=KEY)).status_code == 201
    assert await media_count(api) == 1


async def test_a_twin_that_waits_too_long_is_asked_to_come_back(api, monkeypatch):
    monkeypatch.setattr(idempotency, "TWIN_WAIT_MS", 50)
    name = idempotency.Name(api.workspace_id, "POST", "/v1/on-demand?", "the same")
    async with api.db.unit() as tx:
        assert await idempotency.claim(tx, name, api.context.pepper) is None
        twin = await api.http.post("/on-demand", json=VIDEO, headers=KEY)
        assert (twin.status_code, twin.headers["retry-after"]) == (503, "2")
    assert (await api.http.post("/on-demand", json=VIDEO, headers=KEY)).status_code == 201


async def test_an_answer_is_forgotten_after_a_day(api):
    await api.http.post("/on-demand", json=VIDEO, headers=KEY)
    assert await idempotency.purge(db=api.db) == 0
    async with api.db.unit() as tx:
        await tx.execute(text("update idempotent_answers set created_at = now() - interval '24 hours 1 second'"))
    again = await api.http.post("/on-demand", json=VIDEO, headers=KEY)
    assert "idempotency-replayed" not in again.headers
    assert await media_count(api) == 2
    async with api.db.unit() as tx:
        await tx.execute(text("update idempotent_answers set created_at = now() - interval '24 hours 1 second'"))
    assert await idempotency.purge(db=api.db) == 1


async def test_a_key_of_255_characters_is_kept_and_a_longer_one_refused(api):
    fine = {"Idempotency-Key": "k" * 255}
    first = await api.http.post("/on-demand", json=VIDEO, headers=fine)
    assert (await api.http.post("/on-demand", json=VIDEO, headers=fine)).content == first.content
    longer = await api.http.post("/on-demand", json=VIDEO, headers={"Idempotency-Key": "k" * 256})
    assert longer.json()["error"]["fields"][0]["field"] == "Idempotency-Key"


async def test_a_replay_is_spelled_for_the_generation_that_asks(api):
    upload = {"Idempotency-Key": str(uuid.uuid4())}
    made = await api.create()
    async with api.db.unit() as tx:
        await tx.execute(text("update media set duration_s = 183.5"))
    path = f"/on-demand/{made['id']}"
    now = await api.http.patch(path, json={"title": "t"}, headers=upload)
    old = await api.http.patch(path, json={"title": "t"}, headers={**upload, "X-Fastpix-Api-Generation": "1"})
    assert (now.json()["data"]["duration"], old.json()["data"]["duration"]) == (183.5, "00:03:03")
