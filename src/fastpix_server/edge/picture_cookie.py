"""A pass for pictures in a cookie, for players that send the token with the manifest and drop it for pictures.

Invariants: it opens the pictures of one playback id and nothing else, for as long as a signed path would; it is given
to a request that a token opened, and to no other, so it cannot renew itself; no script reads it (HttpOnly), no other
website makes a browser send it (SameSite=Strict), no other id gets to see it (Path). What it does not reach, and why
not more: docs/decisions/0021-pictures-without-the-token.md.
"""

import time
from collections.abc import Mapping

from starlette.requests import Request

from fastpix_server.edge.context import EdgeContext
from fastpix_server.playback.admission import Admitted

NAME = "fastpix_pictures"


def read(request: Request) -> str | None:
    return request.cookies.get(NAME)


def headers(playable: Admitted, context: EdgeContext) -> Mapping[str, str]:
    """Headers of the answer to a request that was let in."""
    passes = playable.passes
    if passes is None or not playable.has_token:
        return {}
    left_s = max(0, passes.expires_at_s - int(time.time()))
    rules = f"Path=/{playable.playback_id.id}/; Max-Age={left_s}; HttpOnly; SameSite=Strict"
    secure = "; Secure" if context.public_url.startswith("https:") else ""
    return {"Set-Cookie": f"{NAME}={playable.picture_pass}; {rules}{secure}"}
