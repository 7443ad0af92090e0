"""Beacon sessions for tests: the recorded one of a real web player, and a fold of rows as the database merges them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fastpix_server.views import pipeline, rows
from fastpix_server.views.beacon import Transmission, read
from fastpix_server.views.pipeline import Circumstances

WORKSPACE_ID = "7f1b2c3d-0000-4000-8000-00000000abcd"
KEY = "wskey123"
VIEW_ID = "b173e2b0-dc19-4190-b70e-c36198c3480e"
RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "recorded_session.json").read_text())
# The server's clock agrees with the recorded client's: each request arrives some milliseconds after it was sent.
NETWORK_MS = 40


def bodies() -> list[bytes]:
    return [json.dumps(request["body"]).encode() for request in RECORDED]


def events() -> list[dict[str, Any]]:
    """Every event of the recorded session, the repeated ones too."""
    return [event for request in RECORDED for event in request["body"]["events"]]


def around(received_at_ms: int, skew_ms: int = 0, host_key: str = "") -> Circumstances:
    return Circumstances(received_at_ms, skew_ms, host_key, {KEY: WORKSPACE_ID})


def nothing(_event: pipeline.Kept) -> Mapping[str, str]:
    return {}


def batch_of(transmission: Transmission, received_at_ms: int) -> rows.Batch:
    skew_ms = pipeline.skew_ms(transmission.sent_at_ms, received_at_ms)
    kept = pipeline.run(transmission, around(received_at_ms, skew_ms))
    return rows.build(kept, nothing, received_at_ms)


def recorded_batches() -> list[rows.Batch]:
    """One for each recorded request."""
    sent = [read(body) for body in bodies()]
    return [batch_of(one, (one.sent_at_ms or 0) + NETWORK_MS) for one in sent]


def batches_of(groups: Iterable[list[dict[str, Any]]], received_at_ms: int) -> list[rows.Batch]:
    """One for each group of events, all received at once."""
    return [batch_of(Transmission(group, received_at_ms), received_at_ms) for group in groups]


def merged(batches: Iterable[rows.Batch]) -> dict[str, dict[str, Any]]:
    """View id -> its row, merged over all hours, with the bit rates in a fixed order."""
    views: dict[str, dict[str, Any]] = {}
    for batch in batches:
        for line in batch.rows:
            row = msgspec.json.decode(line)
            keys = {name: row.pop(name) for name in ("workspace_id", "view_id", "hour")}
            rows.add(views.setdefault(keys["view_id"], {}), row)
    for view in views.values():
        view["bitrates"] = sorted(view.get("bitrates", []))
    return views


def listed(batches: Iterable[rows.Batch]) -> dict[tuple[str, int], dict[str, Any]]:
    """(view id, sequence) -> event; the last one of equals, as the table replaces them."""
    found = (msgspec.json.decode(line) for batch in batches for line in batch.events)
    return {(event["view_id"], event["sequence"]): event for event in found}
