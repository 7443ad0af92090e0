"""The hosted player pages /play/{playbackId} and /play/playlist/{playlistId} with their assets, all from this process:
no other server is asked.

Invariants: a page is the same for every id (its script reads the id from the address), so nothing of a request is
written into it; asset URLs carry a hash of their bytes and are cached for ever.
"""

import dataclasses
import gzip
import hashlib
import html
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors, ids, log
from fastpix_server.edge import beacon_script
from fastpix_server.edge.bodies import IMMUTABLE, body
from fastpix_server.edge.context import EdgeContext
from fastpix_server.edge.delivery import route

_log = log.get(__name__)

WEB = Path(__file__).parent / "web"
PAGE_CACHE = "public, max-age=60"

_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_ASSETS = {
    "play.css": WEB / "play.css",
    "play.js": WEB / "play.js",
    "play-list.js": WEB / "play-list.js",
    "play-edge.js": WEB / "play-edge.js",
    "play-hls.js": WEB / "play-hls.js",
    "play-shaka.js": WEB / "play-shaka.js",
    "hls.min.js": WEB / "vendor" / "hls.min.js",
    "shaka-player.js": WEB / "vendor" / "shaka-player.js",
}
_ENGINES = {"hls": ("hls.min.js", "play-hls.js"), "shaka": ("shaka-player.js", "play-shaka.js")}
# Players make workers from blobs; segments may come from the stream host. Framing is what a player page is for.
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " media-src * blob: data:; connect-src *; worker-src 'self' blob:; object-src 'none'; base-uri 'none';"
    " form-action 'none'"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Asset:
    name: str
    digest: str
    plain: bytes
    packed: bytes

    @property
    def url(self) -> str:
        return f"/play/assets/{self.digest}/{self.name}"


class Player:
    def __init__(self, context: EdgeContext) -> None:
        self._assets = {name: _read(name, path) for name, path in _ASSETS.items() if path.is_file()}
        self._assets["beacon.js"] = _asset("beacon.js", beacon_script.source())
        if len(self._assets) < len(_ASSETS) + 1:
            missing = sorted(set(_ASSETS) - set(self._assets))
            _log.warning("player_not_built", missing=missing, remedy="python -m fastpix_server.edge.web_build")
        stream = context.stream_url or ""
        drm = " ".join(context.licences.systems)
        beacons = "on" if context.intake is not None else "off"
        self._pages = {
            (name, is_list): self._page(name, stream, drm, beacons, is_list=is_list)
            for name in _ENGINES
            for is_list in (False, True)
            if self._is_built(name)
        }

    def routes(self) -> list[Route]:
        return [
            route("/play/assets/{digest}/{name}", self.asset),
            route("/play/playlist/{playlist_id}", self.playlist_page),
            route("/play/{playback_id}", self.page),
        ]

    async def page(self, request: Request) -> Response:
        """Whether the video exists is for the page to find out; only what can be no id at all is refused here."""
        if ids.is_uuid(request.path_params["playback_id"]):
            return self._answer(request, is_list=False)
        return self._refusal(request, "There is no such page: the address ends in a playback id.", is_list=False)

    async def playlist_page(self, request: Request) -> Response:
        """Plays one media of a playlist after the other; which ones, the page asks for (edge/playlists.py)."""
        if ids.is_uuid(request.path_params["playlist_id"]):
            return self._answer(request, is_list=True)
        return self._refusal(request, "There is no such page: the address ends in a playlist id.", is_list=True)

    def _refusal(self, request: Request, reason: str, *, is_list: bool) -> Response:
        """A person with half a link is told in words: by the page itself, which asks with the same bad id."""
        page = self._pages.get(("hls", is_list))
        if page is None or "text/html" not in request.headers.get("accept", ""):
            raise errors.NotFound(reason)
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return Response(page, 404, headers, "text/html; charset=utf-8")

    def _answer(self, request: Request, *, is_list: bool) -> Response:
        # Encrypted video plays in either; Shaka Player speaks to more systems.
        default = "shaka" if "drm-token" in request.query_params else "hls"
        wanted = request.query_params.get("player", default)
        name = "shaka" if wanted == "shaka" else "hls"
        page = self._pages.get((name, is_list))
        if page is None:
            raise errors.Unavailable("The player was not built; run python -m fastpix_server.edge.web_build.")
        headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "strict-origin-when-cross-origin"}
        return body(
            request,
            page,
            media_type="text/html; charset=utf-8",
            etag=_digest(page),
            cache=PAGE_CACHE,
            headers=headers,
        )

    async def asset(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None or asset.digest != request.path_params["digest"]:
            raise errors.NotFound("There is no such file.")
        media_type = _TYPES[Path(asset.name).suffix]
        headers = {"Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return body(
                request,
                asset.packed,
                media_type=media_type,
                etag=f"{asset.digest}-gz",
                cache=IMMUTABLE,
                headers=headers,
            )
        return body(request, asset.plain, media_type=media_type, etag=asset.digest, cache=IMMUTABLE, headers=headers)

    def _is_built(self, name: str) -> bool:
        return all(
            asset in self._assets for asset in ("play.css", "play.js", "play-list.js", "play-edge.js", *_ENGINES[name])
        )

    def _page(self, name: str, stream: str, drm: str, beacons: str, *, is_list: bool) -> bytes:
        library, engine = _ENGINES[name]
        text = (WEB / "play.html").read_text()
        for hole, value in {
            "%style%": self._assets["play.css"].url,
            "%library%": self._assets[library].url,
            "%edge%": self._assets["play-edge.js"].url,
            "%engine%": self._assets[engine].url,
            "%page%": self._assets["play.js"].url,
            "%beacon%": self._assets["beacon.js"].url,
            "%beacons%": beacons,
            "%playlist%": "on" if is_list else "off",
            "%list%": f'<script src="{self._assets["play-list.js"].url}" defer></script>' if is_list else "",
            "%name%": name,
            "%drm%": drm,
            "%stream%": html.escape(stream.rstrip("/")),
        }.items():
            text = text.replace(hole, value)
        return text.encode()


def _read(name: str, path: Path) -> Asset:
    return _asset(name, path.read_bytes())


def _asset(name: str, plain: bytes) -> Asset:
    # mtime 0: the same bytes in every process, so that a ranged or resumed download never mixes two.
    return Asset(name, _digest(plain), plain, gzip.compress(plain, 6, mtime=0))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
