"""The SQL of alerts: nobody else reads or writes this table."""

from datetime import datetime
from typing import Any

from sqlalchemy import text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.views.alerts.judging import Verdict
from fastpix_server.views.alerts.model import Reading, Rule

_COLUMNS = (
    "id, workspace_id, name, metric, measurement, condition, threshold, window_minutes, minimum_views, filters, url,"
    " is_enabled, created_at, version, state, within_since, breached_at, evaluated_at, last_value, last_views"
)


async def lock(tx: Tx, workspace_id: str) -> None:
    """Who makes alerts of one workspace takes turns; the lock ends with the transaction."""
    await tx.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"alerts {workspace_id}"}
    )


async def count(tx: Tx, workspace_id: str) -> int:
    result = await tx.execute(text("select count(*) from view_alerts where workspace_id = :w"), {"w": workspace_id})
    return int(result.scalar_one())


async def insert(tx: Tx, rule: Rule, sealed_secret: bytes | None) -> None:
    await tx.execute(
        text(
            "insert into view_alerts (id, workspace_id, name, metric, measurement, condition, threshold,"
            " window_minutes, minimum_views, filters, url, sealed_secret, created_at)"
            " values (:id, :workspace_id, :name, :metric, :measurement, :condition, :threshold,"
            " :window_minutes, :minimum_views, :filters, :url, :sealed_secret, :created_at)"
        ),
        {
            "id": rule.id,
            "workspace_id": rule.workspace_id,
            "name": rule.name,
            "metric": rule.metric,
            "measurement": rule.measurement,
            "condition": rule.condition,
            "threshold": rule.threshold,
            "window_minutes": rule.window_minutes,
            "minimum_views": rule.minimum_views,
            "filters": Json(list(rule.filters)),
            "url": rule.url,
            "sealed_secret": sealed_secret,
            "created_at": rule.created_at,
        },
    )


async def find(tx: Tx, workspace_id: str, alert_id: str, *, locks: bool = False) -> Rule | None:
    result = await tx.execute(
        text(
            f"select {_COLUMNS} from view_alerts where id = :id and workspace_id = :w"  # noqa: S608 - our own names
            + (" for update" if locks else "")
        ),
        {"id": alert_id, "w": workspace_id},
    )
    row = result.one_or_none()
    return None if row is None else _rule(row)


async def find_secret(tx: Tx, alert_id: str) -> tuple[str, bytes] | None:
    """Where the alert is told, and the sealed secret; None when it is gone or is told nowhere."""
    result = await tx.execute(text("select url, sealed_secret from view_alerts where id = :id"), {"id": alert_id})
    row = result.one_or_none()
    return None if row is None or row.url is None else (row.url, bytes(row.sealed_secret))


async def page(tx: Tx, workspace_id: str, *, limit: int, skip: int) -> list[Rule]:
    """Newest first."""
    result = await tx.execute(
        text(
            f"select {_COLUMNS} from view_alerts where workspace_id = :w"  # noqa: S608
            " order by created_at desc, id desc limit :limit offset :skip"
        ),
        {"w": workspace_id, "limit": limit, "skip": skip},
    )
    return [_rule(row) for row in result]


async def list_due(tx: Tx, limit: int) -> list[Rule]:
    """Enabled rules, those first that were not judged for the longest time."""
    result = await tx.execute(
        text(
            f"select {_COLUMNS} from view_alerts where is_enabled"  # noqa: S608
            " order by evaluated_at nulls first, id limit :limit"
        ),
        {"limit": limit},
    )
    return [_rule(row) for row in result]


async def change(tx: Tx, rule: Rule) -> None:
    """What a user changed. The rule begins anew: quiet, and not judged yet."""
    await tx.execute(
        text(
            "update view_alerts set name = :name, threshold = :threshold, is_enabled = :is_enabled,"
            " version = version + 1, state = 'quiet', within_since = null, breached_at = null where id = :id"
        ),
        {"id": rule.id, "name": rule.name, "threshold": rule.threshold, "is_enabled": rule.is_enabled},
    )


async def judged(tx: Tx, rule: Rule, reading: Reading, verdict: Verdict, now: datetime) -> None:
    await tx.execute(
        text(
            "update view_alerts set state = :state, within_since = :within_since, evaluated_at = :now,"
            " last_value = :value, last_views = :views,"
            " breached_at = case when :change = 'triggered' then :now when :state = 'quiet' then null"
            " else breached_at end where id = :id"
        ),
        {
            "id": rule.id,
            "state": verdict.state,
            "within_since": verdict.within_since,
            "now": now,
            "value": reading.value,
            "views": reading.views,
            "change": verdict.change or "",
        },
    )


async def delete(tx: Tx, workspace_id: str, alert_id: str) -> bool:
    result = await tx.execute(
        text("delete from view_alerts where id = :id and workspace_id = :w"), {"id": alert_id, "w": workspace_id}
    )
    return bool(result.rowcount)


def _rule(row: Any) -> Rule:
    values = dict(row._mapping)
    return Rule(
        **{
            **values,
            "id": str(values["id"]),
            "workspace_id": str(values["workspace_id"]),
            "filters": tuple(values["filters"]),
        }
    )
