"""What the parts of live speak about, as values: a session, its epochs, its finished segments, a question of a player.

A *session* lasts from the first publish to the end of the reconnect window, and becomes one recording. An *epoch* is
one connection of the publisher within it: between epochs lies a discontinuity. Segments of a session are numbered from
0 without a gap, the same number for the same time in every rendition; numbers go on over epochs and restarts.

Segments lie in storage from the moment they are finished, under the keys that a published target would use, so the
recording is there when the session ends: `{place}/{rendition}/{number}.m4s` and `{place}/{rendition}/init-{epoch}.mp4`.
"""

import dataclasses
from typing import Literal

from fastpix_server.ingest.model import Codec

SOURCE_RENDITION = "source"  # the publisher's own picture: copied, or in its size when it cannot be
AUDIO_RENDITION = "a0"
SEGMENT_TARGET_S = 2.0
PART_TARGET_S = 1 / 3  # whole frames at 24, 30, 48, 60 a second; nearly so at 25 and 50


@dataclasses.dataclass(frozen=True, slots=True)
class SessionSpec:
    """What a running session needs to know of its stream. `revision` names the session in every URL below a playback
    id, as a plan's revision does for media."""

    session_id: str  # uuid; also the id of the recording's media
    stream_id: str  # 32 hex
    workspace_id: str
    revision: str  # the first 12 hex digits of session_id
    place: str  # folder in storage
    max_lines: int  # maxResolution: 1080, 720 or 480
    is_dvr: bool
    is_recorded: bool


@dataclasses.dataclass(frozen=True, slots=True)
class RenditionInfo:
    """One rendition in one epoch. Sizes are 0 for audio."""

    name: str  # "source", "480p", "a0"
    kind: Literal["video", "audio"]
    codec_family: Codec
    codec: str  # RFC 6381
    timescale: int
    width: int
    height: int
    fps: float  # measured or announced; 0 when unknown
    bitrate_bps: int  # peak, estimated until measured
    channels: int
    sample_rate_hz: int


@dataclasses.dataclass(frozen=True, slots=True)
class FinishedSegment:
    """A whole segment, handed to the recorder. `data` is all of its parts, one after another (moof + mdat each)."""

    rendition: RenditionInfo
    number: int
    epoch: int
    start_ticks: int  # on the session's own clock, which begins at 0 and goes on over epochs; `timescale` per second
    duration_ticks: int
    pdt_ms: int  # wall clock of its first sample, ms since 1970
    is_discontinuity: bool  # the first of an epoch other than the first
    init: bytes
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class JournalRow:
    """What the journal (table live_segments) keeps of a stored segment: all that playlists need."""

    rendition: str
    number: int
    epoch: int
    start_ticks: int
    duration_ticks: int
    timescale: int
    pdt_ms: int
    size_bytes: int
    is_discontinuity: bool


@dataclasses.dataclass(frozen=True, slots=True)
class PlaylistQuery:
    """The delivery directives of a player (RFC 8216bis, 6.2.5) and our own parameters."""

    msn: int | None = None
    part: int | None = None
    skip: bool = False
    is_dvr: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the origin of a session gives to the edge, for any of its URLs."""

    status: int  # 200, 400, 404, 503
    body: bytes
    media_type: str
    max_age_s: int  # 0: not to be kept
    etag: str = ""  # once an edge has made it, for all to whom it hands the answer
