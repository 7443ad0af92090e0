"""Webhooks: where events are sent, what became of them, and the events themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastpix.types.base import Shape


class EventObject(Shape, frozen=True, kw_only=True):
    """What the event is about: `type` is media or live."""

    type: str
    id: str


class EventWorkspace(Shape, frozen=True, kw_only=True):
    id: str
    name: str = ""


class WebhookAttempt(Shape, frozen=True, kw_only=True):
    """`error` says why there was no answer."""

    attempted_at: datetime | None = None
    response_status: int | None = None
    error: str | None = None


class WebhookEvent(Shape, frozen=True, kw_only=True):
    """What is POSTed to you. `id` stays the same when it is sent again: remember it, and do things once.

    `data` is the object as the API shows it, in plain dicts and lists.
    """

    type: str
    object: EventObject
    id: str
    workspace: EventWorkspace | None = None
    status: str | None = None
    data: Any = None
    created_at: datetime | None = None
    attempts: tuple[WebhookAttempt, ...] = ()


class Webhook(Shape, frozen=True, kw_only=True):
    """`status` is verifying, active, inactive or disabled. `signing_secret` is only in answers that make one."""

    id: str
    url: str
    status: str
    name: str | None = None
    status_reason: str | None = None
    consecutive_failures: int = 0
    failing_since: datetime | None = None
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    created_at: datetime | None = None
    secret_created_at: datetime | None = None
    previous_secret_until: datetime | None = None
    signing_secret: str | None = None


class WebhookDelivery(Shape, frozen=True, kw_only=True):
    """One event on its way to one webhook: pending, delivered or failed."""

    id: str
    webhook_id: str
    event_id: str
    type: str
    state: str
    object: EventObject | None = None
    attempts: tuple[WebhookAttempt, ...] = ()
    created_at: datetime | None = None
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    payload: Any = None


class WebhookReplay(Shape, frozen=True, kw_only=True):
    """Of `events` looked at, `queued` are sent again. `continue_from` is set when there is more."""

    events: int = 0
    queued: int = 0
    continue_from: str | None = None
