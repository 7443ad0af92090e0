# Made from _async/alerts.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.data.alerts`: rules about metrics, told when they are broken. Ours, not in the official service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix._sync.pages import Pages
from fastpix.answers import Done, sent
from fastpix.types import Alert, Measurement, Metric


class AlertsOperations:
    """Operations on alerts."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
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
        return self._api.call(op.CREATE_ALERT, Alert, body=body)

    def list(self, *, limit: int | None = None, page: int = 1) -> Pages[Alert]:
        """Every rule, and how it was at the last judgement."""
        return self._api.list(op.LIST_ALERTS, Alert, limit=limit, page=page)

    def get(self, *, alert_id: str) -> Alert:
        """One rule."""
        return self._api.call(op.GET_ALERT, Alert, path={"alertId": alert_id})

    def update(
        self, *, alert_id: str, name: str | None = None, threshold: float | None = None, is_enabled: bool | None = None
    ) -> Alert:
        """Changes what is given."""
        body = sent(name=name, threshold=threshold, is_enabled=is_enabled)
        return self._api.call(op.UPDATE_ALERT, Alert, path={"alertId": alert_id}, body=body)

    def delete(self, *, alert_id: str) -> Done:
        """Forgets the rule."""
        return self._api.do(op.DELETE_ALERT, path={"alertId": alert_id})
