"""/beacon.js: the script that pages of ours, and anybody's, report views with (docs/guide/beacon.md).

Invariants: one file without dependencies, put together from web/beacon/ inside one function, so that a page sees
nothing of it but `fastpixBeacon`; the address never changes, so it is cached shortly and asked for again by its ETag.
"""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.edge.bodies import body
from fastpix_server.edge.delivery import route

FOLDER = Path(__file__).parent / "web" / "beacon"
PARTS = ("common.js", "sender.js", "engines.js", "monitor.js")
CACHE = "public, max-age=3600"

_HEAD = """\
// Reports what viewers experience to this server's beacon endpoint, in the wire format of the official SDKs:
//   fastpixBeacon.watch(document.querySelector("video"), { workspaceKey: "...", videoTitle: "..." }, { hls });
"""


def source() -> bytes:
    parts = "\n".join((FOLDER / name).read_text() for name in PARTS)
    return f'{_HEAD}(() => {{\n"use strict";\n{parts}}})();\n'.encode()


class BeaconScript:
    def __init__(self) -> None:
        self._source = source()
        self._etag = hashlib.blake2b(self._source, digest_size=8).hexdigest()

    def routes(self) -> list[Route]:
        return [route("/beacon.js", self.answer)]

    async def answer(self, request: Request) -> Response:
        # Pages that are isolated (COEP) may load only what says that it may be loaded.
        headers = {"Cross-Origin-Resource-Policy": "cross-origin"}
        return body(
            request,
            self._source,
            media_type="text/javascript; charset=utf-8",
            etag=self._etag,
            cache=CACHE,
            headers=headers,
        )
