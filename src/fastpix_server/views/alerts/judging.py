"""When an alert begins and ends: pure.

Invariants: one `triggered` per breach, and one `resolved` before the next; what nobody has watched is no breach.
"""

import dataclasses
from datetime import datetime, timedelta
from typing import Literal

from fastpix_server.views.alerts.model import Reading, Rule, State

Change = Literal["triggered", "resolved"]

# A value that swings around the threshold is one breach, not one a minute.
CALM = timedelta(minutes=5)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    within_since: datetime | None
    change: Change | None = None


def judge(rule: Rule, reading: Reading, now: datetime) -> Verdict:
    if is_breach(rule, reading):
        return Verdict("breached", None, "triggered" if rule.state == "quiet" else None)
    if rule.state == "quiet":
        return Verdict("quiet", None)
    since = rule.within_since or now
    if now - since >= CALM:
        return Verdict("quiet", None, "resolved")
    return Verdict("breached", since)


def is_breach(rule: Rule, reading: Reading) -> bool:
    if reading.value is None or reading.views < rule.minimum_views:
        return False
    return reading.value > rule.threshold if rule.condition == "above" else reading.value < rule.threshold
