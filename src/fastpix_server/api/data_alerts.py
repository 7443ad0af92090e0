"""`/data/alerts`: rules over metrics that tell when something goes wrong. Ours, not in the FastPix API."""

from typing import Annotated

from fastapi import Path, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done
from fastpix_server.api.described_alerts import AlertAnswer, AlertPage, NewAlertAnswer
from fastpix_server.api.resource import answers, path_id, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.views.alerts import service
from fastpix_server.views.alerts.schemas import ChangedAlert, NewAlert

routes = router("Video data")

AlertId = Annotated[str, Path(alias="alertId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]


@routes.post(
    "/data/alerts", operation_id="create-alert", **answers(NewAlertAnswer, 400, 401, 403, 413, 422, status=201)
)
async def create_alert(request: Request, body: NewAlert) -> Response:
    """A rule, judged every minute. With a `url`, `signingSecret` is in this answer and nowhere else: keep it."""
    rule, secret = await service.create(tx_of(request), principal(request).workspace_id, body)
    shown = service.show(rule)
    return success(shown if secret is None else {**shown, "signingSecret": secret}, status=201)


@routes.get("/data/alerts", operation_id="list-alerts", **answers(AlertPage, 401, 403, 422))
async def list_alerts(
    request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT, offset: pages.Offset = pages.DEFAULT_OFFSET
) -> Response:
    """The rules of the workspace and how they stand, newest first."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.list_page(tx, principal(request).workspace_id, limit=limit, offset=offset)
    return success(
        [service.show(rule) for rule in found], pagination=pages.pagination(total, limit=limit, offset=offset)
    )


@routes.get("/data/alerts/{alertId}", operation_id="get-alert", **answers(AlertAnswer, 401, 403, 404, 422))
async def get_alert(request: Request, alert_id: AlertId) -> Response:
    """One rule, and how it stands."""
    async with context_of(request).db.unit() as tx:
        return success(service.show(await service.get(tx, principal(request).workspace_id, alert_id)))


@routes.patch("/data/alerts/{alertId}", operation_id="update-alert", **answers(AlertAnswer, 401, 403, 404, 413, 422))
async def update_alert(request: Request, alert_id: AlertId, body: ChangedAlert) -> Response:
    """Another name or threshold, or off and on. The rule begins anew: a breach that lasts is told again."""
    return success(service.show(await service.change(tx_of(request), principal(request).workspace_id, alert_id, body)))


@routes.delete("/data/alerts/{alertId}", operation_id="delete-alert", **answers(Done, 401, 403, 404, 422))
async def delete_alert(request: Request, alert_id: AlertId) -> Response:
    """Nothing more is told, not even the end of a breach."""
    await service.delete(tx_of(request), principal(request).workspace_id, alert_id)
    return done()
