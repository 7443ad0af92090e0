"""`/on-demand/drm-configurations`: what `drmConfigurationId` may name (contract 2.4)."""

from typing import Annotated

from fastapi import Path, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.access import service
from fastpix_server.api import pages
from fastpix_server.api.answers import success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import DrmConfigurationAnswer, DrmConfigurationPage
from fastpix_server.api.resource import answers, path_id, router
from fastpix_server.api.unit import context_of

routes = router("DRM configurations")

DrmConfigurationId = Annotated[
    str, Path(alias="drmConfigurationId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)
]


@routes.get(
    "/on-demand/drm-configurations",
    operation_id="getDrmConfiguration",
    **answers(DrmConfigurationPage, 400, 401, 403, 422),
)
async def list_drm_configurations(
    request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT, offset: pages.Offset = pages.DEFAULT_OFFSET
) -> Response:
    """Every workspace has one."""
    async with context_of(request).db.unit() as tx:
        found = await service.list_drm_configurations(tx, principal(request).workspace_id)
    if not found:
        raise service.no_drm_configuration()
    shown = found[(offset - 1) * limit : offset * limit]
    return success(
        [{"id": configuration_id} for configuration_id in shown],
        pagination=pages.pagination(len(found), limit=limit, offset=offset),
    )


@routes.get(
    "/on-demand/drm-configurations/{drmConfigurationId}",
    operation_id="getDrmConfigurationById",
    **answers(DrmConfigurationAnswer, 400, 401, 403, 422),
)
async def get_drm_configuration(request: Request, drm_configuration_id: DrmConfigurationId) -> Response:
    async with context_of(request).db.unit() as tx:
        await service.check_drm_configuration(tx, principal(request).workspace_id, drm_configuration_id)
    return success({"id": drm_configuration_id})
