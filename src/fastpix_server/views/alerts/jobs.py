"""Background work on alerts: judge every minute, deliver what changed.

Invariants: no transaction is open while a question or a receiver is waited for; both are idempotent: a rule that two
judge at once changes its state once, and a receiver tells a repeated delivery by its id. A receiver is reached as those
of webhooks are (webhooks/post.py): by public addresses only, without redirects.
"""

import asyncio
import time
from typing import Any

import msgspec
from prometheus_client import Counter

from fastpix_server.base import clock, errors, log
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.pool import Database
from fastpix_server.jobs.registry import Registry
from fastpix_server.views import filters, metrics, spans
from fastpix_server.views.alerts import service, store
from fastpix_server.views.alerts.model import Reading, Rule
from fastpix_server.views.metrics import Measurement
from fastpix_server.views.queries.overall import overall
from fastpix_server.views.queries.selection import Rows, Selection
from fastpix_server.webhooks.post import NOT_PUBLIC, Post
from fastpix_server.webhooks.signing import SIGNATURE, sign

EVALUATE_JOB = "views.evaluate_alerts"
EVERY_MINUTE = "* * * * *"
# A run is over before the next one begins; what it did not reach comes first in that one.
RUN_S = 50.0
RULES_MAX = 2_000
# Dashboards go first: questions of alerts are asked one after the other.
QUESTION_S = 20.0
# 1, 4, 16, 60, 60 ... s: a quarter of an hour. An alert that comes later is no alert.
DELIVERY_RETRIES = 18

_log = log.get(__name__)
_judged = Counter("fastpix_alerts_judged", "Judgements of alert rules by how they ended.", ["outcome"])
_delivered = Counter("fastpix_alert_deliveries", "Tries to deliver an alert by how they ended.", ["outcome"])


class AlertJobs:
    def __init__(self, db: Database, video_data: Rows, policy: AddressPolicy) -> None:
        self._db = db
        self._video_data = video_data
        self._post = Post(policy)

    def register(self, registry: Registry) -> None:
        registry.every(EVERY_MINUTE, EVALUATE_JOB, self.evaluate)
        registry.add(service.DELIVER_JOB, self.deliver, retries=DELIVERY_RETRIES, on_exhausted=self.give_up)

    async def evaluate(self) -> None:
        """Every rule once, the longest waiting first, for as long as RUN_S."""
        ends_s = time.monotonic() + RUN_S
        async with self._db.unit() as tx:
            rules = await store.list_due(tx, RULES_MAX)
        for position, rule in enumerate(rules):
            if time.monotonic() > ends_s:
                _judged.labels("postponed").inc(len(rules) - position)
                _log.warning("alerts_postponed", rules=len(rules) - position)
                return
            try:
                reading = await self._read(rule)
            except (errors.FastpixError, TimeoutError) as fault:
                _judged.labels("unread").inc()
                _log.warning("alert_unread", alert_id=rule.id, error=str(fault)[:300])
                continue
            async with self._db.unit() as tx:
                event_id = await service.settle(tx, rule, reading)
            _judged.labels("unchanged" if event_id is None else "told").inc()

    async def deliver(self, alert_id: str, body: dict[str, Any]) -> None:
        """One POST, signed over the exact bytes. Any 2xx is success; raises Unavailable to be tried again."""
        async with self._db.unit() as tx:
            destination = await service.find_destination(tx, alert_id)
        if destination is None:
            return
        url, key = destination
        data = msgspec.json.encode(body)
        made = await self._post.send(url, data, {SIGNATURE: sign(key, data)})
        if made.error == NOT_PUBLIC:
            _delivered.labels("unreached").inc()
            raise errors.DestinationFault("address_refused", "The URL leads to an address that is not public.")
        if made.status is None:
            _delivered.labels("unreached").inc()
            raise errors.Unavailable(f"The receiver of an alert cannot be reached: {made.reason}.")
        if not made.is_success:
            _delivered.labels("refused").inc()
            raise errors.Unavailable(f"The receiver of an alert answered {made.status}.")
        _delivered.labels("delivered").inc()

    async def give_up(self, alert_id: str, body: dict[str, Any], error: str) -> None:
        """The event stays in the outbox, and the rule says that it is breached."""
        _delivered.labels("given_up").inc()
        _log.error("alert_not_delivered", alert_id=alert_id, event_id=body.get("id"), error=error)

    async def _read(self, rule: Rule) -> Reading:
        span = spans.last(rule.window_minutes * 60, clock.now().timestamp())
        selection = Selection(rule.workspace_id, span, filters.parse(rule.filters))
        metric, measurement = metrics.require(rule.metric), Measurement(rule.measurement)
        async with asyncio.timeout(QUESTION_S):
            found = await overall(self._video_data, selection, metric, measurement)
        return Reading(found["value"], found["totalViews"])
