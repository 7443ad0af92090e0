"""`client.data.alerts`: rules about metrics, told when they are broken. Ours, not in the official service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastpix import operations as op
from fastpix._async.api import AsyncApi
from fastpix._async.pages import AsyncPages
from fastpix.answers import Done, sent
from fastpix.types import Alert, Measurement, Metric


class AsyncAlertsOperations:
    """Operations on alerts."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def create(
        self,
        *,
        name: str,
        metric: Metric,
        threshold: float,
        condition: Literal["above", "below"] | None = None,
        measurement: Measurement | None = None,
        window_minutes: int | None = None,
        minimum_views: int | None = None,
        filter_by: Sequence[str] = (),
        url: str | None = None,
    ) -> Alert:
        """Makes a rule. With a `url` it is told there, signed with `signing_secret`, which is only in this answer."""
        body = sent(
            name=name,
            metric=metric,
            threshold=threshold,
            condition=condition,
            measurement=measurement,
            window_minutes=window_minutes,
            minimum_views=minimum_views,
            filterby=list(filter_by) or None,
            url=url,
        )
        return await self._api.call(op.CREATE_ALERT, Alert, body=body)

    def list(self, *, limit: int | None = None, page: int = 1) -> AsyncPages[Alert]:
        """Every rule, and how it was at the last judgement."""
        return self._api.list(op.LIST_ALERTS, Alert, limit=limit, page=page)

    async def get(self, *, alert_id: str) -> Alert:
        """One rule."""
        return await self._api.call(op.GET_ALERT, Alert, path={"alertId": alert_id})

    async def update(
        self, *, alert_id: str, name: str | None = None, threshold: float | None = None, is_enabled: bool | None = None
    ) -> Alert:
        """Changes what is given."""
        body = sent(name=name, threshold=threshold, is_enabled=is_enabled)
        return await self._api.call(op.UPDATE_ALERT, Alert, path={"alertId": alert_id}, body=body)

    async def delete(self, *, alert_id: str) -> Done:
        """Forgets the rule."""
        return await self._api.do(op.DELETE_ALERT, path={"alertId": alert_id})
