"""One request, one unit: who asks, the body, one transaction, the answer. In this order.

Invariants: the body is read and parsed before a transaction opens, so a slow sender holds no connection; a change
and the answer kept for its Idempotency-Key commit together, before the answer is sent; a handler that raises has
changed nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import msgspec
import sqlalchemy.exc
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from fastpix_server.access.door import Authenticator
from fastpix_server.api import auth, dialects, idempotency
from fastpix_server.api.answers import JSON
from fastpix_server.api.context import ApiContext
from fastpix_server.base import errors
from fastpix_server.base.buckets import Buckets
from fastpix_server.base.errors import FieldError
from fastpix_server.db.pool import Tx

BODY_MAX_BYTES = 1 << 20  # the largest legitimate body (a playlist of 1,000 ids) is 40 kB
BODY_WAIT_S = 30.0  # a body this small that takes longer is held back on purpose, or its sender is gone
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# SQLSTATEs of a transaction that lost against another one: the same request may win next time.
_LOST_RACES = frozenset({"40001", "40P01", "55P03"})

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def context_of(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


def tx_of(request: Request) -> Tx:
    """The transaction of this request; only unsafe methods have one from the start."""
    tx: Tx = request.state.tx
    return tx


class UnitRoute(APIRoute):
    """The route class of every operation below /v1."""

    def get_route_handler(self) -> Handler:
        run = super().get_route_handler()
        methods = sorted(self.methods or ())
        permissions = {method: auth.permission_for(self.path_format, method) for method in methods}
        operation = self.operation_id or self.path_format
        wants_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            request.state.operation = operation
            state = request.app.state
            authenticator: Authenticator = state.authenticator
            buckets: Buckets = state.buckets
            await auth.admit(
                request, authenticator, buckets, permissions[request.method], state.context.trusted_proxies
            )
            body = await read_body(request)
            asked = Parsed(request, body) if wants_body else request
            response = await (run(asked) if request.method in SAFE_METHODS else _in_one_unit(asked, run))
            return _spelled_for(request, response)

        return handle


class Parsed(Request):
    """A request whose body is already JSON, whatever its Content-Type says: `curl -d` calls it a form."""

    def __init__(self, request: Request, body: bytes) -> None:
        headers = [(k, v) for k, v in request.scope["headers"] if k != b"content-type"]
        scope = {**request.scope, "headers": [*headers, (b"content-type", JSON.encode())]}
        super().__init__(scope, request.receive)
        self._bytes = body
        self._value = parse(body) if body else None

    async def body(self) -> bytes:
        return self._bytes

    async def json(self) -> Any:
        return self._value


async def read_body(request: Request) -> bytes:
    """At most BODY_MAX_BYTES within BODY_WAIT_S."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > BODY_MAX_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            async for chunk in request.stream():
                size_bytes += len(chunk)
                if size_bytes > BODY_MAX_BYTES:
                    raise _too_large()
                chunks.append(chunk)
    except (TimeoutError, ClientDisconnect) as fault:
        raise errors.Invalid(FieldError("body", "did not arrive completely")) from fault
    return b"".join(chunks)


def _too_large() -> errors.TooLarge:
    return errors.TooLarge(f"A request body has at most {BODY_MAX_BYTES} bytes.")


def parse(body: bytes) -> Any:
    """Strict JSON; text that PostgreSQL cannot hold (U+0000) is refused here for every operation."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise errors.Invalid(FieldError("body", "is not valid JSON")) from fault
    if b"\\u0000" in body:
        bad = [FieldError(path or "body", "is invalid") for path in _with_nul(value, "")]
        if bad:
            raise errors.Invalid(*bad)
    return value


def _with_nul(value: Any, path: str) -> list[str]:
    """Where in the value a string with U+0000 is; keys count for their object."""
    if isinstance(value, str):
        return [path] if "\0" in value else []
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in _with_nul(item, f"{path}[{i}]")]
    if isinstance(value, dict):
        if any("\0" in key for key in value):
            return [path]
        return [p for k, item in value.items() for p in _with_nul(item, f"{path}.{k}" if path else k)]
    return []


async def _in_one_unit(request: Request, run: Handler) -> Response:
    key = idempotency.read_key(request.headers.get(idempotency.HEADER))
    try:
        async with context_of(request).db.unit() as tx:
            request.state.tx = tx
            if key is None:
                return await run(request)
            return await _once(request, run, tx, key)
    except sqlalchemy.exc.DBAPIError as fault:
        if getattr(fault.orig, "sqlstate", None) in _LOST_RACES:
            raise errors.Unavailable("Another request is changing the same thing; try again.") from fault
        raise


async def _once(request: Request, run: Handler, tx: Tx, key: str) -> Response:
    asking = auth.principal(request)
    path = quote(request.scope["path"])
    query = request.scope["query_string"].decode("latin-1")
    target = f"{path}?{query}"
    if path.removeprefix(request.scope.get("root_path", "")).startswith("/iam/"):
        # Answers there hold secrets that may open more than another token of the workspace does.
        target += f"#{asking.token_id}"
    name = idempotency.Name(asking.workspace_id, request.method, target, key)
    pepper = context_of(request).pepper
    kept = await idempotency.claim(tx, name, pepper)
    if kept is not None:
        headers = {"Idempotency-Replayed": "true"}
        return Response(kept.body, status_code=kept.status, headers=headers, media_type=JSON)
    response = await run(request)
    if response.status_code < 300:
        await idempotency.keep(tx, name, idempotency.Kept(response.status_code, bytes(response.body)), pepper)
    return response


def _spelled_for(request: Request, response: Response) -> Response:
    generation = dialects.generation_of(request.headers, context_of(request).generation)
    if generation < dialects.CURRENT and response.status_code < 300 and response.media_type == JSON:
        response.body = dialects.rewrite(bytes(response.body), generation)
        response.headers["content-length"] = str(len(response.body))
    return response
