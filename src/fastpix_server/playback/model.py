"""What playback speaks about, as values: public ids, published targets, and the names of things that can be made."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from fastpix_server.engine.plan import AudioRendition, Plan, VideoRendition

AccessPolicy = Literal["public", "private", "drm"]


@dataclasses.dataclass(frozen=True, slots=True)
class PlaybackId:
    """A public name of a target. `resolution` caps what it shows ("720p"); None means no cap."""

    id: str
    workspace_id: str
    target_id: str
    access_policy: AccessPolicy
    access_restrictions: Mapping[str, object]
    resolution: str | None
    created_at: datetime
    drm_configuration_id: str | None = None
    is_deleted: bool = False
    # Set where the policy is drm: what this id shows is encrypted with that key.
    content_key_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """Whose a playback id is, and what it shows: a media, or a live stream."""

    workspace_id: str
    target_id: str
    is_live: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """Bit rates of one rendition, taken from its stored segments once all of them exist."""

    peak_bps: int
    average_bps: int


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A planned thing, made on demand: its timeline, and where its bytes are. `measured` is empty until the fill is
    done. The other kinds of targets are in targets.py."""

    id: str
    workspace_id: str
    place: str
    source_key: str
    plan: Plan
    measured: Mapping[str, Measured]
    other_source_keys: tuple[str, ...] = ()  # the files of an edit from 1 on

    @property
    def revision(self) -> str:
        return self.plan.revision

    @property
    def duration_s(self) -> float:
        return self.plan.timeline.duration_s

    @property
    def renditions(self) -> tuple[VideoRendition | AudioRendition, ...]:
        return (*self.plan.videos, *self.plan.audios)

    def segment_key(self, rendition: str, k: int) -> str:
        return f"{self.place}/{rendition}/{k}.m4s"

    def fast_segment_key(self, rendition: str, k: int) -> str:
        """The quick version that a waiting viewer gets; the fill replaces it by `segment_key`."""
        return f"{self.place}/{rendition}/{k}.fast.m4s"

    def init_key(self, rendition: str) -> str:
        return f"{self.place}/{rendition}/init.mp4"
