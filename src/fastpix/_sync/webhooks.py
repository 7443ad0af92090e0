# Made from _async/webhooks.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.webhooks`: where events are sent. Ours: the official service manages them in its dashboard."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix._sync.pages import Pages
from fastpix.answers import Done, sent
from fastpix.asking import moment
from fastpix.types import Webhook, WebhookDelivery, WebhookReplay


class WebhooksOperations:
    """Operations on webhooks; `fastpix.verify_webhook` checks what arrives, without a request."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, *, url: str, name: str | None = None, signing_secret: str | None = None) -> Webhook:
        """Active once the URL has answered a POST of `{}` with 2xx. The `signing_secret` is only in this answer."""
        body = sent(url=url, name=name, signing_secret=signing_secret)
        return self._api.call(op.CREATE_WEBHOOK, Webhook, body=body)

    def list(self, *, limit: int | None = None, page: int = 1) -> Pages[Webhook]:
        """Every webhook of the workspace, the newest first."""
        return self._api.list(op.LIST_WEBHOOKS, Webhook, limit=limit, page=page)

    def get(self, *, webhook_id: str) -> Webhook:
        """One webhook, and how it fares."""
        return self._api.call(op.GET_WEBHOOK, Webhook, path={"webhookId": webhook_id})

    def update(
        self, *, webhook_id: str, url: str | None = None, name: str | None = None, is_enabled: bool | None = None
    ) -> Webhook:
        """Another URL or name, off, or on again."""
        body = sent(url=url, name=name, is_enabled=is_enabled)
        return self._api.call(op.UPDATE_WEBHOOK, Webhook, path={"webhookId": webhook_id}, body=body)

    def delete(self, *, webhook_id: str) -> Done:
        """Nothing more is sent there."""
        return self._api.do(op.DELETE_WEBHOOK, path={"webhookId": webhook_id})

    def rotate_secret(
        self, *, webhook_id: str, grace_seconds: int | None = None, signing_secret: str | None = None
    ) -> Webhook:
        """A new secret, in this answer alone. For `grace_seconds` the old one signs a second header."""
        body = sent(grace_seconds=grace_seconds, signing_secret=signing_secret)
        return self._api.call(op.ROTATE_WEBHOOK_SECRET, Webhook, path={"webhookId": webhook_id}, body=body)

    def test(self, *, webhook_id: str) -> WebhookDelivery:
        """Sends an event to try it out; `get_delivery` says what became of it."""
        return self._api.call(op.TEST_WEBHOOK, WebhookDelivery, path={"webhookId": webhook_id})

    def list_deliveries(
        self,
        *,
        webhook_id: str,
        state: Literal["pending", "delivered", "failed"] | None = None,
        limit: int | None = None,
        page: int = 1,
    ) -> Pages[WebhookDelivery]:
        """What was sent and what waits, the newest first."""
        path, query = {"webhookId": webhook_id}, {"state": state}
        return self._api.list(op.LIST_DELIVERIES, WebhookDelivery, path=path, query=query, limit=limit, page=page)

    def get_delivery(self, *, webhook_id: str, delivery_id: str) -> WebhookDelivery:
        """One delivery with its payload."""
        path = {"webhookId": webhook_id, "deliveryId": delivery_id}
        return self._api.call(op.GET_DELIVERY, WebhookDelivery, path=path)

    def replay_delivery(self, *, webhook_id: str, delivery_id: str) -> WebhookDelivery:
        """Sends it again, under the same event id."""
        path = {"webhookId": webhook_id, "deliveryId": delivery_id}
        return self._api.call(op.REPLAY_DELIVERY, WebhookDelivery, path=path)

    def replay(
        self,
        *,
        webhook_id: str,
        since: datetime,
        until: datetime | None = None,
        only_undelivered: bool | None = None,
    ) -> WebhookReplay:
        """Sends the events of a time again, so many a call: go on with `continue_from`."""
        body = {**sent(to=moment(until), only_undelivered=only_undelivered), "from": moment(since)}
        return self._api.call(op.REPLAY_EVENTS, WebhookReplay, path={"webhookId": webhook_id}, body=body)
