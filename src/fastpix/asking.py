"""A request as data: what it asks for, before anything is sent.

Invariants: a path parameter never changes which operation is asked (it is escaped, and refused when empty or dots); a
request that changes something carries one idempotency key for all of its attempts.
"""

from __future__ import annotations

import os
import sys
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlsplit

from fastpix.errors import NotConfigured
from fastpix.operations import Operation
from fastpix.options import Options

DEFAULT_BASE_URL = "https://api.fastpix.com/v1/"
# Servers of this project answer several generations of the API; the official service answers the current one.
GENERATION = "3"
_SAFE_METHODS = frozenset({"GET", "HEAD"})

Value = str | int | float | bool | Sequence[str] | None


@dataclass(frozen=True)
class Request:
    """`query` is in the order of sending; `body` is JSON-like, None for none."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None

    @property
    def is_safe(self) -> bool:
        """Changes nothing, so it needs no idempotency key."""
        return self.method in _SAFE_METHODS


def request(
    operation: Operation,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, Value] | None = None,
    body: Any = None,
) -> Request:
    """`path` fills the places of the operation's path. A None in the query is left out, a list is repeated."""
    filled = operation.path
    for place, segment in (path or {}).items():
        filled = filled.replace("{" + place + "}", _segment(place, segment))
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        if value is None:
            continue
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs += [(name, _spelled(item)) for item in values]
    return Request(operation.method, filled, tuple(pairs), body)


def _segment(name: str, value: str) -> str:
    if value.strip(".") == "":
        raise ValueError(f"{name} must be an id, not {value!r}")
    return quote(value, safe="")


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@dataclass(frozen=True)
class Credentials:
    """Who asks, and where. `repr` shows no password."""

    username: str
    password: str
    base_url: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, base_url={self.base_url!r})"

    @property
    def authorization(self) -> str:
        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()


def credentials(username: str | None, password: str | None, base_url: str | None) -> Credentials:
    """What is not given comes from FASTPIX_USERNAME, FASTPIX_PASSWORD and FASTPIX_BASE_URL."""
    username = username or os.environ.get("FASTPIX_USERNAME")
    password = password or os.environ.get("FASTPIX_PASSWORD")
    if not username or not password:
        missing = "username" if not username else "password"
        raise NotConfigured(f"No {missing}: pass {missing}=..., or set FASTPIX_{missing.upper()}")
    return Credentials(username, password, _base(base_url or os.environ.get("FASTPIX_BASE_URL") or DEFAULT_BASE_URL))


def _base(url: str) -> str:
    """Without a slash at the end; a URL of a host alone gets the path of this API."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotConfigured(f"The base URL must be http:// or https:// and a host, not {url!r}")
    if parts.query or parts.fragment or parts.username:
        raise NotConfigured("The base URL has no query, no fragment and no credentials")
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def headers_of(asked: Request, options: Options, authorization: str) -> dict[str, str]:
    """Of every attempt of one request: the same idempotency key each time."""
    made = {
        "Authorization": authorization,
        "Accept": "application/json",
        "User-Agent": user_agent(),
        "X-Fastpix-Api-Generation": GENERATION,
    }
    if asked.body is not None:
        made["Content-Type"] = "application/json"
    if not asked.is_safe:
        made["Idempotency-Key"] = options.idempotency_key or str(uuid.uuid4())
    return {**made, **options.headers}


def user_agent() -> str:
    from importlib import metadata  # slow to load, and only needed once there is something to send

    version = ".".join(map(str, sys.version_info[:3]))
    return f"fastpix-client/{metadata.version('fastpix')} python/{version}"


When = int | datetime
Timespan = str | tuple[When, When]


def timespan(value: Timespan | None) -> list[str] | None:
    """`24:hours` and the like, or from and to: times, or epoch seconds. A time without a zone is UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    return [str(_epoch_s(value[0])), str(_epoch_s(value[1]))]


def _epoch_s(when: When) -> int:
    if isinstance(when, int):
        return when
    aware = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return int(aware.timestamp())


def moment(when: datetime | None) -> str | None:
    """ISO 8601. A time without a zone is UTC."""
    if when is None:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).isoformat()
