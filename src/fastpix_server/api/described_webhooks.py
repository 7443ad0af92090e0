"""What the OpenAPI document says of webhooks (see described.py)."""

from typing import Any, Literal

from pydantic import Field

from fastpix_server.api.described import Described, Pagination, TimeText, UuidText, maybe


class Webhook(Described):
    id: str = UuidText
    url: str
    name: str = maybe()
    status: Literal["verifying", "active", "inactive", "disabled"] = Field(
        description="Only an active one is sent events; those of the seconds in which it is verified wait for it."
    )
    status_reason: str = maybe(description="Why it is inactive or disabled.")
    consecutive_failures: int
    failing_since: str = maybe()
    last_success_at: str = maybe(description="Exact to a minute.")
    last_failure_at: str = maybe()
    created_at: str = TimeText
    secret_created_at: str = TimeText
    previous_secret_until: str = maybe(description="Until then the secret before this one signs a second header.")


class WebhookWithSecret(Webhook):
    signing_secret: str = Field(description="Base64; it cannot be read again.")


class EventObject(Described):
    type: str
    id: str


class WebhookAttempt(Described):
    attempted_at: str = TimeText
    response_status: int = maybe()
    error: str = maybe(description="Why there was no answer.")


class WebhookDelivery(Described):
    id: str = UuidText
    webhook_id: str = UuidText
    event_id: str = UuidText
    type: str
    object: EventObject
    state: Literal["pending", "delivered", "failed"]
    attempts: list[WebhookAttempt] = Field(description="The newest 16 at most.")
    next_attempt_at: str = maybe(description="Only while it is pending.")
    created_at: str = TimeText
    ended_at: str = maybe()


class WebhookDeliveryWithPayload(WebhookDelivery):
    payload: dict[str, Any] = maybe(description="The body as the next attempt would send it, while its event is kept.")


class WebhookReplay(Described):
    events: int = Field(description="Events of the range that this call looked at.")
    queued: int = Field(description="Deliveries that it put into the queue.")
    continue_from: str = maybe(description="There is more: `from` of the next call.")


class NewWebhookAnswer(Described):
    success: Literal[True]
    data: WebhookWithSecret


class WebhookAnswer(Described):
    success: Literal[True]
    data: Webhook


class WebhookPage(Described):
    success: Literal[True]
    data: list[Webhook]
    pagination: Pagination


class WebhookDeliveryAnswer(Described):
    success: Literal[True]
    data: WebhookDelivery


class WebhookPayloadAnswer(Described):
    success: Literal[True]
    data: WebhookDeliveryWithPayload


class WebhookDeliveryPage(Described):
    success: Literal[True]
    data: list[WebhookDelivery]
    pagination: Pagination


class WebhookReplayAnswer(Described):
    success: Literal[True]
    data: WebhookReplay
