"""The verbs of alerts.

Invariants: a change of state, its event and the job that delivers it commit together; the secret that signs deliveries
lies in the database only under the master key, bound to its row, and is shown once.
"""

import base64
import dataclasses
import secrets
from typing import Any

from fastpix_server.access import service as access
from fastpix_server.base import clock, errors, ids
from fastpix_server.base.seals import Seals
from fastpix_server.db.pool import Tx
from fastpix_server.jobs import queue
from fastpix_server.outbox import events
from fastpix_server.views.alerts import store
from fastpix_server.views.alerts.judging import judge
from fastpix_server.views.alerts.model import Reading, Rule
from fastpix_server.views.alerts.schemas import ChangedAlert, NewAlert
from fastpix_server.webhooks import wire

DELIVER_JOB = "views.deliver_alert"
# Each is a query a minute; a team that watches every country of every product has a few dozen.
ALERTS_MAX = 100
_SECRET_BYTES = 32  # contract section 4


_seals: Seals | None = None


def configure(seals: Seals) -> None:
    """Once per process, by the app: the API makes secrets, workers sign with them."""
    global _seals
    _seals = seals


async def create(tx: Tx, workspace_id: str, asked: NewAlert) -> tuple[Rule, str | None]:
    """The rule, and the signing secret (base64) when it has a URL. Raises errors.BadState at ALERTS_MAX."""
    await store.lock(tx, workspace_id)
    if await store.count(tx, workspace_id) >= ALERTS_MAX:
        raise errors.BadState(f"A workspace has at most {ALERTS_MAX} alerts.")
    rule = Rule(
        id=ids.new_uuid(),
        workspace_id=workspace_id,
        name=asked.name,
        metric=asked.metric,
        measurement=asked.measurement,
        condition=asked.condition,
        threshold=asked.threshold,
        window_minutes=asked.window_minutes,
        minimum_views=asked.minimum_views,
        filters=tuple(asked.filterby),
        url=asked.url,
        is_enabled=True,
        created_at=clock.now(),
    )
    secret = secrets.token_bytes(_SECRET_BYTES) if asked.url else None
    await store.insert(tx, rule, _sealing().seal(secret, _place(rule.id)) if secret else None)
    return rule, base64.b64encode(secret).decode() if secret else None


async def get(tx: Tx, workspace_id: str, alert_id: str) -> Rule:
    found = await store.find(tx, workspace_id, alert_id)
    if found is None:
        raise _unknown()
    return found


async def list_page(tx: Tx, workspace_id: str, *, limit: int, offset: int) -> tuple[list[Rule], int]:
    """`offset` is a page number from 1."""
    found = await store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit)
    return found, await store.count(tx, workspace_id)


async def change(tx: Tx, workspace_id: str, alert_id: str, asked: ChangedAlert) -> Rule:
    """The rule begins anew: one that is breached is told again when it still is."""
    rule = await store.find(tx, workspace_id, alert_id, locks=True)
    if rule is None:
        raise _unknown()
    given = {name: value for name in asked.model_fields_set if (value := getattr(asked, name)) is not None}
    if given:
        await store.change(tx, dataclasses.replace(rule, **given))
    return await get(tx, workspace_id, alert_id)


async def delete(tx: Tx, workspace_id: str, alert_id: str) -> None:
    if not await store.delete(tx, workspace_id, alert_id):
        raise _unknown()


async def settle(tx: Tx, asked: Rule, reading: Reading) -> str | None:
    """What the reading means for the rule; tells it when something changes. The event's id, or None.

    `asked` is the rule as it was when the question was asked: one that was changed or removed since is left alone.
    """
    rule = await store.find(tx, asked.workspace_id, asked.id, locks=True)
    if rule is None or rule.version != asked.version:
        return None
    now = clock.now()
    verdict = judge(rule, reading, now)
    await store.judged(tx, rule, reading, verdict, now)
    if verdict.change is None:
        return None
    rule = await get(tx, rule.workspace_id, rule.id)
    data = show(rule)
    status = f"alert_{verdict.change}"
    type = f"video.data.alert.{verdict.change}"
    event_id = await events.emit(
        tx, workspace_id=rule.workspace_id, type=type, object_type="alert", object_id=rule.id, status=status, data=data
    )
    if rule.url is not None:
        workspace = await access.get_workspace(tx, rule.workspace_id)
        body = {
            "type": type,
            "object": {"type": "alert", "id": rule.id},
            "id": event_id,
            "workspace": {"id": workspace.id, "name": workspace.name},
            "status": status,
            "data": data,
            "createdAt": wire.nanoseconds(now),
            "attempts": [],
        }
        # One at a time and in order: a receiver hears of the breach before it hears of its end.
        await queue.enqueue(tx, DELIVER_JOB, {"alert_id": rule.id, "body": body}, lock=f"alert {rule.id}")
    return event_id


async def find_destination(tx: Tx, alert_id: str) -> tuple[str, bytes] | None:
    """URL and signing key of an alert that still exists."""
    found = await store.find_secret(tx, alert_id)
    return None if found is None else (found[0], _sealing().open(found[1], _place(alert_id)))


def show(rule: Rule) -> dict[str, Any]:
    """The public JSON."""
    return {
        "id": rule.id,
        "name": rule.name,
        "metric": rule.metric,
        "measurement": rule.measurement,
        "condition": rule.condition,
        "threshold": rule.threshold,
        "windowMinutes": rule.window_minutes,
        "minimumViews": rule.minimum_views,
        "filterby": list(rule.filters),
        "url": rule.url,
        "isEnabled": rule.is_enabled,
        "isBreached": rule.state == "breached",
        "breachedAt": None if rule.breached_at is None else clock.iso(rule.breached_at),
        "evaluatedAt": None if rule.evaluated_at is None else clock.iso(rule.evaluated_at),
        "lastValue": rule.last_value,
        "lastViews": rule.last_views,
        "createdAt": clock.iso(rule.created_at),
    }


def _unknown() -> errors.NotFound:
    return errors.NotFound("There is no alert of this id in the workspace.", message="alert not found")


def _sealing() -> Seals:
    assert _seals is not None, "the app configures alerts before it serves"
    return _seals


def _place(alert_id: str) -> str:
    return f"view_alerts:sealed_secret:{alert_id}"
