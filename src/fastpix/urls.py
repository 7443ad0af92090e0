"""URLs of playback and pictures, put together here: no request is made.

The host follows from the API's base URL: `api.example.com` plays from `stream.example.com` and shows pictures from
`images.example.com`, as the official service does; any other host, such as a platform of your own on one port, does
both itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

from fastpix.asking import DEFAULT_BASE_URL
from fastpix.types import Resolution

Height = Resolution | Literal["270p", "360p", "540p"]


def playback_url(
    playback_id: str,
    *,
    token: str | None = None,
    format: Literal["m3u8", "mpd"] = "m3u8",
    base_url: str | None = None,
    min_resolution: Height | None = None,
    max_resolution: Height | None = None,
    resolution: Height | None = None,
    rendition_order: Literal["asc", "desc"] | None = None,
    dvr_mode: bool = False,
    start: int | None = None,
    end: int | None = None,
    clip_access: Literal["public", "private"] | None = None,
) -> str:
    """Of a media or a live stream: HLS, or DASH with `format="mpd"`.

    `start` and `end` (seconds) clip a live stream, `dvr_mode` shows it from its beginning. `base_url` is the API's
    (default: FASTPIX_BASE_URL, else the official service's).
    """
    query = {
        "token": token,
        "minResolution": min_resolution,
        "maxResolution": max_resolution,
        "resolution": resolution,
        "renditionOrder": rendition_order,
        "dvrMode": "true" if dvr_mode else None,
        "start": start,
        "end": end,
        "clipAccess": clip_access,
    }
    return _url(base_url, "stream", f"{_id(playback_id)}.{format}", query)


def thumbnail_url(
    playback_id: str,
    *,
    token: str | None = None,
    format: Literal["jpg", "png", "webp"] = "jpg",
    base_url: str | None = None,
    time: float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit_mode: Literal["preserve", "stretch", "crop", "pad"] | None = None,
) -> str:
    """A picture at `time` seconds (default: the middle), of this size at most. Of a live stream: the newest picture."""
    query = {"time": time, "width": width, "height": height, "fit_mode": fit_mode, "token": token}
    return _url(base_url, "images", f"{_id(playback_id)}/thumbnail.{format}", query)


def _url(base_url: str | None, purpose: str, path: str, query: Mapping[str, str | int | float | None]) -> str:
    parts = urlsplit(base_url or os.environ.get("FASTPIX_BASE_URL") or DEFAULT_BASE_URL)
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    return f"{parts.scheme}://{host(parts.netloc, purpose)}/{path}" + (f"?{asked}" if asked else "")


def host(api: str, purpose: str) -> str:
    """Of `stream` or `images`, beside this host of the API."""
    return f"{purpose}.{api.removeprefix('api.')}" if api.startswith("api.") else api


def _id(playback_id: str) -> str:
    if playback_id.strip(".") == "":
        raise ValueError("playback_id must not be empty")
    return quote(playback_id, safe="")
