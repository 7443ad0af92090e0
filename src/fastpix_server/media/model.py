"""A media and its tracks as this program sees them: plain, frozen, complete."""

import dataclasses
from datetime import datetime
from typing import Any, Literal

from fastpix_server.media.edits import NOTHING, Order


@dataclasses.dataclass(frozen=True, slots=True)
class Track:
    """What the source holds, or was added to it, and viewers can choose. Its id never changes."""

    id: str
    type: Literal["video", "audio", "subtitle"]
    status: str  # preparing, available, failed
    width: int | None = None
    height: int | None = None
    frame_rate: str | None = None  # three decimals: "24.000"; "-1" when unknown
    language_code: str | None = None
    language_name: str | None = None
    title: str | None = None
    url: str | None = None  # of an added track: where its file came from
    version: int = 0  # of an added track's file, from 1; 0: the source's own

    @property
    def is_added(self) -> bool:
        return self.version > 0


FileKind = Literal["capped_4k", "audioOnly"]


@dataclasses.dataclass(frozen=True, slots=True)
class MadeFile:
    """A static file that was asked for. Sides are known once it is ready, and None for sound."""

    id: str
    kind: FileKind
    status: Literal["preparing", "ready", "failed"]
    width: int | None = None
    height: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Media:
    id: str
    workspace_id: str
    status: str  # a states.Status value
    origin: Literal["url", "upload", "live", "clip"]  # live: a recording; clip: a part of a live session
    source_url: str  # what the caller gave us, or the upload's own URL; empty for recordings and clips
    title: str | None
    creator_id: str | None
    metadata: dict[str, str]
    media_quality: str
    max_resolution: str
    source_access: bool
    optimize_audio: bool
    size_bytes: int | None  # known once the source is stored
    container: str | None  # these five are known once probed
    duration_s: float | None
    width: int | None  # as displayed; None for audio only
    height: int | None
    is_audio_only: bool
    failure_code: str | None  # a stable word, only when Failed
    failure_description: str | None  # a sentence for the user
    tracks: tuple[Track, ...]
    created_at: datetime
    updated_at: datetime
    stream_id: str | None = None  # 32 hex digits; of recordings and clips
    source_media_id: str | None = None  # the media of ours that it was made from
    edit: Order = NOTHING
    files: tuple[MadeFile, ...] = ()

    def replace(self, **changes: Any) -> "Media":
        return dataclasses.replace(self, **changes)
