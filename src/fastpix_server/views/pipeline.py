"""What becomes of each event of a beacon request: named steps in order, each Kept or Dropped(reason), all counted.

Invariants: pure and without a clock of its own. An event that is dropped takes nothing else with it. The times of an
event depend on the request that brought it only where the client's clock is wrong by minutes.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping

from prometheus_client import Counter

from fastpix_server.views import beacon
from fastpix_server.views.beacon import Transmission
from fastpix_server.views.schema import SEQUENCE_MAX

_EVENTS = Counter("fastpix_beacon_events_total", "Events of beacons, kept or dropped and why", ["outcome"])

# A player that was offline sends what it kept; older than this is a broken clock.
AGE_MAX_MS = 7 * 24 * 3600 * 1000
# A client's clock that is off by less is right enough; and then a beacon that is sent twice has the same times twice.
CLOCK_TOLERANCE_MS = 2 * 60 * 1000
# A wrong clock is corrected in whole minutes, again so that a second transmission tells the same times.
_CORRECTION_STEP_MS = 60 * 1000
ID_MAX_CHARS = 128
NAME_MAX_CHARS = 64


class Reason(enum.StrEnum):
    """Why an event was dropped. The words are labels of a metric: stable."""

    NO_OBJECT = "no_object"
    UNKNOWN_WORKSPACE = "unknown_workspace"
    NO_VIEW_ID = "no_view_id"
    NO_NAME = "no_name"
    NO_SEQUENCE = "no_sequence"
    NO_TIME = "no_time"
    TOO_OLD = "too_old"


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """An event with what every event has. `at_ms` is the corrected time; `skew_ms` corrects the client's others."""

    workspace_id: str
    view_id: str
    name: str
    sequence: int
    at_ms: int
    skew_ms: int
    fields: beacon.Event


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    reason: Reason


@dataclasses.dataclass(frozen=True, slots=True)
class Circumstances:
    """What one request says about all its events. `workspaces` has the id of each known key of the request."""

    received_at_ms: int
    skew_ms: int
    host_key: str
    workspaces: Mapping[str, str]


@dataclasses.dataclass(slots=True)
class _Draft:
    raw: object
    fields: beacon.Event = dataclasses.field(default_factory=dict)
    workspace_id: str = ""
    view_id: str = ""
    name: str = ""
    sequence: int = 0
    at_ms: int = 0


def workspace_keys(transmission: Transmission, host_key: str) -> set[str]:
    """Every key that the events name; a request normally has one."""
    found = {key for event in transmission.events if isinstance(event, dict) and (key := _key(event))}
    return found | ({host_key} if host_key else set())


def skew_ms(sent_at_ms: int | None, received_at_ms: int) -> int:
    """What to add to the client's times."""
    if sent_at_ms is None or abs(received_at_ms - sent_at_ms) <= CLOCK_TOLERANCE_MS:
        return 0
    return round((received_at_ms - sent_at_ms) / _CORRECTION_STEP_MS) * _CORRECTION_STEP_MS


def _key(event: beacon.Event) -> str:
    return beacon.text(event.get("wsid"), ID_MAX_CHARS)


def _is_object(draft: _Draft, _around: Circumstances) -> Reason | None:
    if not isinstance(draft.raw, dict):
        return Reason.NO_OBJECT
    draft.fields = draft.raw
    return None


def _has_workspace(draft: _Draft, around: Circumstances) -> Reason | None:
    """By the event's own key, else by the host that it was sent to."""
    draft.workspace_id = around.workspaces.get(_key(draft.fields)) or around.workspaces.get(around.host_key) or ""
    return None if draft.workspace_id else Reason.UNKNOWN_WORKSPACE


def _has_view_id(draft: _Draft, _around: Circumstances) -> Reason | None:
    draft.view_id = beacon.text(draft.fields.get("veid"), ID_MAX_CHARS)
    return None if draft.view_id else Reason.NO_VIEW_ID


def _has_name(draft: _Draft, _around: Circumstances) -> Reason | None:
    """Also a name that we do not know is kept: newer SDKs have some, and their fields count all the same."""
    draft.name = beacon.text(draft.fields.get("evna"), NAME_MAX_CHARS)
    return None if draft.name else Reason.NO_NAME


def _has_sequence(draft: _Draft, _around: Circumstances) -> Reason | None:
    sequence = beacon.whole(draft.fields.get("vesqnu"))
    if sequence is None or sequence > SEQUENCE_MAX:
        return Reason.NO_SEQUENCE
    draft.sequence = sequence
    return None


def _has_time(draft: _Draft, around: Circumstances) -> Reason | None:
    at_ms = beacon.moment_ms(draft.fields.get("vitp"))
    if at_ms is None:
        return Reason.NO_TIME
    # Nothing has happened after we heard of it.
    draft.at_ms = min(at_ms + around.skew_ms, around.received_at_ms + CLOCK_TOLERANCE_MS)
    return None


def _is_recent(draft: _Draft, around: Circumstances) -> Reason | None:
    return Reason.TOO_OLD if draft.at_ms < around.received_at_ms - AGE_MAX_MS else None


Step = Callable[[_Draft, Circumstances], Reason | None]
STEPS: tuple[Step, ...] = (_is_object, _has_workspace, _has_view_id, _has_name, _has_sequence, _has_time, _is_recent)


def judge(event: object, around: Circumstances) -> Kept | Dropped:
    draft = _Draft(event)
    for step in STEPS:
        reason = step(draft, around)
        if reason is not None:
            return Dropped(reason)
    return Kept(
        draft.workspace_id, draft.view_id, draft.name, draft.sequence, draft.at_ms, around.skew_ms, draft.fields
    )


def run(transmission: Transmission, around: Circumstances) -> list[Kept]:
    """The kept events in the order of the request; every outcome is counted."""
    kept = []
    for event in transmission.events:
        outcome = judge(event, around)
        if isinstance(outcome, Kept):
            kept.append(outcome)
        _EVENTS.labels("kept" if isinstance(outcome, Kept) else outcome.reason.value).inc()
    return kept
