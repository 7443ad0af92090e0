"""The one HTTP port: health, metrics, and by path or host name the API or the edge; served by granian processes.

Invariants: every answer carries X-Request-Id; neither query strings nor headers are logged (they hold tokens); a
server process dies with its parent. Why granian and these limits: docs/decisions/0003-granian.md.
"""

import functools
import gc
import os
import re
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Literal

from prometheus_client import Counter, Histogram

from fastpix_server.app import children, health, wiring
from fastpix_server.app.settings import Settings
from fastpix_server.base import ids, log

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Family = Literal["api", "edge"]

_log = log.get(__name__)

# 1,024 waiting requests (long polls of live playlists, cold segments) stall granian at its defaults.
_BACKLOG = 4096
_BACKPRESSURE = 20_000
# The supervisor kills us soon after; a viewer asks for the interrupted segment again.
_DRAIN_S = 2
_POOL_SIZE = 10
# granian would print to stdout in a shape of its own; its lines go where ours go.
_OUR_LOGGING = {"handlers": {}, "formatters": {}, "loggers": {"_granian": {"propagate": True}}}
_REQUEST_ID_HEADER = b"x-request-id"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")  # what we repeat from a caller's own header
_API_HOSTS = ("api.",)
_LICENCES = "/v1/on-demand/drm"
_EDGE_HOSTS = ("stream.", "images.")

_REQUESTS = Counter("fastpix_http_requests_total", "Answers by family and status", ["family", "method", "status"])
_SECONDS = Histogram(
    "fastpix_http_request_seconds",
    "Time to the end of the answer",
    ["family"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


# Finding a child of a metric costs more than counting with it: a thousand players are answered at once.
@functools.cache  # families, a few methods, and status codes
def _requests(family: str, method: str, status: int) -> Counter:
    return _REQUESTS.labels(family, method, status or "aborted")


@functools.cache
def _seconds(family: str) -> Histogram:
    return _SECONDS.labels(family)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Front:
    """The ASGI app. Its families are built at lifespan start, when an event loop exists."""

    def __init__(self, settings: Settings, families: frozenset[Family]) -> None:
        self._settings = settings
        self._families = families
        self._apps: dict[str, ASGIApp] = {}
        self._closing = AsyncExitStack()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def start(self) -> None:
        platform = await self._closing.enter_async_context(wiring.open_platform(self._settings, pool_size=_POOL_SIZE))
        # Both families in one process is how the supervisor runs us, with everything else beside us.
        own = health.Endpoints(platform, expects_ingest=len(self._families) == 2)
        self._apps = {"own": own}
        if "api" in self._families:
            self._apps["api"] = wiring.make_api(platform)
        if "edge" in self._families:
            client = await self._closing.enter_async_context(wiring.make_origin_client())
            intake = wiring.make_intake(platform)
            if intake is not None:
                intake.start()
                self._closing.push_async_callback(intake.stop)
            self._apps["edge"] = wiring.make_edge(platform, client, intake)
        await platform.listener.start()

    async def stop(self) -> None:
        await self._closing.aclose()

    async def _lifespan(self, receive: "Receive", send: "Send") -> None:
        await receive()
        try:
            await self.start()
        except Exception as fault:
            _log.exception("http_start_failed")
            await self.stop()
            await send({"type": "lifespan.startup.failed", "message": str(fault)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        started = time.monotonic()
        request_id = _request_id(scope)
        # The room below reads the same id, so that its log lines and its error bodies name it too.
        others = [pair for pair in scope["headers"] if pair[0] != _REQUEST_ID_HEADER]
        scope = {**scope, "headers": [*others, (_REQUEST_ID_HEADER, request_id)]}
        family, app, inner = self._route(scope)
        status = 0

        async def observed_send(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != _REQUEST_ID_HEADER]
                message["headers"] = [*headers, (_REQUEST_ID_HEADER, request_id)]
            await send(message)

        with log.bound(request_id=request_id.decode()):
            try:
                await app(inner, receive, observed_send)
            except Exception:
                _log.exception("request_failed", family=family, method=scope["method"], path=_loggable(scope["path"]))
                if status:
                    raise  # the head is out: only a broken connection can say that the rest is missing
                await health.answer(observed_send, 500, {"error": "internal"})
            finally:
                elapsed_s = time.monotonic() - started
                # A method is the client's word: unknown ones would make a series each.
                method = scope["method"] if scope["method"] in _METHODS else "other"
                _requests(family, method, status).inc()
                _seconds(family).observe(elapsed_s)
                if log.is_debug():
                    _log.debug(
                        "http_request",
                        family=family,
                        method=scope["method"],
                        path=_loggable(scope["path"]),
                        status=status,
                        duration_ms=round(elapsed_s * 1000, 1),
                    )

    def _route(self, scope: "Scope") -> tuple[str, "ASGIApp", "Scope"]:
        family = choose_family(scope["path"], _host(scope))
        if scope["path"] == "/" and scope["method"] in ("GET", "HEAD") and not _host(scope).startswith(_EDGE_HOSTS):
            # Beacons are POSTs; a person who looks here is led to the reference.
            family = "own" if "api" in self._families else family
        app = self._apps.get(family)
        if app is None:
            return "none", health.not_found, scope
        if family == "api" and is_below(scope["path"], "/v1"):
            return family, app, {**scope, "root_path": "/v1"}
        return family, app, scope


def choose_family(path: str, host: str) -> str:
    """`own` (health, metrics), `api` or `edge`. A host name decides before the path does, but for licences."""
    if path in health.PATHS:
        return "own"
    if is_below(path, _LICENCES):  # players ask the host of the API for them, and have no access token
        return "edge"
    if host.startswith(_EDGE_HOSTS):
        return "edge"
    if host.startswith(_API_HOSTS) or is_below(path, "/v1") or is_below(path, "/docs"):
        return "api"
    return "edge"


def is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _loggable(path: str) -> str:
    """WHIP URLs end in a stream key or in the secret of a session."""
    return "/whip/..." if path.startswith("/whip/") else path


def _host(scope: "Scope") -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return str(value.decode("latin-1").lower())
    return ""


def _request_id(scope: "Scope") -> bytes:
    """The caller's, when it is a plain short word; otherwise a new one."""
    for name, value in scope["headers"]:
        if name == _REQUEST_ID_HEADER and _REQUEST_ID.fullmatch(value):
            return bytes(value)
    return ids.new_uuid().encode()


def load_in_worker(settings: Settings, families: frozenset[Family], parent: int) -> Front:
    """Runs in each server process, after the fork."""
    children.tie_to_parent(parent)
    log.configure("http", settings.log_level)
    return Front(settings, families)


def serve(settings: Settings, families: frozenset[Family]) -> None:
    """Blocks until SIGTERM or SIGINT; a server process that dies is replaced."""
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.log import LogLevels
    from granian.server import MPServer

    _preload(families)
    children.until_told()
    server = MPServer(
        "fastpix",
        address=settings.http.host,
        port=settings.http.port,
        interface=Interfaces.ASGI,
        workers=settings.http.workers,
        loop=Loops.uvloop,
        http=HTTPModes.auto,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_BACKPRESSURE,
        log_level=LogLevels.warning,
        log_dictconfig=_OUR_LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=_DRAIN_S,
    )
    loader: Callable[..., Front] = functools.partial(load_in_worker, settings, families, os.getpid())
    server.serve(target_loader=loader, wrap_loader=False)


def _preload(families: frozenset[Family]) -> None:
    """Imports before the fork are paid once and their memory is shared."""
    import fastpix_server.storage.open

    if "api" in families:
        import fastpix_server.api.app
    if "edge" in families:
        import fastpix_server.edge.app  # noqa: F401
    gc.collect()
    gc.freeze()  # the collector would otherwise touch, and so copy, every shared page
