"""Where things are, seen from the API's base URL: players, files, encoders.

A platform of your own does all of it on its own host; for `api.example.com` the hosts of playback are its siblings, as
in `fastpix.urls`. Where encoders of a service with such hosts send to is not guessed: it is an option of the commands.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from fastpix.commands import access

OFFICIAL_HOST = "api.fastpix.com"
OFFICIAL_PLAYER = "https://play.fastpix.com/?playbackId="
RTMP_PORT, RTMPS_PORT, SRT_PORT = 1935, 1936, 8890  # of `fastpix up`


class Encoders(NamedTuple):
    """What is typed into an encoder. `whip` has no key in it: it is a bearer token."""

    rtmp: str
    rtmps: str
    srt: str
    whip: str


def player(base_url: str, playback_id: str, token: str | None = None) -> str:
    """A page that plays it."""
    query = f"?{urlencode({'token': token})}" if token else ""
    if urlsplit(base_url).hostname == OFFICIAL_HOST:
        return OFFICIAL_PLAYER + quote(playback_id, safe="") + query.replace("?", "&")
    return f"{_stream(base_url)}/play/{quote(playback_id, safe='')}{query}"


def file(base_url: str, playback_id: str, name: str) -> str:
    """A file to download."""
    return f"{_stream(base_url)}/{quote(playback_id, safe='')}/{name}"


def encoders(base_url: str, *, host: str | None, stream_key: str, srt_secret: str | None) -> Encoders | None:
    """None when the host is not known."""
    parts = urlsplit(base_url)
    name = host or parts.hostname or ""
    if host is None and name.startswith("api."):
        return None
    query = {"mode": "caller", "streamid": stream_key, **({"passphrase": srt_secret} if srt_secret else {})}
    place = f"[{name}]" if ":" in name else name
    return Encoders(
        rtmp=f"rtmp://{place}:{access.port('rtmp', RTMP_PORT, base_url)}/live",
        rtmps=f"rtmps://{place}:{access.port('rtmps', RTMPS_PORT, base_url)}/live",
        srt=f"srt://{place}:{access.port('srt', SRT_PORT, base_url)}?{urlencode(query)}",
        whip=f"{parts.scheme}://{parts.netloc}/whip",
    )


def _stream(base_url: str) -> str:
    from fastpix import urls

    parts = urlsplit(base_url)
    return f"{parts.scheme}://{urls.host(parts.netloc, 'stream')}"
