"""A stream, a session of it and a target that it is pushed to, as this program sees them: plain, frozen, complete."""

import dataclasses
from datetime import datetime
from typing import Literal

from fastpix_server.live.model import SessionSpec

MediaPolicy = Literal["public", "private"]
SessionState = Literal["publishing", "waiting", "ended"]


@dataclasses.dataclass(frozen=True, slots=True)
class Stream:
    """Ids are 32 hex digits, as on the wire. The secrets are shown by the API, and by nothing else."""

    id: str
    workspace_id: str
    status: str  # a states.Status value
    stream_key: str = dataclasses.field(repr=False)
    srt_secret: str = dataclasses.field(repr=False)
    srt_playback_secret: str = dataclasses.field(repr=False)
    max_resolution: str
    max_duration_s: int
    reconnect_window_s: int
    media_policy: MediaPolicy
    enable_recording: bool
    enable_dvr_mode: bool
    metadata: dict[str, str] | None
    created_at: datetime

    @property
    def target_id(self) -> str:
        """The same id as UUID: what its public names point to."""
        return as_uuid(self.id)


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """`publishing`: an encoder is connected. `waiting`: it may come back until `deadline_at`. `ended`: it may not."""

    id: str
    stream_id: str  # 32 hex
    workspace_id: str
    state: SessionState
    revision: str
    place: str
    max_lines: int
    is_dvr: bool
    is_recorded: bool
    media_policy: MediaPolicy
    holder: str  # the ingest that has it in memory
    protocol: str
    epoch: int  # connections of the publisher so far
    playable_epoch: int
    started_at: datetime
    deadline_at: datetime | None
    ends_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    finalised_at: datetime | None  # its recording is whole, or there is none
    released_at: datetime | None  # no process has it in memory

    @property
    def spec(self) -> SessionSpec:
        return SessionSpec(
            session_id=self.id,
            stream_id=self.stream_id,
            workspace_id=self.workspace_id,
            revision=self.revision,
            place=self.place,
            max_lines=self.max_lines,
            is_dvr=self.is_dvr,
            is_recorded=self.is_recorded,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Ingest:
    """A process that takes encoders in. `origin` is the base URL of its origin server, without a trailing slash."""

    id: str
    origin: str


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where a stream is pushed to: `url` + "/" + `stream_key`."""

    id: str  # 32 hex
    stream_id: str
    url: str
    stream_key: str = dataclasses.field(repr=False)
    is_enabled: bool
    metadata: dict[str, str] | None


def as_uuid(hex32: str) -> str:
    """`0123...` -> `01234567-89ab-...`, as the database writes it."""
    return f"{hex32[:8]}-{hex32[8:12]}-{hex32[12:16]}-{hex32[16:20]}-{hex32[20:]}"


def as_hex(uuid: object) -> str:
    return str(uuid).replace("-", "")
