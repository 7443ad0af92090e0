"""Alerts over real views: told once per breach and once at its end, signed, and only to places that may be reached."""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import ipaddress
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import text
from tests.playing import MASTER
from tests.video_data import Engine

from fastpix_server.access import service as access
from fastpix_server.base import clock, errors
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.pool import Database
from fastpix_server.views import schema
from fastpix_server.views.alerts import service
from fastpix_server.views.alerts.jobs import AlertJobs
from fastpix_server.views.alerts.judging import CALM, judge
from fastpix_server.views.alerts.model import Reading, Rule
from fastpix_server.views.alerts.schemas import ChangedAlert, NewAlert
from fastpix_server.webhooks.signing import SIGNATURE

NOW = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.UTC)
LOOPBACK = AddressPolicy((ipaddress.ip_network("127.0.0.0/8"),))
FAILURES = {"name": "Too many failures", "metric": "playback_failure_percentage", "threshold": 0.2}
RULE = Rule(
    id="", workspace_id="", name="", metric="buffer_ratio", measurement="avg", condition="above", threshold=0.2,
    window_minutes=15, minimum_views=10, filters=(), url=None, is_enabled=True, created_at=NOW,
)  # fmt: skip
BREACHED = dataclasses.replace(RULE, state="breached")


def test_a_breach_is_told_when_it_begins_and_not_while_it_lasts() -> None:
    assert judge(RULE, Reading(0.3, 10), NOW).change == "triggered"
    assert judge(BREACHED, Reading(0.3, 10), NOW).change is None


@pytest.mark.parametrize("reading", [Reading(0.2, 10), Reading(0.9, 9), Reading(None, 100), Reading(0.0, 0)])
def test_a_value_at_the_threshold_or_of_too_few_views_is_no_breach(reading: Reading) -> None:
    assert judge(RULE, reading, NOW).state == "quiet"


def test_a_breach_ends_after_some_calm_and_swinging_begins_the_calm_anew() -> None:
    first = judge(BREACHED, Reading(0.1, 10), NOW)
    assert (first.state, first.within_since, first.change) == ("breached", NOW, None)
    calming = dataclasses.replace(BREACHED, within_since=NOW)
    assert judge(calming, Reading(0.3, 10), NOW).within_since is None
    just_before = judge(calming, Reading(0.1, 10), NOW + CALM - datetime.timedelta(seconds=1))
    assert (just_before.state, just_before.change) == ("breached", None)
    assert judge(calming, Reading(0.1, 10), NOW + CALM).change == "resolved"


def test_below_is_the_other_side() -> None:
    low = dataclasses.replace(RULE, condition="below", threshold=0.5)
    assert judge(low, Reading(0.4, 10), NOW).change == "triggered"
    assert judge(low, Reading(0.6, 10), NOW).change is None


@dataclasses.dataclass
class Receiver:
    """A real server that takes what is delivered; `statuses` answers the next ones, then everything is 204."""

    url: str = ""
    statuses: list[int] = dataclasses.field(default_factory=list)
    taken: list[tuple[dict[str, Any], bytes]] = dataclasses.field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        data = await request.read()
        self.taken.append(({"signature": request.headers[SIGNATURE], "type": request.content_type}, data))
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, size=4)
    service.configure(MASTER)
    yield opened
    await opened.close()


async def a_workspace(db: Database) -> str:
    async with db.unit() as tx:
        return (await access.create_workspace(tx, name="films", id=str(uuid.uuid4()))).id


def views(engine: Engine, workspace: str, count: int, *, failed: int) -> None:
    """Ended this minute."""
    now = clock.now()
    moment = (now - datetime.timedelta(seconds=5)).strftime("%Y-%m-%d %H:%M:%S")
    engine.insert(schema.ROWS, [
        {"workspace_id": workspace, "view_id": str(uuid.uuid4()), "hour": f"{moment[:13]}:00:00",
         "view_start": moment, "last_event_at": moment, "received_last_at": moment, "is_completed": True,
         "has_played": True, "has_error": i < failed}
        for i in range(count)
    ])  # fmt: skip


async def made(db: Database, workspace: str, **asked: Any) -> tuple[Rule, str | None]:
    async with db.unit() as tx:
        return await service.create(tx, workspace, NewAlert.model_validate({**FAILURES, **asked}))


async def told(db: Database, workspace: str) -> list[str]:
    async with db.unit() as tx:
        found = await tx.execute(
            text("select type from events where workspace_id = :w order by position"), {"w": workspace}
        )
        return list(found.scalars())


async def queued(db: Database) -> list[dict[str, Any]]:
    async with db.unit() as tx:
        found = await tx.execute(
            text("select args from procrastinate_jobs where task_name = :name order by id"),
            {"name": service.DELIVER_JOB},
        )
        return list(found.scalars())


async def test_the_whole_way_of_an_alert(engine: Engine, db: Database, receiver: Receiver) -> None:
    workspace = await a_workspace(db)
    rule, secret = await made(db, workspace, url=receiver.url)
    jobs = AlertJobs(db, engine, LOOPBACK)

    views(engine, workspace, 10, failed=2)
    await jobs.evaluate()
    assert await told(db, workspace) == []  # 2 of 10 is not above 0.2

    views(engine, workspace, 2, failed=2)
    await jobs.evaluate()
    await jobs.evaluate()
    assert await told(db, workspace) == ["video.data.alert.triggered"]
    [args] = await queued(db)
    await jobs.deliver(**args)
    [(headers, data)] = receiver.taken
    assert secret is not None
    expected = hmac.digest(base64.b64decode(secret), data, hashlib.sha256)
    assert base64.b64decode(headers["signature"]) == expected
    assert headers["type"] == "application/json"
    body = json.loads(data)
    assert (body["type"], body["status"]) == ("video.data.alert.triggered", "alert_triggered")
    assert (body["object"], body["workspace"]["id"]) == ({"type": "alert", "id": rule.id}, workspace)
    assert (body["data"]["isBreached"], body["data"]["lastViews"]) == (True, 12)
    assert body["data"]["lastValue"] == pytest.approx(4 / 12)

    views(engine, workspace, 50, failed=0)
    await jobs.evaluate()
    assert len(await told(db, workspace)) == 1  # not yet calm for long enough
    async with db.unit() as tx:
        await tx.execute(text("update view_alerts set within_since = within_since - :calm"), {"calm": CALM})
    await jobs.evaluate()
    await jobs.evaluate()
    assert await told(db, workspace) == ["video.data.alert.triggered", "video.data.alert.resolved"]


async def test_two_judges_at_once_tell_once(engine: Engine, db: Database) -> None:
    workspace = await a_workspace(db)
    rule, _ = await made(db, workspace)
    for _ in range(2):  # both read before either wrote
        async with db.unit() as tx:
            await service.settle(tx, rule, Reading(0.9, 100))
    assert await told(db, workspace) == ["video.data.alert.triggered"]
    assert await queued(db) == []  # it has no URL


async def test_a_rule_that_was_changed_meanwhile_is_left_alone(db: Database) -> None:
    workspace = await a_workspace(db)
    rule, _ = await made(db, workspace)
    async with db.unit() as tx:
        changed = await service.change(tx, workspace, rule.id, ChangedAlert(threshold=0.95))
        assert await service.settle(tx, rule, Reading(0.9, 100)) is None
        assert await service.settle(tx, changed, Reading(0.9, 100)) is None
    assert await told(db, workspace) == []


async def test_another_workspace_s_views_and_excluded_views_do_not_count(engine: Engine, db: Database) -> None:
    workspace, other = await a_workspace(db), await a_workspace(db)
    await made(db, workspace)
    await made(db, other, filterby=["video_title:nothing of that name"])
    views(engine, other, 20, failed=20)
    await AlertJobs(db, engine, LOOPBACK).evaluate()
    assert await told(db, workspace) == await told(db, other) == []


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_what_a_receiver_does_not_take_is_tried_again(db: Database, receiver: Receiver, status: int) -> None:
    rule, _ = await made(db, await a_workspace(db), url=receiver.url)
    receiver.statuses = [status]
    jobs = AlertJobs(db, Engine.__new__(Engine), LOOPBACK)
    with pytest.raises(errors.Unavailable):
        await jobs.deliver(rule.id, {"id": "e"})
    await jobs.deliver(rule.id, {"id": "e"})
    assert len(receiver.taken) == 2


async def test_an_address_inside_is_never_dialled(db: Database, receiver: Receiver) -> None:
    rule, _ = await made(db, await a_workspace(db), url=receiver.url)
    jobs = AlertJobs(db, Engine.__new__(Engine), AddressPolicy())
    with pytest.raises(errors.DestinationFault):
        await jobs.deliver(rule.id, {"id": "e"})
    assert receiver.taken == []


async def test_a_removed_alert_is_delivered_nowhere(db: Database, receiver: Receiver) -> None:
    workspace = await a_workspace(db)
    rule, _ = await made(db, workspace, url=receiver.url)
    async with db.unit() as tx:
        await service.delete(tx, workspace, rule.id)
    await AlertJobs(db, Engine.__new__(Engine), LOOPBACK).deliver(rule.id, {"id": "e"})
    assert receiver.taken == []


async def test_a_workspace_has_so_many_alerts_and_no_more(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "ALERTS_MAX", 1)
    workspace = await a_workspace(db)
    await made(db, workspace)
    with pytest.raises(errors.BadState):
        await made(db, workspace)


@pytest.mark.parametrize(
    "bad",
    [
        {"metric": "drop table"},
        {"threshold": float("nan")},
        {"windowMinutes": 4},
        {"minimumViews": 0},
        {"filterby": ["no colon"]},
        {"url": "file:///etc/passwd"},
        {"url": "http://user:pw@host/"},
        {"url": "http://[bad"},
        {"name": " "},
        {"condition": "around"},
    ],
)
def test_what_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        NewAlert.model_validate({**FAILURES, **bad})
