"""Who is asking (Basic auth against access tokens), how often they may, and what they may do.

Invariant: every route below /v1 passes through `admit` before its body is read.
"""

import base64
import binascii
from collections.abc import Sequence

from starlette.requests import Request

from fastpix_server.access.attempts import count_failure
from fastpix_server.access.door import Authenticator
from fastpix_server.access.model import Principal
from fastpix_server.base import errors
from fastpix_server.base.buckets import Buckets
from fastpix_server.base.client_address import Network, client_address

HEADER_MAX_CHARS = 4096  # an id and a secret are under 200 characters

# Whose area a path is; the first match counts. None: any valid token.
_AREAS: tuple[tuple[str, str | None], ...] = (
    ("/iam/workspace", None),
    ("/iam", "system"),
    ("/webhooks", "system"),
    ("/data", "data"),
    ("/live", "video"),
    ("/on-demand", "video"),
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

NOT_AUTHENTICATED = (
    "The request is not authenticated. Possible reasons: 1) the access token and the secret key do not match; "
    "2) the access token does not belong to the workspace; 3) no valid access token was provided."
)


def permission_for(path: str, method: str) -> str | None:
    """The permission that an operation needs: `video:write`. `path` is the route's template."""
    for prefix, area in _AREAS:
        if path == prefix or path.startswith(prefix + "/"):
            return None if area is None else f"{area}:{'read' if method in _SAFE else 'write'}"
    raise LookupError(f"no area owns {path}")


async def admit(
    request: Request,
    authenticator: Authenticator,
    buckets: Buckets,
    permission: str | None,
    trusted_proxies: Sequence[Network] = (),
) -> Principal:
    """Raises errors.Unauthorized, TooMany (also for who guesses) or Forbidden. Leaves the principal on the request."""
    pair = read_basic(request.headers.get("authorization", ""))
    if pair is None:
        count_failure("no_pair")
        raise errors.Unauthorized(NOT_AUTHENTICATED)
    found = await authenticator.authenticate(*pair, address_of(request, trusted_proxies))
    if found is None:
        raise errors.Unauthorized(NOT_AUTHENTICATED)
    wait_s = buckets.take(found.token_id)
    if wait_s:
        raise errors.TooMany(wait_s)
    if permission is not None and not found.may(permission):
        raise errors.Forbidden(f"The access token lacks the permission {permission}.")
    request.state.principal = found
    return found


def principal(request: Request) -> Principal:
    """Who is asking; for handlers, after admission."""
    found: Principal = request.state.principal
    return found


def address_of(request: Request, trusted_proxies: Sequence[Network]) -> str:
    """The client's address behind the proxies that we trust."""
    peer = request.client.host if request.client is not None else None
    return client_address(peer, request.headers.getlist("x-forwarded-for"), trusted_proxies)


def read_basic(header: str) -> tuple[str, str] | None:
    """User name and password of an Authorization header; None for any other scheme or a malformed one."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(header) > HEADER_MAX_CHARS:
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon else None
