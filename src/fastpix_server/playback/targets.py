"""The kinds of things that can be played under a public id.

`Target` (model.py) is planned: its segments are made when they are asked for. `LiveTarget` is a live stream: what is
shown is the session that runs now or ran last. `RecordedTarget` is a closed list of segments that are all stored.

Invariant: a kind says everything that serving needs, so nobody who serves asks media or live about it.
"""

import dataclasses
from datetime import datetime

from fastpix_server.playback.model import NO_EXTRAS, Extras, Target
from fastpix_server.playback.recording import Recording

# A pass into a live session is good for as long as the longest session may last.
LIVE_SESSION_S = 8 * 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class LiveSession:
    """One session of a stream. `revision` names it in every URL below a playback id.

    `origin` is the base URL of the process that has its segments in memory ("http://10.0.0.5:4321"); None when no
    process has: then the session is over, and what was recorded of it is shown instead.
    """

    id: str
    revision: str
    place: str
    origin: str | None
    is_dvr: bool
    is_running: bool
    started_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class LiveTarget:
    """A live stream; `session` is None until the first one begins."""

    id: str
    workspace_id: str
    session: LiveSession | None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RecordedTarget:
    """Everything is stored: `{place}/{rendition}/{number}.m4s` and `{place}/{rendition}/init-{epoch}.mp4`."""

    id: str
    workspace_id: str
    place: str
    revision: str
    recording: Recording
    extras: Extras = NO_EXTRAS

    @property
    def duration_s(self) -> float:
        return float(self.recording.duration_s)

    def segment_key(self, rendition: str, number: int) -> str:
        return f"{self.place}/{rendition}/{number}.m4s"

    def init_key(self, rendition: str, epoch: int) -> str:
        return f"{self.place}/{rendition}/init-{epoch}.mp4"


AnyTarget = Target | LiveTarget | RecordedTarget
