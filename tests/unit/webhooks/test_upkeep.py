"""What outlives a killed worker, what ends by itself, and secrets that change."""

import asyncio
import base64
import sys
import threading
from typing import Any

import pytest
from aiohttp import web
from tests.unit.webhooks.conftest import Receiver, Stage, until

from fastpix_server.base import errors
from fastpix_server.webhooks import jobs, names, service, signing
from fastpix_server.webhooks.jobs import WebhookJobs
from fastpix_server.webhooks.schemas import ChangedWebhook, NewWebhook, Rotation

GOOD = "https://example.com/"


async def test_a_worker_killed_between_send_and_mark_loses_nothing(stage: Stage, receiver: Receiver) -> None:
    """Its successor sends the same id once more, and the rest of the object after it."""
    await stage.endpoint(receiver.url)
    first, second = [await stage.tell(turn=turn) for turn in range(2)]
    argv = [sys.executable, "-m", "tests.unit.webhooks.worker", stage.db.url]
    worker = await asyncio.create_subprocess_exec(*argv)

    async def kills(_request: web.Request, _raw: bytes) -> web.Response:
        """The receiver has taken it, and its answer finds nobody."""
        worker.kill()
        await worker.wait()
        return web.Response(status=200)

    receiver.answers = [kills]
    try:
        await until(lambda: receiver.ids == [first] or worker.returncode is not None)
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    assert receiver.started == [first]
    await stage.step()
    assert receiver.started == [first]  # the lease of the dead still runs
    await stage.make_due()
    await stage.step_until_quiet()
    assert receiver.ids == [first, first, second]


async def test_a_probe_of_braces_decides_whether_an_endpoint_is_active(stage: Stage, receiver: Receiver) -> None:
    endpoint, _ = await stage.endpoint(receiver.url, is_active=False)
    assert endpoint.status == "verifying"
    receiver.probe = 503
    await stage.step()
    found = await stage.get(endpoint.id)
    assert (found.status, found.status_reason) == ("inactive", "the probe failed: the receiver answered 503")
    [probe] = receiver.probes
    assert probe.raw == b"{}"
    assert not [name for name in probe.headers if name.startswith("FastPix")]
    await stage.tell()
    receiver.probe = 200
    async with stage.db.unit() as tx:
        await service.change(tx, stage.workspace_id, endpoint.id, ChangedWebhook(is_enabled=True))
    waits_for_it = await stage.tell("m2")  # told while it is verified
    await stage.step()
    assert (await stage.get(endpoint.id)).status == "active"
    await stage.step()
    assert receiver.ids == [waits_for_it]


async def test_a_probe_of_the_url_before_decides_nothing_of_the_new_one(stage: Stage, receiver: Receiver) -> None:
    endpoint, _ = await stage.endpoint(receiver.url, is_active=False)
    receiver.probe_waits = asyncio.Event()
    await stage.courier.step()
    await until(lambda: len(receiver.probes) == 1)
    async with stage.db.unit() as tx:
        await service.change(tx, stage.workspace_id, endpoint.id, ChangedWebhook(url=receiver.url + "?new"))
    await stage.courier.step()  # an endpoint has one probe at a time
    receiver.probe_waits.set()
    await stage.courier.settled()
    assert len(receiver.probes) == 1
    assert (await stage.get(endpoint.id)).status == "verifying"
    await stage.step()
    assert len(receiver.probes) == 2
    assert (await stage.get(endpoint.id)).status == "active"


async def test_after_a_rotation_the_newest_secret_signs_and_the_old_one_beside_it_for_its_grace(
    stage: Stage, receiver: Receiver
) -> None:
    endpoint, old = await stage.endpoint(receiver.url)
    async with stage.db.unit() as tx:
        _, new = await service.rotate(tx, stage.workspace_id, endpoint.id, Rotation())
    assert new != old
    await stage.tell()
    await stage.step()
    [taken] = receiver.taken
    assert taken.is_signed_by(new)
    assert taken.is_signed_by(old, "FastPix-Signature-Previous")
    await stage.run(
        "update webhook_endpoints set previous_secret_until = now() - interval '1 s' where id = :id", id=endpoint.id
    )
    await WebhookJobs(stage.db).tidy()
    assert (
        await stage.one("select sealed_previous_secret from webhook_endpoints where id = :id", id=endpoint.id) is None
    )
    await stage.tell("m2")
    await stage.step()
    assert receiver.taken[1].is_signed_by(new)
    assert "FastPix-Signature-Previous" not in receiver.taken[1].headers
    brought = base64.b64encode(b"a secret that two programs know!").decode()
    async with stage.db.unit() as tx:
        changed, shown = await service.rotate(
            tx, stage.workspace_id, endpoint.id, Rotation(grace_seconds=0, signing_secret=brought)
        )
    assert (shown, changed.previous_secret_until) == (brought, None)
    await stage.tell("m3")
    await stage.step()
    assert receiver.taken[2].is_signed_by(brought)


async def test_a_secret_is_not_in_the_database_and_belongs_to_its_row(stage: Stage, receiver: Receiver) -> None:
    endpoint, secret = await stage.endpoint(receiver.url)
    other, _ = await stage.endpoint(receiver.url)
    sealed = await stage.one("select sealed_secret from webhook_endpoints where id = :id", id=endpoint.id)
    assert len(base64.b64decode(secret)) == signing.SECRET_BYTES
    assert base64.b64decode(secret) not in bytes(sealed)
    await stage.run(
        "update webhook_endpoints set sealed_secret = :sealed where id = :id", sealed=bytes(sealed), id=other.id
    )
    await stage.tell()
    await stage.step()
    assert len(receiver.taken) == 1  # the one that can be signed; nothing leaves unsigned
    [delivery] = await stage.deliveries(other.id)
    assert delivery.attempts[0]["error"] == "the signing secret cannot be read"


async def test_a_log_ends_and_what_waits_stays(stage: Stage, receiver: Receiver, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "LOG_MAX", 2)
    endpoint, _ = await stage.endpoint(receiver.url)
    for i in range(4):
        await stage.tell(f"m{i}")
    await stage.step()
    kept = [one.id for one in await stage.deliveries(endpoint.id)][-2:]
    receiver.answers = [500]
    await stage.tell("waits")
    old = await stage.tell("old")
    await stage.step()
    await stage.run(
        "update webhook_deliveries set created_at = now() - interval '31 days' where event_id = :id", id=old
    )
    await WebhookJobs(stage.db).tidy()
    found = await stage.deliveries(endpoint.id)
    assert [one.id for one in found if one.state == "delivered"] == kept
    assert [one.object_id for one in found if one.state == "pending"] == ["waits"]


async def test_what_waited_for_a_delivery_that_was_purged_waits_no_more(stage: Stage, receiver: Receiver) -> None:
    await stage.endpoint(receiver.url)
    first, second = [await stage.tell(turn=turn) for turn in range(2)]
    receiver.answers = [500]
    await stage.step()
    await stage.run("delete from webhook_deliveries where event_id = :id", id=first)
    await stage.step()
    assert receiver.started == [first]
    await WebhookJobs(stage.db).tidy()
    await stage.step()
    assert receiver.started == [first, second]


async def test_an_endpoint_that_is_too_far_behind_is_switched_off(
    stage: Stage, receiver: Receiver, monkeypatch
) -> None:
    monkeypatch.setattr(jobs, "BACKLOG_MAX", 3)
    endpoint, _ = await stage.endpoint(receiver.url)
    receiver.answers = [500] * 3
    for i in range(4):
        await stage.tell(f"m{i}")
    await stage.courier._dispatch()
    await WebhookJobs(stage.db).tidy()
    found = await stage.get(endpoint.id)
    assert (found.status, found.status_reason) == ("disabled", "more than 3 deliveries were waiting")


async def test_an_event_that_was_purged_ends_its_delivery(stage: Stage, receiver: Receiver) -> None:
    endpoint, _ = await stage.endpoint(receiver.url)
    event_id = await stage.tell()
    await stage.courier._dispatch()
    await stage.run("delete from events where id = :id", id=event_id)
    await stage.step()
    [delivery] = await stage.deliveries(endpoint.id)
    assert (delivery.state, delivery.attempts[0]["error"]) == ("failed", "the event is kept no more")
    assert receiver.taken == []


async def test_a_lookup_that_hangs_holds_up_no_other_and_their_number_is_bounded(monkeypatch) -> None:
    release, hanging = threading.Event(), threading.Event()

    def look(host: str, port: int, family: int) -> list[object]:
        if host == "hangs":
            hanging.set()
            release.wait(60)
        return []

    monkeypatch.setattr(names, "_addresses", look)
    monkeypatch.setattr(names, "LOOKUPS_MAX", 2)
    resolver = names.ThreadPerName()
    stuck = [asyncio.create_task(resolver.resolve("hangs")) for _ in range(1)]
    await asyncio.to_thread(hanging.wait, 60)
    assert await resolver.resolve("quick") == []
    stuck.append(asyncio.create_task(resolver.resolve("hangs")))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many"):
        await resolver.resolve("quick")
    release.set()
    assert await asyncio.gather(*stuck) == [[], []]


async def test_a_workspace_has_so_many_webhooks_and_no_more(stage: Stage, monkeypatch) -> None:
    monkeypatch.setattr(service, "ENDPOINTS_MAX", 1)
    await stage.endpoint(GOOD)
    with pytest.raises(errors.BadState):
        await stage.endpoint(GOOD)


@pytest.mark.parametrize(
    "bad",
    [
        {"url": "ftp://example.com/"},
        {"url": "http://user:pw@example.com/"},
        {"url": "http://user@example.com/"},
        {"url": "http:///path"},
        {"url": "http://[bad"},
        {"url": "http://example.com:99999/"},
        {"url": "http://example.com/ a"},
        {"url": "http://example.com/" + "a" * 2048},
        {"url": GOOD, "name": " "},
        {"url": GOOD, "signingSecret": base64.b64encode(bytes(31)).decode()},
        {"url": GOOD, "signingSecret": base64.b64encode(bytes(65)).decode()},
        {"url": GOOD, "signingSecret": "not base64!"},
    ],
)
def test_what_makes_no_webhook_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        NewWebhook.model_validate(bad)
