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
class Label:
    """What a player's menu says of a track: its language (BCP 47) and its name."""

    language: str
    title: str


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A subtitle track. `name` names its URLs and changes with its file; `place` holds its cues."""

    track_id: str
    name: str
    label: Label
    place: str

    @property
    def whole_key(self) -> str:
        return f"{self.place}/whole.vtt"

    @property
    def cues_key(self) -> str:
        return f"{self.place}/cues.json"


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A download: `name` is the last part of its URL. `lines` is what it shows (720 for 720p), 0 for sound alone."""

    name: str
    key: str
    size_bytes: int
    media_type: str
    lines: int


@dataclasses.dataclass(frozen=True, slots=True)
class Extras:
    """What hangs on a target beside its own renditions. `labels` are other words for its own sounds."""

    sounds: "tuple[Target, ...]" = ()
    texts: tuple[Text, ...] = ()
    files: tuple[File, ...] = ()
    labels: tuple[tuple[str, Label], ...] = ()

    @property
    def stamp(self) -> tuple[object, ...]:
        """Differs whenever manifests would."""
        return self.texts, self.labels, tuple((s.revision, bool(s.measured)) for s in self.sounds)

    def file(self, name: str) -> File | None:
        return next((file for file in self.files if file.name == name), None)

    def text(self, name: str) -> Text | None:
        return next((text for text in self.texts if text.name == name), None)


NO_EXTRAS = Extras()


@dataclasses.dataclass(frozen=True, slots=True)
class Sound:
    """One entry of the menu of sounds: a rendition, and the target that makes it."""

    target: "Target"
    rendition: AudioRendition


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A planned thing, made on demand: its timeline, and where its bytes are. `measured` is empty until the fill is
    done. The other kinds of targets are in targets.py.

    `part_of`: of an added sound, the target that it belongs to.
    """

    id: str
    workspace_id: str
    place: str
    source_key: str
    plan: Plan
    measured: Mapping[str, Measured]
    other_source_keys: tuple[str, ...] = ()  # the files of an edit from 1 on
    part_of: str | None = None
    extras: Extras = NO_EXTRAS

    @property
    def revision(self) -> str:
        return self.plan.revision

    @property
    def duration_s(self) -> float:
        return self.plan.timeline.duration_s

    @property
    def renditions(self) -> tuple[VideoRendition | AudioRendition, ...]:
        return (*self.plan.videos, *self.plan.audios)

    @property
    def sounds(self) -> tuple[Sound, ...]:
        """Its own and the added ones, under the words that hold now; the first is what players begin with."""
        labels = dict(self.extras.labels)
        return tuple(
            Sound(target, _labelled(rendition, labels.get(rendition.name)))
            for target in (self, *self.extras.sounds)
            for rendition in target.plan.audios
        )

    def find(self, name: str) -> "tuple[Target, VideoRendition | AudioRendition] | None":
        """The rendition of that name and the target that makes it: this one, or that of an added sound."""
        for target in (self, *self.extras.sounds):
            rendition = target.plan.rendition(name)
            if rendition is not None:
                return target, rendition
        return None

    def segment_key(self, rendition: str, k: int) -> str:
        return f"{self.place}/{rendition}/{k}.m4s"

    def fast_segment_key(self, rendition: str, k: int) -> str:
        """The quick version that a waiting viewer gets; the fill replaces it by `segment_key`."""
        return f"{self.place}/{rendition}/{k}.fast.m4s"

    def init_key(self, rendition: str) -> str:
        return f"{self.place}/{rendition}/init.mp4"


def _labelled(rendition: AudioRendition, label: Label | None) -> AudioRendition:
    if label is None:
        return rendition
    return dataclasses.replace(rendition, language=label.language, title=label.title)
