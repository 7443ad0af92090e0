"""One session in the memory of this process: its broadcast, its recorder, its pushes, its viewers.

Invariants: whatever happens in it is carried to the database by the house, in the order in which it happened; the
recorder is closed before the recording is finished; an ended session can still be watched until it is released.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fastpix_server.base import log
from fastpix_server.ingest.model import Publisher, Sink
from fastpix_server.live import recorder
from fastpix_server.live.broadcast import Broadcast
from fastpix_server.live.model import JournalRow
from fastpix_server.live.recorder import Recorder
from fastpix_server.live.streams import Session, Target
from fastpix_server.live.viewers import Viewers
from fastpix_server.storage.port import ObjectStore

_log = log.get(__name__)


class Pusher(Sink, Protocol):
    """A push to one target, as a reader of the broadcast."""

    async def close(self) -> None: ...


# (target, what to call with its new state) -> a running push.
MakePush = Callable[[Target, Callable[[str], None]], Pusher]


@dataclasses.dataclass(slots=True)
class _Push:
    pusher: Pusher
    undo: Callable[[], None]
    state: str = "starting"


class Running:
    """Make it on the event loop. `on_active` and `on_disconnected` are told once per connection of the encoder."""

    def __init__(
        self,
        session: Session,
        keeper: Recorder,
        objects: ObjectStore,
        rows: Sequence[JournalRow],
        *,
        on_active: Callable[[], None],
        on_disconnected: Callable[[str], None],
    ) -> None:
        self.session = session
        self.recorder = keeper
        self.viewers = Viewers()
        self.publisher: Publisher | None = None
        self.ended_s: float | None = None  # when it was finished, by the monotonic clock
        self._pushes: dict[str, _Push] = {}
        self._sink: Sink | None = None
        self._received: tuple[float, float] | None = None
        self._bitrate_bps = 0.0
        self.broadcast = Broadcast(
            session.spec,
            on_segment=keeper.on_segment,
            on_active=on_active,
            on_end_of_epoch=on_disconnected,
            restored=rows,
            load=recorder.loader(objects, session.place),
            load_init=recorder.init_loader(objects, session.place),
        )

    def connect(self, session: Session, publisher: Publisher) -> Sink:
        # An older connection that still stands ends here, and is told as what it was.
        sink = self.broadcast.begin_epoch(publisher)
        self.session = session
        self.publisher = publisher
        self._sink = sink
        self._received = None
        return sink

    def kick(self, reason: str) -> None:
        if self.publisher is not None:
            self.publisher.kick(reason)

    async def sync_pushes(
        self, targets: Sequence[Target], make: MakePush, on_state: Callable[[Target, str], None]
    ) -> None:
        """Begins what is enabled, stops what is not any more."""
        wanted = {target.id: target for target in targets if target.is_enabled}
        for target_id in [known for known in self._pushes if known not in wanted]:
            await self._stop_push(target_id)
        for target_id, target in wanted.items():
            if target_id not in self._pushes:
                self._start_push(target, make, on_state)

    def _start_push(self, target: Target, make: MakePush, on_state: Callable[[Target, str], None]) -> None:
        def told(state: str) -> None:
            known = self._pushes.get(target.id)
            if known is not None:
                known.state = state
            on_state(target, state)

        pusher = make(target, told)
        try:
            undo = self.broadcast.add_reader(pusher)
        except OverflowError:
            _log.warning("push_refused", stream_id=target.stream_id, simulcast_id=target.id)
            pusher.on_end("refused")
            return
        self._pushes[target.id] = _Push(pusher, undo)

    async def _stop_push(self, target_id: str) -> None:
        push = self._pushes.pop(target_id)
        push.undo()
        await push.pusher.close()

    async def stop_pushes(self) -> None:
        await asyncio.gather(*(self._stop_push(target_id) for target_id in list(self._pushes)))

    async def flush(self) -> None:
        """The session is over: nothing is written of it any more when this returns. Repeatable."""
        self.kick("session_over")
        self.broadcast.end()
        await asyncio.gather(self.stop_pushes(), self.recorder.close())  # targets may take their time

    async def drop(self, reason: str) -> None:
        """Out of memory. What the encoder has sent is stored first; a session that goes on elsewhere shows no end."""
        self.kick(reason)
        if self._sink is not None:
            self._sink.on_end(reason)
        await self.stop_pushes()
        await self.broadcast.close()
        await self.recorder.close()

    def figures(self) -> dict[str, Any]:
        """Health, as the API shows it (api/described_live.py)."""
        told = self.broadcast.health()
        transport = dict(self.publisher.stats()) if self.publisher is not None else {}
        figures: dict[str, Any] = {_FIGURES[name]: value for name, value in transport.items() if name in _FIGURES}
        bitrate_bps = self._measured(float(transport.get("received_bytes", 0)))
        if self.publisher is not None:
            figures["bitrateBps"] = round(bitrate_bps)
        for name, key in _TOLD.items():
            value = told.get(name)
            if isinstance(value, int | float):
                figures[key] = value
        renditions = told.get("renditions")
        if isinstance(renditions, Mapping):
            figures["renditions"] = sorted(str(name) for name in renditions)
        if self._pushes:
            figures["simulcast"] = [
                {"simulcastId": target_id, "state": push.state} for target_id, push in sorted(self._pushes.items())
            ]
        return figures

    def _measured(self, received_bytes: float) -> float:
        """Bits per second between two looks."""
        now_s = time.monotonic()
        if self._received is not None and now_s > self._received[0] and received_bytes >= self._received[1]:
            self._bitrate_bps = 8 * (received_bytes - self._received[1]) / (now_s - self._received[0])
        self._received = (now_s, received_bytes)
        return self._bitrate_bps


# What publishers and broadcasts call it -> what the API calls it.
_FIGURES = {
    "received_bytes": "receivedBytes",
    "rtt_ms": "rttMs",
    "lost_packets": "lostPackets",
    "dropped_packets": "droppedPackets",
    "retransmitted_packets": "retransmittedPackets",
    "jitter_ms": "jitterMs",
    "dropped_frames": "droppedFrames",
}
_TOLD = {"fps": "fps", "late_samples": "lateSamples", "gaps": "gaps", "overlong_segments": "overlongSegments"}
