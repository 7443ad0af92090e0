"""What webhooks speak about, as values."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from fastpix_server.outbox.events import Event

State = Literal["pending", "delivered", "failed"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A URL that hears of everything in its workspace. `failures` in a row, since `failing_since`."""

    id: str
    workspace_id: str
    url: str
    name: str | None
    status: str
    status_reason: str | None
    version: int
    secret_created_at: datetime
    previous_secret_until: datetime | None
    failures: int
    failing_since: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    created_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class SealedSecrets:
    """As they lie in the database. `previous` is there while it is honoured."""

    current: bytes = dataclasses.field(repr=False)
    previous: bytes | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One POST: the status that came back, or a word for why none did."""

    attempted_at: datetime
    status: int | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """For people: why it is no success."""
        return self.error or f"the receiver answered {self.status}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one endpoint. `tries` since it was made or replayed; `attempts` as receivers see them."""

    id: str
    endpoint_id: str
    event_id: str
    type: str
    object_type: str
    object_id: str
    state: State
    tries: int
    attempts: tuple[dict[str, Any], ...]
    next_at: datetime
    created_at: datetime
    ended_at: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery in our hands for as long as the lease runs, and where it goes."""

    delivery: Delivery
    lease: str
    workspace_id: str
    url: str
    secrets: SealedSecrets


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be written of a delivery after a try; `next_at` None: there is no other."""

    claimed: Claimed
    event: Event | None
    made: Attempt
    state: State
    next_at: datetime | None
    attempts: Sequence[dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """An endpoint whose URL has to be tried before anything is delivered there."""

    endpoint_id: str
    version: int
    url: str
