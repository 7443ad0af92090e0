"""Around every request: its id, its time, a trailing slash, and the last word on what nobody foresaw.

Invariants: every answer carries X-Request-Id; an unexpected exception becomes a 500 in the envelope and one line in
the log under the same id; nothing of it reaches the caller.
"""

import re
import time
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastpix_server.api import errors
from fastpix_server.base import ids, log

_log = log.get(__name__)
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # what we repeat from a caller's own X-Request-Id

_answers = Counter("fastpix_api_answers", "Answers of the API.", ["operation", "status"])
_seconds = Histogram(
    "fastpix_api_seconds",
    "Time from request to the first byte of the answer.",
    ["operation"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class Requests:
    """ASGI middleware, the outermost of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        begun_s = time.perf_counter()
        is_begun = False

        async def answer(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
                _count(state, int(message["status"]), time.perf_counter() - begun_s)
            await send(message)

        with log.bound(request_id=request_id):
            try:
                await self._app(_without_slash(scope), receive, answer)
            except Exception:
                _log.exception("request_failed", operation=state.get("operation", "none"))
                if is_begun:  # nothing can be taken back: the server closes the connection
                    raise
                await errors.internal(request_id)(scope, receive, answer)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _ID.fullmatch(text):
                return str(text)
    return ids.new_uuid()


def _without_slash(scope: Scope) -> Scope:
    """The contract accepts a trailing slash; a redirect would lose the body in some clients."""
    path: str = scope["path"]
    if len(path) > 1 and path.endswith("/"):
        return {**scope, "path": path[:-1]}
    return scope


def _count(state: dict[str, Any], status: int, took_s: float) -> None:
    operation = state.get("operation", "none")
    _answers.labels(operation, str(status)).inc()
    _seconds.labels(operation).observe(took_s)
