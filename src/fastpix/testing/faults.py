"""Things that go wrong on purpose, each for the length of a `with` block.

A switch is a file in the folder that the platform was started with (FASTPIX_FAULTS); the server reads it at each use.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from fastpix import operations
from fastpix.operations import Operation

_BASE = "/v1"
_numbers = count(1)


@dataclass(frozen=True)
class Fault:
    """A switch that is on, or was."""

    _path: Path

    @property
    def hits(self) -> int:
        """How often it has struck so far."""
        with contextlib.suppress(FileNotFoundError):
            return self._path.with_suffix(".used").stat().st_size
        return 0


class Faults:
    """Of one platform. Every method is a context manager that gives a Fault.

    `times` is how often it strikes at most, None for always. HTTP faults mean every request of the API and of playback
    unless they are told otherwise: `operation` is an operation's id ("create-media", see docs/reference/api.md),
    `path` a path as it is asked for ("/v1/on-demand/*", "/*.m3u8"), in which `*` is anything but a slash and `**`
    anything; `method` a method.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def too_many_requests(
        self,
        *,
        times: int | None = 1,
        retry_after_s: int = 1,
        operation: str | None = None,
        method: str | None = None,
        path: str | None = None,
    ) -> Iterator[Fault]:
        """Answers 429 with this `Retry-After`; what was asked for is not done."""
        about = {"retryAfterS": retry_after_s, **_request(operation, method, path)}
        with self._switched("too_many_requests", times, about) as fault:
            yield fault

    @contextlib.contextmanager
    def slow(
        self,
        delay_s: float,
        *,
        times: int | None = None,
        operation: str | None = None,
        method: str | None = None,
        path: str | None = None,
    ) -> Iterator[Fault]:
        """Waits before it does what was asked for."""
        about = {"delayS": delay_s, **_request(operation, method, path)}
        with self._switched("slow", times, about) as fault:
            yield fault

    @contextlib.contextmanager
    def failed_encode(self, *, times: int | None = 1) -> Iterator[Fault]:
        """The next media that the platform comes to ends as Failed, as one whose file cannot be read does.

        Stay in the block until it has: media are prepared after the request that makes them was answered.
        """
        with self._switched("failed_encode", times, {}) as fault:
            yield fault

    @contextlib.contextmanager
    def dropped_webhook(
        self, *, times: int | None = 1, event: str | None = None, url: str | None = None
    ) -> Iterator[Fault]:
        """A delivery gets lost on its way: the platform sees a failed connection, and tries again as always (after
        10 s, a minute ...). `event` is a type of event, `url` the webhook's own."""
        with self._switched("dropped_webhook", times, {"event": event, "url": url}) as fault:
            yield fault

    @contextlib.contextmanager
    def duplicated_webhook(
        self, *, times: int | None = 1, event: str | None = None, url: str | None = None
    ) -> Iterator[Fault]:
        """A delivery arrives twice, with the same event id."""
        with self._switched("duplicated_webhook", times, {"event": event, "url": url}) as fault:
            yield fault

    @contextlib.contextmanager
    def _switched(self, kind: str, times: int | None, about: dict[str, Any]) -> Iterator[Fault]:
        path = self._folder / f"{os.getpid()}-{next(_numbers):06}-{kind}.json"
        text = json.dumps({"kind": kind, "times": times, **about})
        # Whole or not at all: the server may look at any moment.
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(path)
        try:
            yield Fault(path)
        finally:
            path.unlink(missing_ok=True)


def _request(operation: str | None, method: str | None, path: str | None) -> dict[str, Any]:
    """Which requests are meant."""
    if operation is None:
        return {"method": method, "path": path}
    if method is not None or path is not None:
        raise ValueError("An operation has a method and a path already")
    known = {one.id: one for one in operations.known()}
    if operation not in known:
        raise ValueError(f"There is no operation {operation!r}; its id is in docs/reference/api.md")
    found = known[operation]
    return {
        "method": found.method,
        "path": _pattern(found),
        "exceptPaths": [_pattern(one) for one in known.values() if _is_inside(one, found)],
    }


def _pattern(operation: Operation) -> str:
    return _BASE + re.sub(r"\{\w+\}", "*", operation.path)


def _is_inside(other: Operation, wide: Operation) -> bool:
    """/on-demand/uploads looks like a media of that id to /on-demand/{mediaId}."""
    template = re.sub(r"\{\w+\}", "[^/]+", wide.path)
    return other.method == wide.method and other.path != wide.path and re.fullmatch(template, other.path) is not None
