"""Everything about one view: `/data/viewlist/{viewId}`. Every key is always there; what is unknown is null.

KEYS is the contract's list (schema `Views`), each with the column it shows and the shape of its value.
"""

import asyncio
import dataclasses
import enum
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fastpix_server.base import errors
from fastpix_server.views import reading, schema
from fastpix_server.views.queries.selection import Row, Rows

# The longest list of events in one answer: a day of pulses is 8,640.
EVENTS_MAX = 20_000


class Shape(enum.Enum):
    TEXT = "text"  # '' is null
    WORDS = "words"  # a text that is never null in the contract
    WHOLE = "whole"
    REAL = "real"
    YES_OR_NO = "yes or no"  # never null in the contract
    TIME = "time"
    NOTHING = "nothing"  # of the contract, without a meaning here


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    name: str
    column: str
    shape: Shape

    def shown(self, row: Row) -> Any:
        if self.shape is Shape.NOTHING:
            return None
        return _SHOWN[self.shape](row[self.column])


def _whole(value: Any) -> int | None:
    try:
        return None if value is None or value == "" else round(float(value))
    except (ValueError, OverflowError):
        return None


def _real(value: Any) -> float | None:
    return None if value is None else float(value)


def _time(value: str | None) -> str | None:
    """`2026-05-20T09:50:42.361Z`."""
    return None if value is None else value.replace(" ", "T") + "Z"


_SHOWN: Mapping[Shape, Callable[[Any], Any]] = {
    Shape.TEXT: lambda value: value or None,
    Shape.WORDS: lambda value: value or "",
    Shape.WHOLE: _whole,
    Shape.REAL: _real,
    Shape.YES_OR_NO: bool,
    Shape.TIME: _time,
}


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])|(?<=[a-z])([0-9])", lambda m: "_" + m[0].lower(), key)


def _keys(shape: Shape, names: str) -> tuple[Key, ...]:
    return tuple(Key(name, schema.DETAIL_NAMES.get(name, _snake(name)), shape) for name in names.split())


KEYS: tuple[Key, ...] = (
    *_keys(
        Shape.WHOLE,
        "asnId bufferCount bufferFill droppedFrameCount liveStreamLatency pageLoadTime playerHeight"
        " playerInitializationTime playerSourceHeight playerSourceWidth playerViewCount playerWidth totalStartupTime"
        " videoDuration videoSourceDuration videoStartupTime viewMaxPlayheadPosition viewPlayingTime viewSeekedCount"
        " viewSeekedDuration viewTotalContentPlaybackTime watchTime",
    ),
    *_keys(
        Shape.REAL,
        "averageBitrate avgDownscaling avgRequestLatency avgRequestThroughput avgUpscaling bufferFrequency bufferRatio"
        " jumpLatency maxDownscaling maxRequestLatency maxUpscaling playbackScore qualityOfExperienceScore"
        " renderQualityScore stabilityScore startupScore",
    ),
    *_keys(
        Shape.YES_OR_NO,
        "exitBeforeVideoStart playerAutoplayOn playerPreloadOn playerRemotePlayed usedFullScreen videoStartupFailed"
        " viewHasAd viewHasError",
    ),
    *_keys(Shape.TIME, "insertTimestamp updatedTimestamp viewStart viewEnd"),
    *_keys(Shape.WORDS, "beaconDomain ipAddress osVersion"),
    *_keys(Shape.NOTHING, "errorId propertyId"),
    *_keys(
        Shape.TEXT,
        "asnName browserEngine browserName browserVersion cdn city connectionType continent country countryCode"
        " custom1 custom2 custom3 custom4 custom5 custom6 custom7 custom8 custom9 custom10 deviceManufacturer"
        " deviceModel deviceName deviceType drmType errorCode errorContext errorMessage experimentName fpApiVersion"
        " fpEmbedVersion fpLiveStreamId fpPlaybackId fpSdk fpSdkVersion fpViewerId latitude longitude mediaId osName"
        " pageContext playerInstanceId playerLanguage playerName playerPoster playerResolution playerSoftwareName"
        " playerSoftwareVersion playerSourceDomain playerVersion region sessionId subPropertyId userAgent"
        " videoContentType videoEncodingVariant videoId videoLanguage videoProducer videoResolution videoSeries"
        " videoSourceDomain videoSourceHostname videoSourceStreamType videoSourceType videoSourceUrl videoTitle"
        " videoVariantId videoVariantName viewPageUrl viewSessionId viewerId",
    ),
)
# Said of a view whose page said nothing (captured answers).
_UNSAID: Mapping[str, str] = {"drmType": "none", "videoEncodingVariant": "none"}
_COLUMNS = tuple(key.column for key in KEYS if key.shape is not Shape.NOTHING)


async def view_detail(asking: Rows, workspace_id: str, view_id: str) -> dict[str, Any]:
    """`view_id` is a UUID in lower case. Raises errors.NotFound for a view that is not this workspace's."""
    parameters = {"workspace_id": workspace_id, "view_id": view_id}
    names = [*_COLUMNS, "is_ended", "fp_embed", "has_played"]
    found, events = await asyncio.gather(
        asking.rows(reading.merged_view(names), parameters),
        asking.rows(
            # Rows that arrived twice are one event, whether the engine has merged them yet or not.
            "SELECT sequence, any(name) AS name, toUnixTimestamp64Milli(min(at)) AS at_ms,"  # noqa: S608
            f" any(playhead_ms) AS playhead_ms, max(detail) AS detail FROM {schema.EVENTS}"
            " WHERE workspace_id = {workspace_id:UUID} AND view_id = {view_id:UUID}"
            " GROUP BY sequence ORDER BY sequence LIMIT {limit:UInt32}",
            {**parameters, "limit": EVENTS_MAX},
        ),
    )
    if not found:
        raise errors.NotFound("There is no view of this id in the workspace.", message="View not found")
    return _detail(found[0], events, workspace_id, view_id)


def _detail(row: Row, events: list[Row], workspace_id: str, view_id: str) -> dict[str, Any]:
    shown = {key.name: key.shown(row) for key in KEYS}
    for name, word in _UNSAID.items():
        shown[name] = shown[name] or word
    if not row["is_ended"]:
        shown["viewEnd"] = None
    if row["has_played"]:
        # SDKs send what changed: a counter that never came has not moved.
        for name in ("bufferCount", "bufferFill", "viewSeekedCount", "viewSeekedDuration"):
            shown[name] = shown[name] or 0
    return {
        **shown,
        "custom": {},
        "events": [_event(event) for event in events],
        # A text for the official SDK, where its own document has a boolean: null fits both while there is no embed.
        "fpEmbed": "true" if row["fp_embed"] else None,
        "sign": "1",
        "viewId": view_id,
        "workspaceId": workspace_id,
    }


def _event(row: Row) -> dict[str, Any]:
    event = {"pt": row["playhead_ms"], "e": row["name"], "vt": row["at_ms"]}
    return {**event, "d": msgspec.json.decode(row["detail"])} if row["detail"] else event
