"""`/webhooks`: where a workspace's events are sent, and what became of them. Ours, not in the FastPix API."""

from typing import Annotated, Literal

from fastapi import Path, Query, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.access import service as access
from fastpix_server.api import pages
from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done
from fastpix_server.api.described_webhooks import (
    NewWebhookAnswer,
    WebhookAnswer,
    WebhookDeliveryAnswer,
    WebhookDeliveryPage,
    WebhookPage,
    WebhookPayloadAnswer,
    WebhookReplayAnswer,
)
from fastpix_server.api.resource import answers, path_id, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.webhooks import service, wire
from fastpix_server.webhooks.schemas import ChangedWebhook, NewWebhook, Replay, Rotation

routes = router("Webhooks")

WebhookId = Annotated[str, Path(alias="webhookId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]
DeliveryId = Annotated[str, Path(alias="deliveryId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]
State = Annotated[Literal["pending", "delivered", "failed"] | None, Query(description="Only these.")]


@routes.post(
    "/webhooks", operation_id="create-webhook", **answers(NewWebhookAnswer, 400, 401, 403, 413, 422, status=201)
)
async def create_webhook(request: Request, body: NewWebhook) -> Response:
    """Active once its URL has answered a POST of `{}` with 2xx, about a second later: ask with get-webhook.

    `signingSecret` is in this answer and nowhere else: keep it.
    """
    made, secret = await service.create(tx_of(request), principal(request).workspace_id, body)
    return success({**wire.endpoint(made), "signingSecret": secret}, status=201)


@routes.get("/webhooks", operation_id="list-webhooks", **answers(WebhookPage, 401, 403, 422))
async def list_webhooks(
    request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT, offset: pages.Offset = pages.DEFAULT_OFFSET
) -> Response:
    """The webhooks of the workspace, newest first."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.list_page(tx, principal(request).workspace_id, limit=limit, offset=offset)
    return success(
        [wire.endpoint(one) for one in found], pagination=pages.pagination(total, limit=limit, offset=offset)
    )


@routes.get("/webhooks/{webhookId}", operation_id="get-webhook", **answers(WebhookAnswer, 401, 403, 404, 422))
async def get_webhook(request: Request, webhook_id: WebhookId) -> Response:
    """One webhook, and how it fares."""
    async with context_of(request).db.unit() as tx:
        return success(wire.endpoint(await service.get(tx, principal(request).workspace_id, webhook_id)))


@routes.patch("/webhooks/{webhookId}", operation_id="update-webhook", **answers(WebhookAnswer, 401, 403, 404, 413, 422))
async def update_webhook(request: Request, webhook_id: WebhookId, body: ChangedWebhook) -> Response:
    """Another URL or name, off, or on again. A new URL and `isEnabled: true` are probed before anything is sent."""
    return success(
        wire.endpoint(await service.change(tx_of(request), principal(request).workspace_id, webhook_id, body))
    )


@routes.delete("/webhooks/{webhookId}", operation_id="delete-webhook", **answers(Done, 401, 403, 404, 422))
async def delete_webhook(request: Request, webhook_id: WebhookId) -> Response:
    """Nothing more is sent there; its deliveries are gone with it."""
    await service.delete(tx_of(request), principal(request).workspace_id, webhook_id)
    return done()


@routes.post(
    "/webhooks/{webhookId}/rotate-secret",
    operation_id="rotate-webhook-secret",
    **answers(NewWebhookAnswer, 401, 403, 404, 413, 422),
)
async def rotate_webhook_secret(request: Request, webhook_id: WebhookId, body: Rotation) -> Response:
    """A new secret, which signs from now on. The old one signs `FastPix-Signature-Previous` for `graceSeconds`."""
    changed, secret = await service.rotate(tx_of(request), principal(request).workspace_id, webhook_id, body)
    return success({**wire.endpoint(changed), "signingSecret": secret})


@routes.post(
    "/webhooks/{webhookId}/test",
    operation_id="test-webhook",
    **answers(WebhookDeliveryAnswer, 400, 401, 403, 404, 422, status=201),
)
async def test_webhook(request: Request, webhook_id: WebhookId) -> Response:
    """Sends `video.webhook.test`, to this webhook alone; get-webhook-delivery says what became of it."""
    made = await service.send_test(tx_of(request), principal(request).workspace_id, webhook_id)
    return success(wire.delivery(made), status=201)


@routes.get(
    "/webhooks/{webhookId}/deliveries",
    operation_id="list-webhook-deliveries",
    **answers(WebhookDeliveryPage, 401, 403, 404, 422),
)
async def list_webhook_deliveries(
    request: Request,
    webhook_id: WebhookId,
    state: State = None,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
) -> Response:
    """What was sent and what waits, newest first: 30 days, and of what has ended the newest 10,000."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.list_deliveries(
            tx, principal(request).workspace_id, webhook_id, state=state, limit=limit, offset=offset
        )
    return success(
        [wire.delivery(one) for one in found], pagination=pages.pagination(total, limit=limit, offset=offset)
    )


@routes.get(
    "/webhooks/{webhookId}/deliveries/{deliveryId}",
    operation_id="get-webhook-delivery",
    **answers(WebhookPayloadAnswer, 401, 403, 404, 422),
)
async def get_webhook_delivery(request: Request, webhook_id: WebhookId, delivery_id: DeliveryId) -> Response:
    """One delivery with its payload."""
    workspace_id = principal(request).workspace_id
    async with context_of(request).db.unit() as tx:
        found, event = await service.get_delivery(tx, workspace_id, webhook_id, delivery_id)
        workspace = await access.get_workspace(tx, workspace_id)
    body = wire.delivery(found)
    if event is not None:
        body["payload"] = wire.envelope(event, workspace.name, found.attempts)
    return success(body)


@routes.post(
    "/webhooks/{webhookId}/deliveries/{deliveryId}/replay",
    operation_id="replay-webhook-delivery",
    **answers(WebhookDeliveryAnswer, 400, 401, 403, 404, 422),
)
async def replay_webhook_delivery(request: Request, webhook_id: WebhookId, delivery_id: DeliveryId) -> Response:
    """Sends it again, under the same event id, whatever became of it."""
    workspace_id = principal(request).workspace_id
    return success(wire.delivery(await service.replay_one(tx_of(request), workspace_id, webhook_id, delivery_id)))


@routes.post(
    "/webhooks/{webhookId}/replay",
    operation_id="replay-webhook-events",
    **answers(WebhookReplayAnswer, 400, 401, 403, 404, 413, 422),
)
async def replay_webhook_events(request: Request, webhook_id: WebhookId, body: Replay) -> Response:
    """Sends the events of a time range that were not delivered, also those of before the webhook; 1,000 a call."""
    return success(await service.replay_range(tx_of(request), principal(request).workspace_id, webhook_id, body))
