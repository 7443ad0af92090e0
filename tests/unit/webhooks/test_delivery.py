"""Every event arrives once, signed, in order per object; whoever is slow, dead or hostile harms only itself."""

import asyncio
import collections
import datetime
import json
import re
import socket
from typing import Any

import pytest
from aiohttp import web
from tests.unit.webhooks.conftest import Receiver, Stage, receiving, staging, until

from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.notify import Listener
from fastpix_server.outbox import events
from fastpix_server.webhooks import schedule, service
from fastpix_server.webhooks.courier import PER_ENDPOINT

NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)


def test_the_schedule_is_that_of_the_contract() -> None:
    waits = [(schedule.next_try_at(tries, NOW) or NOW) - NOW for tries in range(1, 9)]
    minute, hour = 60, 3600
    assert [wait.total_seconds() for wait in waits] == [
        10, minute, 5 * minute, 30 * minute, 2 * hour, 6 * hour, 24 * hour, 0,
    ]  # fmt: skip
    assert schedule.next_try_at(8, NOW) is None


def test_an_endpoint_is_hopeless_after_many_failures_over_days_and_not_by_either() -> None:
    long_ago, lately = NOW - schedule.DISABLE_AFTER, NOW - datetime.timedelta(hours=1)
    assert schedule.is_hopeless(schedule.DISABLE_FAILURES, long_ago, NOW)
    assert not schedule.is_hopeless(schedule.DISABLE_FAILURES - 1, long_ago, NOW)
    assert not schedule.is_hopeless(10_000, lately, NOW)


async def test_the_envelope_is_that_of_the_contract_and_signed_over_its_exact_bytes(
    stage: Stage, receiver: Receiver
) -> None:
    _, secret = await stage.endpoint(receiver.url)
    event_id = await stage.tell("m1", title='é "quoted" 漢')
    await stage.step()
    [taken] = receiver.taken
    assert taken.is_signed_by(secret)
    assert not taken.is_signed_by(secret.swapcase())
    assert taken.headers["Content-Type"] == "application/json"
    assert "FastPix-Signature-Previous" not in taken.headers
    body = taken.body
    created_at = body.pop("createdAt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", created_at)
    assert body == {
        "type": "video.media.updated",
        "object": {"type": "media", "id": "m1"},
        "id": event_id,
        "workspace": {"id": stage.workspace_id, "name": "Development"},
        "status": "media_updated",
        "data": {"id": "m1", "title": 'é "quoted" 漢'},
        "attempts": [],
    }
    assert list(taken.body) == ["type", "object", "id", "workspace", "status", "data", "createdAt", "attempts"]


async def test_many_events_arrive_once_each_and_in_order_per_object_with_couriers_in_two_processes(
    stage: Stage, receiver: Receiver, module_database_url: str
) -> None:
    """Ten objects tell at the same time while two couriers run."""
    _, secret = await stage.endpoint(receiver.url)
    under_way: collections.Counter[str] = collections.Counter()
    most_of_an_object, most_of_all = 0, 0

    async def careful(_request: web.Request, raw: bytes) -> web.Response:
        nonlocal most_of_an_object, most_of_all
        object_id = json.loads(raw)["object"]["id"]
        under_way[object_id] += 1
        most_of_an_object = max(most_of_an_object, under_way[object_id])
        most_of_all = max(most_of_all, under_way.total())
        await asyncio.sleep(0.005)
        under_way[object_id] -= 1
        return web.Response(status=200)

    receiver.answers = [careful] * 200
    listeners = [Listener(module_database_url), Listener(module_database_url)]
    couriers = [stage.another_courier(one) for one in listeners]
    for one in listeners:
        await one.start()
    running = [asyncio.create_task(one.run()) for one in couriers]
    told: dict[str, list[str]] = collections.defaultdict(list)

    async def talk(object_id: str) -> None:
        for turn in range(8):
            told[object_id].append(await stage.tell(object_id, turn=turn))

    await asyncio.gather(*(talk(f"m{i}") for i in range(10)))
    await until(lambda: len(receiver.taken) >= 80)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for one in listeners:
        await one.close()
    heard: dict[str, list[str]] = collections.defaultdict(list)
    for taken in receiver.taken:
        assert taken.is_signed_by(secret)
        heard[taken.body["object"]["id"]].append(taken.body["id"])
    assert heard == told
    assert (most_of_an_object, most_of_all) == (1, PER_ENDPOINT)


async def test_a_failed_delivery_is_tried_again_with_the_same_id_and_tells_its_attempts(
    stage: Stage, receiver: Receiver
) -> None:
    endpoint, secret = await stage.endpoint(receiver.url)
    event_id = await stage.tell()
    receiver.answers = [500, 404]
    await stage.step()
    [delivery] = await stage.deliveries(endpoint.id)
    waits_s = (delivery.next_at - datetime.datetime.now(datetime.UTC)).total_seconds()
    assert 5 < waits_s <= 10
    await stage.step()
    assert len(receiver.taken) == 1  # not before its time
    for _ in range(2):
        await stage.make_due()
        await stage.step()
    assert receiver.ids == [event_id] * 3
    assert [[a["responseStatus"] for a in one.body["attempts"]] for one in receiver.taken] == [[], [500], [500, 404]]
    assert all(one.is_signed_by(secret) for one in receiver.taken)
    [delivery] = await stage.deliveries(endpoint.id)
    assert (delivery.state, [a["responseStatus"] for a in delivery.attempts]) == ("delivered", [500, 404, 204])
    assert (await stage.get(endpoint.id)).failures == 0


async def test_after_the_seventh_retry_a_delivery_has_failed(stage: Stage, receiver: Receiver) -> None:
    endpoint, _ = await stage.endpoint(receiver.url)
    await stage.tell()
    receiver.answers = [503] * 20
    for _ in range(10):
        await stage.make_due()
        await stage.step()
    [delivery] = await stage.deliveries(endpoint.id)
    assert (delivery.state, len(receiver.taken), len(delivery.attempts)) == ("failed", 8, 8)
    assert delivery.ended_at is not None


async def test_an_object_s_later_events_wait_for_the_first_tries_of_one_that_fails_and_then_pass_it(
    stage: Stage, receiver: Receiver
) -> None:
    await stage.endpoint(receiver.url)
    bad = await stage.tell("m1")
    later = [await stage.tell("m1"), await stage.tell("m1")]
    other = await stage.tell("m2")

    async def chokes(_request: web.Request, raw: bytes) -> web.Response:
        return web.Response(status=500 if bad.encode() in raw else 204)

    receiver.answers = [chokes] * 20
    for _ in range(schedule.HOLD_TRIES):
        assert not set(later) & set(receiver.ids)
        await stage.make_due()
        await stage.step_until_quiet()
    assert other in receiver.ids  # of another object: it waited for nobody
    heard = [one for one in receiver.ids if one in later]
    assert heard == later
    assert receiver.ids.count(bad) == schedule.HOLD_TRIES


async def test_what_is_no_2xx_in_time_is_a_failure_with_a_word(
    module_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow, dead, silent, unnamed, talking nonsense, redirecting to a private address: each in one workspace."""
    monkeypatch.setattr("fastpix_server.webhooks.post.TIMEOUT_S", 0.5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"

    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-no http\r\n\r\n")
        await writer.drain()
        writer.close()

    async def never(_request: web.Request, _raw: bytes) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    babbler = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with (
        staging(module_database_url) as stage,
        receiving() as slow,
        receiving() as mover,
        receiving("127.0.0.2") as there,
    ):

        async def moves(_request: web.Request, _raw: bytes) -> web.Response:
            return web.Response(status=307, headers={"Location": there.url})

        slow.answers, mover.answers = [never], [moves]
        urls = {
            "slow": slow.url,
            "dead": dead,
            "tls": slow.url.replace("http:", "https:"),
            "unnamed": "http://no-such-host.invalid/",
            "nonsense": f"http://127.0.0.1:{babbler.sockets[0].getsockname()[1]}/",
            "redirect": mover.url,
        }
        made = {name: (await stage.endpoint(url))[0].id for name, url in urls.items()}
        await stage.tell()
        await stage.step()
        words = {}
        for name, endpoint_id in made.items():
            [delivery] = await stage.deliveries(endpoint_id)
            [attempt] = delivery.attempts
            words[name] = attempt.get("error") or attempt["responseStatus"]
            assert delivery.state == "pending"
        assert there.taken == []
    babbler.close()
    assert words == {
        "slow": "timeout",
        "dead": "connection failed",
        "tls": "tls failed",
        "unnamed": "name has no address",
        "nonsense": "no valid answer",
        "redirect": 307,
    }


async def test_an_answer_without_end_is_not_read(stage: Stage, receiver: Receiver) -> None:
    sent = 0

    async def endless(request: web.Request, _raw: bytes) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        try:
            while sent < 1 << 30:
                await response.write(b"x" * 65_536)
                sent += 65_536
        except ConnectionError:
            pass
        return response

    endpoint, _ = await stage.endpoint(receiver.url)
    receiver.answers = [endless]
    await stage.tell()
    await stage.step()
    [delivery] = await stage.deliveries(endpoint.id)
    assert delivery.state == "delivered"
    assert sent < 64 << 20  # what fits into the buffers of a loopback connection


INSIDE = (
    "127.0.0.1", "2130706433", "0x7f.1", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "localhost", "[::]", "127.0.0.1.", "0177.0.0.1",
)  # fmt: skip
REFUSALS = ("address is not public", "name has no address", "url is not valid")


async def test_no_spelling_of_an_address_inside_is_dialled(module_database_url: str) -> None:
    """Nor by a probe. The server listens everywhere, so that a dial would be seen."""
    seen: list[bytes] = []

    async def see(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(see, None, 0)
    ports = sorted({one.getsockname()[1] for one in server.sockets})
    async with staging(module_database_url, AddressPolicy()) as stage:
        urls = [f"http://{host}:{port}/" for host in INSIDE for port in ports]
        made = {}
        for url in urls[: service.ENDPOINTS_MAX]:
            made[url] = (await stage.endpoint(url))[0].id
        await stage.tell()
        await stage.step()
        for url, endpoint_id in made.items():
            [delivery] = await stage.deliveries(endpoint_id)
            assert delivery.attempts[0]["error"] in REFUSALS, url
        await stage.run(
            "update webhook_endpoints set status = 'verifying' where workspace_id = :id", id=stage.workspace_id
        )
        await stage.step()
        assert {(await stage.get(endpoint_id)).status for endpoint_id in made.values()} == {"inactive"}
    server.close()
    assert seen == []


async def test_a_slow_endpoint_delays_no_other(stage: Stage, receiver: Receiver) -> None:
    """Even with few places: the slow one holds PER_ENDPOINT of them, and the others go round."""
    async with receiving() as slow:
        gate = asyncio.Event()

        async def waits(_request: web.Request, _raw: bytes) -> web.Response:
            await gate.wait()
            return web.Response()

        slow.answers = [waits] * 50
        await stage.endpoint(slow.url)
        await stage.endpoint(receiver.url)
        running = asyncio.create_task(stage.another_courier(places=PER_ENDPOINT + 2).run())
        told = [await stage.tell(f"m{i}") for i in range(20)]
        await until(lambda: len(receiver.taken) == 20)
        assert sorted(receiver.ids) == sorted(told)
        assert len(slow.started) == PER_ENDPOINT
        assert slow.taken == []
        gate.set()
        await until(lambda: len(slow.taken) == 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_endpoint_that_fails_has_one_place_until_it_answers(stage: Stage, receiver: Receiver) -> None:
    await stage.endpoint(receiver.url)
    for i in range(10):
        await stage.tell(f"m{i}")
    receiver.answers = [500] * PER_ENDPOINT + [500]
    await stage.step()
    assert len(receiver.taken) == PER_ENDPOINT
    await stage.step()
    assert len(receiver.taken) == PER_ENDPOINT + 1
    await stage.step()  # answered: all is well again
    await stage.step()
    assert len(receiver.taken) == 2 * PER_ENDPOINT + 2


async def test_an_event_whose_transaction_commits_late_is_told_all_the_same(stage: Stage, receiver: Receiver) -> None:
    await stage.endpoint(receiver.url)
    early: dict[str, Any] = {}
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow_change() -> None:
        async with stage.db.unit() as tx:
            early["id"] = await events.emit(
                tx, workspace_id=stage.workspace_id, type="video.media.ready", object_type="media", object_id="late",
                status="media_ready", data={},
            )  # fmt: skip
            begun.set()
            await go.wait()

    changing = asyncio.create_task(slow_change())
    await begun.wait()
    later = await stage.tell("m2")
    await stage.step()
    assert receiver.ids == [later]
    go.set()
    await changing
    await stage.step()
    assert receiver.ids == [later, early["id"]]


async def test_an_outcome_of_who_lost_the_lease_changes_nothing(stage: Stage, receiver: Receiver) -> None:
    """A courier that stood still for too long: another has delivered meanwhile."""
    endpoint, _ = await stage.endpoint(receiver.url)
    await stage.tell()

    async def overtaken(_request: web.Request, _raw: bytes) -> web.Response:
        await stage.run("update webhook_deliveries set lease = gen_random_uuid()")
        return web.Response(status=500)

    receiver.answers = [overtaken]
    await stage.step()
    [delivery] = await stage.deliveries(endpoint.id)
    assert (delivery.state, delivery.tries, (await stage.get(endpoint.id)).failures) == ("pending", 0, 0)


async def test_an_endpoint_that_fails_for_days_is_switched_off_and_the_others_hear_of_it(
    stage: Stage, receiver: Receiver
) -> None:
    async with receiving() as dead:
        endpoint, _ = await stage.endpoint(dead.url)
        await stage.endpoint(receiver.url)
        dead.answers = [500] * 5
        await stage.run(
            "update webhook_endpoints set failures = :failures, failing_since = now() - interval '4 days'"
            " where id = :id",
            failures=schedule.DISABLE_FAILURES - 2,
            id=endpoint.id,
        )
        for i in range(2):
            await stage.tell(f"m{i}")
            await stage.step_until_quiet()
        found = await stage.get(endpoint.id)
        assert found.status == "disabled"
        assert found.status_reason == "20 deliveries in a row failed, the last because the receiver answered 500"
        assert [one.body["type"] for one in receiver.taken][-1] == service.DISABLED
        assert receiver.taken[-1].body["object"] == {"type": "webhook", "id": endpoint.id}
        await stage.tell("m3")
        await stage.make_due()
        await stage.step()
        assert len(dead.taken) == 2


async def test_nothing_of_another_workspace_is_heard(
    stage: Stage, receiver: Receiver, module_database_url: str
) -> None:
    await stage.endpoint(receiver.url)
    async with staging(module_database_url) as other:
        await other.tell()
        await stage.step()
    assert receiver.taken == []
