"""How webhooks look on the wire: the envelope of an event (contract section 4), endpoints and deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from fastpix_server.base import clock
from fastpix_server.outbox.events import Event
from fastpix_server.webhooks.model import Attempt, Delivery, Endpoint

_encoder = msgspec.json.Encoder()


def envelope(event: Event, workspace_name: str, attempts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is POSTed. `attempts` are the ones before this."""
    heading = event.heading
    return {
        "type": heading.type,
        "object": {"type": heading.object_type, "id": heading.object_id},
        "id": heading.id,
        "workspace": {"id": heading.workspace_id, "name": workspace_name},
        "status": event.status,
        "data": event.data,
        "createdAt": nanoseconds(heading.created_at),
        "attempts": list(attempts),
    }


def encode(body: dict[str, Any]) -> bytes:
    """The bytes that are signed and sent."""
    return _encoder.encode(body)


def nanoseconds(moment: datetime) -> str:
    """`2026-05-20T09:06:43.064393000Z`: webhooks write nine digits, of which we know six."""
    return clock.iso(moment).removesuffix("Z") + "000Z"


def attempt(made: Attempt) -> dict[str, Any]:
    body: dict[str, Any] = {"attemptedAt": clock.iso(made.attempted_at)}
    if made.error is not None:
        body["error"] = made.error
    else:
        body["responseStatus"] = made.status
    return body


def endpoint(found: Endpoint) -> dict[str, Any]:
    body: dict[str, Any] = {"id": found.id, "url": found.url}
    if found.name is not None:
        body["name"] = found.name
    body["status"] = found.status
    if found.status_reason is not None:
        body["statusReason"] = found.status_reason
    body["consecutiveFailures"] = found.failures
    body["createdAt"] = clock.iso(found.created_at)
    body["secretCreatedAt"] = clock.iso(found.secret_created_at)
    moments = {
        "previousSecretUntil": found.previous_secret_until,
        "failingSince": found.failing_since,
        "lastSuccessAt": found.last_success_at,
        "lastFailureAt": found.last_failure_at,
    }
    body.update({name: clock.iso(moment) for name, moment in moments.items() if moment is not None})
    return body


def delivery(found: Delivery) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": found.id,
        "webhookId": found.endpoint_id,
        "eventId": found.event_id,
        "type": found.type,
        "object": {"type": found.object_type, "id": found.object_id},
        "state": found.state,
        "attempts": list(found.attempts),
        "createdAt": clock.iso(found.created_at),
    }
    if found.state == "pending":
        body["nextAttemptAt"] = clock.iso(found.next_at)
    if found.ended_at is not None:
        body["endedAt"] = clock.iso(found.ended_at)
    return body
