"""Webhooks over REST: what is made, changed, tested, looked up and replayed."""

from typing import Any

import pytest
from sqlalchemy import text
from tests.unit.webhooks.conftest import LOOPBACK, Receiver, name_of, receiving

from fastpix_server.db.notify import Listener
from fastpix_server.webhooks import service
from fastpix_server.webhooks.courier import Courier


@pytest.fixture
async def receiver() -> Any:
    async with receiving() as made:
        yield made


@pytest.fixture
def courier(api: Any) -> Courier:
    return Courier(api.db, Listener(api.db.url), LOOPBACK, name_of)


async def step(courier: Courier) -> None:
    await courier.step()
    await courier.settled()


async def made(api: Any, url: str, **asked: Any) -> dict[str, Any]:
    answer = await api.http.post("/webhooks", json={"url": url, **asked})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


async def data(api: Any, method: str, path: str, status: int = 200, **body: Any) -> Any:
    answer = await api.http.request(method, path, **({"json": body} if body else {}))
    assert answer.status_code == status, answer.text
    return answer.json().get("data")


async def test_the_life_of_a_webhook(api: Any, courier: Courier, receiver: Receiver) -> None:
    created = await made(api, receiver.url, name="LMS")
    path = f"/webhooks/{created['id']}"
    secret = created.pop("signingSecret")
    assert (len(secret), created["status"]) == (44, "verifying")
    await data(api, "POST", f"{path}/test", 400)  # not yet
    await step(courier)
    found = await data(api, "GET", path)
    assert found == {**created, "status": "active"}  # and no secret
    tested = await data(api, "POST", f"{path}/test", 201)
    assert (tested["state"], tested["type"], tested["attempts"]) == ("pending", service.TEST, [])
    media = await api.create(title="t")
    await step(courier)
    by_type = {one.body["type"]: one for one in receiver.taken}
    assert set(by_type) == {service.TEST, "video.media.created"}
    assert all(one.is_signed_by(secret) for one in receiver.taken)
    told = by_type["video.media.created"].body
    assert (told["object"], told["data"]["id"]) == ({"type": "media", "id": media["id"]}, media["id"])
    log = await data(api, "GET", f"{path}/deliveries?state=delivered")
    assert [one["type"] for one in log] == ["video.media.created", service.TEST]
    one = await data(api, "GET", f"{path}/deliveries/{log[0]['id']}")
    assert one["payload"] == {**told, "attempts": one["attempts"]}

    rotated = await data(api, "POST", f"{path}/rotate-secret", graceSeconds=60)
    assert rotated["signingSecret"] != secret
    assert "previousSecretUntil" in rotated

    receiver.taken.clear()
    again = await data(api, "POST", f"{path}/deliveries/{log[0]['id']}/replay")
    assert again["state"] == "pending"
    await step(courier)
    assert receiver.ids == [told["id"]]
    assert receiver.taken[0].is_signed_by(rotated["signingSecret"])

    off = await data(api, "PATCH", path, isEnabled=False)
    assert (off["status"], off["statusReason"]) == ("disabled", "switched off by its owner")
    await api.create(title="missed")
    await step(courier)
    await data(api, "PATCH", path, isEnabled=True, name="Moodle")
    await step(courier)
    assert len(receiver.probes) == 2
    assert (await data(api, "GET", path))["name"] == "Moodle"
    receiver.taken.clear()
    answer = await data(api, "POST", f"{path}/replay", **{"from": "2020-01-01T00:00:00Z"})
    assert answer == {"events": 2, "queued": 1}  # the one that was missed; the test was nobody's event
    await step(courier)
    assert [one.body["data"]["title"] for one in receiver.taken] == ["missed"]

    await data(api, "DELETE", path)
    await data(api, "GET", path, 404)
    await data(api, "DELETE", path, 404)
    assert await data(api, "GET", "/webhooks") == []


async def test_a_long_range_is_replayed_in_pieces_and_in_the_order_of_telling(
    api: Any, courier: Courier, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REPLAY_MAX", 3)
    for i in range(5):
        await api.create(title=str(i))
    created = await made(api, receiver.url)
    await step(courier)
    await step(courier)
    receiver.taken.clear()
    begin, calls = "2020-01-01T00:00:00Z", 0
    while begin:
        body = {"from": begin, "onlyUndelivered": False}
        answer = await data(api, "POST", f"/webhooks/{created['id']}/replay", **body)
        begin, calls = answer.get("continueFrom"), calls + 1
        await step(courier)
        await step(courier)
    assert calls == 2
    assert [one.body["data"]["title"] for one in receiver.taken] == list("01234")

    sent = (await data(api, "GET", f"/webhooks/{created['id']}/deliveries"))[0]
    async with api.db.unit() as tx:
        await tx.execute(text("delete from events"))
    path = f"/webhooks/{created['id']}/deliveries/{sent['id']}"
    assert "payload" not in await data(api, "GET", path)
    answer = await api.http.post(f"{path}/replay")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "event is gone")
    answer = await api.http.post(f"/webhooks/{created['id']}/replay", json={"from": "yesterday"})
    assert [one["field"] for one in answer.json()["error"]["fields"]] == ["from"]


async def test_another_url_is_probed_before_anything_goes_there(api: Any, courier: Courier, receiver: Receiver) -> None:
    created = await made(api, receiver.url)
    path = f"/webhooks/{created['id']}"
    await step(courier)
    async with receiving() as other:
        other.probe = 404
        assert (await data(api, "PATCH", path, url=other.url))["status"] == "verifying"
        await api.create()
        await step(courier)
        assert (await data(api, "GET", path))["status"] == "inactive"
        await step(courier)
        assert other.taken == receiver.taken == []
        other.probe = 200
        await data(api, "PATCH", path, url=other.url)
        await step(courier)
        await step(courier)
        assert len(other.taken) == 1  # what was told meanwhile has waited
    unchanged = await data(api, "PATCH", path, name="n")
    assert unchanged["status"] == "active"
    await data(api, "PATCH", path, isEnabled=False)
    assert (await data(api, "PATCH", path, url=receiver.url))["status"] == "disabled"
    await step(courier)
    assert len(receiver.probes) == 1  # the very first; it is off
