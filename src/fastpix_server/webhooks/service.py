"""The verbs of webhooks: endpoints, their secrets, their deliveries.

Invariants: a secret lies in the database only under the master key, bound to its row, and is shown once, to who makes
it; an endpoint of another workspace does not exist; what changes for the couriers is announced in the same
transaction. Nothing here waits for a receiver: probes and deliveries are the couriers' (courier.py).
"""

import datetime
from typing import Any

from prometheus_client import Counter

from fastpix_server.base import clock, errors, ids, log
from fastpix_server.base.seals import Seals
from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Tx
from fastpix_server.outbox import events
from fastpix_server.outbox.events import Event
from fastpix_server.webhooks import deliveries_store, schedule, signing, states, store, wire
from fastpix_server.webhooks.model import Delivery, Endpoint, SealedSecrets, State
from fastpix_server.webhooks.schemas import ChangedWebhook, NewWebhook, Replay, Rotation, read_moment
from fastpix_server.webhooks.states import Cause, Status

# To the couriers: something of webhooks is due now.
DUE = "webhooks_due"
# One per program that listens; each is a copy of every event.
ENDPOINTS_MAX = 20
# A call stays short; the answer says where to go on.
REPLAY_MAX = 1_000
TEST, DISABLED = "video.webhook.test", "video.webhook.disabled"
# What is about an endpoint itself is no part of what happened in the workspace.
_NOT_REPLAYED = (TEST,)

_log = log.get(__name__)
_disabled = Counter("fastpix_webhooks_disabled", "Endpoints that were switched off because they failed.", ["cause"])


_seals: Seals | None = None


def configure(seals: Seals) -> None:
    """Once per process, by the app: the API makes secrets, couriers sign with them."""
    global _seals
    _seals = seals


async def create(tx: Tx, workspace_id: str, asked: NewWebhook) -> tuple[Endpoint, str]:
    """The endpoint, not yet active, and its signing secret. Raises errors.BadState at ENDPOINTS_MAX."""
    await store.lock(tx, workspace_id)
    if await store.count(tx, workspace_id) >= ENDPOINTS_MAX:
        raise errors.BadState(f"A workspace has at most {ENDPOINTS_MAX} webhooks.", message="webhook limit reached")
    endpoint_id, secret = ids.new_uuid(), _secret_of(asked.signing_secret)
    await store.insert(
        tx,
        id=endpoint_id,
        workspace_id=workspace_id,
        url=asked.url,
        name=asked.name,
        status=Status.VERIFYING.value,
        sealed_secret=_sealing().seal(secret, _place(endpoint_id)),
        now=clock.now(),
    )
    await notify(tx, DUE, "")
    _log.info("webhook_created", workspace_id=workspace_id, webhook_id=endpoint_id)
    return await get(tx, workspace_id, endpoint_id), signing.show_secret(secret)


async def get(tx: Tx, workspace_id: str, endpoint_id: str, *, locks: bool = False) -> Endpoint:
    found = await store.find(tx, workspace_id, endpoint_id, locks=locks)
    if found is None:
        raise errors.NotFound("There is no webhook of this id in the workspace.", message="webhook not found")
    return found


async def list_page(tx: Tx, workspace_id: str, *, limit: int, offset: int) -> tuple[list[Endpoint], int]:
    """`offset` is a page number from 1."""
    found = await store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit)
    return found, await store.count(tx, workspace_id)


async def change(tx: Tx, workspace_id: str, endpoint_id: str, asked: ChangedWebhook) -> Endpoint:
    """Another URL is probed before anything goes there; what waits for the endpoint waits for the probe."""
    before = await get(tx, workspace_id, endpoint_id, locks=True)
    if asked.name is not None:
        await store.rename(tx, endpoint_id, asked.name)
    is_new_url = asked.url is not None and asked.url != before.url
    if asked.url is not None and is_new_url:
        await store.set_url(tx, endpoint_id, asked.url)
    is_off = before.status == Status.DISABLED
    if asked.is_enabled is False:
        if not is_off:
            await states.move(tx, endpoint_id, Cause.SWITCHED_OFF, reason="switched off by its owner")
    elif _wants_probe(before, asked, is_new_url=is_new_url):
        await states.move(tx, endpoint_id, Cause.ASKED)
        await notify(tx, DUE, "")
    return await get(tx, workspace_id, endpoint_id)


def _wants_probe(before: Endpoint, asked: ChangedWebhook, *, is_new_url: bool) -> bool:
    if before.status == Status.DISABLED:
        return asked.is_enabled is True
    if before.status == Status.INACTIVE:
        return asked.is_enabled is True or asked.url is not None
    return is_new_url


async def delete(tx: Tx, workspace_id: str, endpoint_id: str) -> None:
    """Nothing more is sent there, and its log is gone."""
    if not await store.delete(tx, workspace_id, endpoint_id):
        await get(tx, workspace_id, endpoint_id)
    _log.info("webhook_deleted", workspace_id=workspace_id, webhook_id=endpoint_id)


async def rotate(tx: Tx, workspace_id: str, endpoint_id: str, asked: Rotation) -> tuple[Endpoint, str]:
    """The newest secret signs from now on; the one before it signs a second header for the grace time."""
    await get(tx, workspace_id, endpoint_id, locks=True)
    old = await store.get_secrets(tx, endpoint_id)
    secret, now = _secret_of(asked.signing_secret), clock.now()
    previous = None
    if asked.grace_seconds > 0:
        plain = _sealing().open(old.current, _place(endpoint_id))
        previous = _sealing().seal(plain, _previous_place(endpoint_id))
    await store.set_secrets(
        tx,
        endpoint_id,
        sealed=_sealing().seal(secret, _place(endpoint_id)),
        sealed_previous=previous,
        until=None if previous is None else now + datetime.timedelta(seconds=asked.grace_seconds),
        now=now,
    )
    _log.info("webhook_secret_rotated", workspace_id=workspace_id, webhook_id=endpoint_id)
    return await get(tx, workspace_id, endpoint_id), signing.show_secret(secret)


def open_secrets(endpoint_id: str, sealed: SealedSecrets) -> tuple[bytes, bytes | None]:
    """The key, and the one before it while it is honoured. Raises what the master key raises for a foreign value."""
    previous = None if sealed.previous is None else _sealing().open(sealed.previous, _previous_place(endpoint_id))
    return _sealing().open(sealed.current, _place(endpoint_id)), previous


async def send_test(tx: Tx, workspace_id: str, endpoint_id: str) -> Delivery:
    """An event of its own, which only this endpoint hears."""
    endpoint = await _get_active(tx, workspace_id, endpoint_id)
    event_id = await events.emit(
        tx,
        workspace_id=workspace_id,
        type=TEST,
        object_type="webhook",
        object_id=endpoint_id,
        status="webhook_test",
        data=wire.endpoint(endpoint),
        is_for_all=False,
    )
    heading = (await events.find_many(tx, [event_id]))[event_id].heading
    [made] = await deliveries_store.put(
        tx, endpoint_id, [heading], only_undelivered=True, hold_tries=schedule.HOLD_TRIES
    )
    await notify(tx, DUE, "")
    return await _get_delivery(tx, endpoint_id, made)


async def list_deliveries(
    tx: Tx, workspace_id: str, endpoint_id: str, *, state: State | None, limit: int, offset: int
) -> tuple[list[Delivery], int]:
    """`offset` is a page number from 1."""
    await get(tx, workspace_id, endpoint_id)
    return await deliveries_store.page(tx, endpoint_id, state=state, limit=limit, skip=(offset - 1) * limit)


async def get_delivery(tx: Tx, workspace_id: str, endpoint_id: str, delivery_id: str) -> tuple[Delivery, Event | None]:
    """And its event, while that is kept."""
    await get(tx, workspace_id, endpoint_id)
    found = await _get_delivery(tx, endpoint_id, delivery_id)
    return found, (await events.find_many(tx, [found.event_id])).get(found.event_id)


async def replay_one(tx: Tx, workspace_id: str, endpoint_id: str, delivery_id: str) -> Delivery:
    """Sent again under the same event id, whatever became of it.

    Raises errors.BadState when its event is kept no more.
    """
    await _get_active(tx, workspace_id, endpoint_id)
    found, event = await get_delivery(tx, workspace_id, endpoint_id, delivery_id)
    if event is None:
        raise errors.BadState(f"Events are kept for {events.KEEP_DAYS} days.", message="event is gone")
    await deliveries_store.put(tx, endpoint_id, [event.heading], only_undelivered=False, hold_tries=schedule.HOLD_TRIES)
    await notify(tx, DUE, "")
    return await _get_delivery(tx, endpoint_id, found.id)


async def replay_range(tx: Tx, workspace_id: str, endpoint_id: str, asked: Replay) -> dict[str, Any]:
    """The first REPLAY_MAX events of the range; `continueFrom` is where the next call begins, when there is more."""
    await _get_active(tx, workspace_id, endpoint_id)
    end = clock.now() if asked.to is None else read_moment(asked.to)
    found = await events.list_between(
        tx, workspace_id, read_moment(asked.from_), end, limit=REPLAY_MAX + 1, without=_NOT_REPLAYED
    )
    headings = found[:REPLAY_MAX]
    queued = await deliveries_store.put(
        tx, endpoint_id, headings, only_undelivered=asked.only_undelivered, hold_tries=schedule.HOLD_TRIES
    )
    await notify(tx, DUE, "")
    _log.info("webhook_replayed", workspace_id=workspace_id, webhook_id=endpoint_id, deliveries=len(queued))
    body: dict[str, Any] = {"events": len(headings), "queued": len(queued)}
    if len(found) > REPLAY_MAX:
        body["continueFrom"] = clock.iso(found[REPLAY_MAX].created_at)
    return body


async def give_up(tx: Tx, endpoint: Endpoint, cause: str, reason: str) -> bool:
    """Switches it off and tells the workspace's other endpoints. False when it was not active any more."""
    if not await states.move(tx, endpoint.id, Cause.GAVE_UP, reason=reason):
        return False
    after = await get(tx, endpoint.workspace_id, endpoint.id)
    await events.emit(
        tx,
        workspace_id=endpoint.workspace_id,
        type=DISABLED,
        object_type="webhook",
        object_id=endpoint.id,
        status="webhook_disabled",
        data=wire.endpoint(after),
    )
    _disabled.labels(cause).inc()
    _log.warning("webhook_disabled", workspace_id=endpoint.workspace_id, webhook_id=endpoint.id, reason=reason)
    return True


async def _get_active(tx: Tx, workspace_id: str, endpoint_id: str) -> Endpoint:
    found = await get(tx, workspace_id, endpoint_id)
    if found.status != Status.ACTIVE:
        raise errors.BadState(
            f"Nothing is sent to a webhook that is {found.status}; enable it first.", message="webhook is not active"
        )
    return found


async def _get_delivery(tx: Tx, endpoint_id: str, delivery_id: str) -> Delivery:
    found = await deliveries_store.find(tx, endpoint_id, delivery_id)
    if found is None:
        raise errors.NotFound("There is no delivery of this id for the webhook.", message="delivery not found")
    return found


def _secret_of(asked: str | None) -> bytes:
    brought = None if asked is None else signing.read_secret(asked)
    return brought or signing.new_secret()


def _sealing() -> Seals:
    assert _seals is not None, "the app configures webhooks before it serves"
    return _seals


def _place(endpoint_id: str) -> str:
    return f"webhook_endpoints:sealed_secret:{endpoint_id}"


def _previous_place(endpoint_id: str) -> str:
    return f"webhook_endpoints:sealed_previous_secret:{endpoint_id}"
