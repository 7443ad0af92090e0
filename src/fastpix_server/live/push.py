"""Simulcast: the publisher's own picture and sound, as they are, to one other platform by RTMP(S) or SRT.

Invariants: a push is a reader with a queue of its own, bounded in media time; a target that is dead, slow or refuses
delays nobody and costs at most that queue. What a target gets begins with a key frame, and its clock never goes back.
Stream keys appear in no log, no state and no error. What a connection is, the lines know (push_line, push_rtmp,
push_srt).
"""

import asyncio
import collections
import random
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

from fastpix_server.base import log
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track
from fastpix_server.live.push_line import Line, PushFailed, RtmpTarget, Target
from fastpix_server.live.push_rtmp import RtmpLine
from fastpix_server.live.push_srt import SrtLine

_log = log.get(__name__)

PushState = Literal["starting", "broadcasting", "retrying", "stopped"]
OnState = Callable[[PushState, str], None]

QUEUE_S = 2.0  # of media; a target that is later than this loses pictures up to the next key frame
_MAX_QUEUE_BYTES = 32 << 20  # two seconds at 128 Mb/s: for times that stand still
_SILENCE_S = 10.0  # without a sample we end the publication: platforms do so after 10 to 30 s
_STEADY_S = 30.0  # of broadcasting: then a failure is a new one, and the back-off begins anew
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0
_JUMP = 10 * CLOCK_HZ  # a larger step is another clock, and no time that was spent in the queue


class Push:
    """A reader of one broadcast for one target. Runs from its making until `on_end` or `close`."""

    def __init__(
        self,
        target: Target,
        *,
        policy: AddressPolicy,
        on_state: OnState = lambda _state, _reason: None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.state: PushState = "stopped"
        self.dropped_samples = 0
        self.sent_samples = 0
        self.sent_bytes = 0
        self.attempts = 0
        self._target = target
        self._policy = policy
        self._on_state = on_state
        self._ssl_context = ssl_context
        self._queue = _Queue()
        self._tracks: dict[str, Track] = {}
        self._task = asyncio.create_task(self._run())

    # -- Sink

    def on_track(self, track: Track) -> None:
        self._tracks[track.kind] = track
        self._queue.put_track(track)

    def on_sample(self, sample: Sample) -> None:
        self.dropped_samples += self._queue.put(sample)

    def on_end(self, reason: str) -> None:
        """What is queued still goes out, then the platform hears the end."""
        self._queue.end()

    # -- for its owner

    async def close(self) -> None:
        """Ends at once, with a farewell if there is room for one."""
        self._queue.end()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def counters(self) -> Mapping[str, float]:
        return {
            "sent_bytes": float(self.sent_bytes),
            "sent_samples": float(self.sent_samples),
            "dropped_samples": float(self.dropped_samples),
            "attempts": float(self.attempts),
        }

    # -- the work

    async def _run(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        try:
            while not self._queue.is_over:
                self._tell("starting" if not failures else "retrying", "")
                if not await self._queue.wait(None):
                    continue
                self.attempts += 1
                began_s = loop.time()
                reason = await self._attempt()
                if loop.time() - began_s > _STEADY_S and self.sent_samples:
                    failures = 0
                if reason is None:
                    failures = 0
                    continue
                failures += 1
                self._tell("retrying", reason)
                await self._queue.wait_for_end(_back_off_s(failures))
        finally:
            self._queue.close()
            self._tell("stopped", "")

    async def _attempt(self) -> str | None:
        """One connection from its beginning to its end. Why it failed; None when there was nothing more to send."""
        line = self._line()
        try:
            await line.open()
            self._tell("broadcasting", "")
            return await self._pump(line)
        except (OSError, ValueError, Malformed, PushFailed) as e:  # ValueError: a name that no resolver takes
            return str(e) or type(e).__name__
        except Exception:
            _log.exception("push_broken", host=self._target.host)
            return "an error of ours"
        finally:
            self._queue.close()
            await line.close(is_over=self._queue.is_over)

    def _line(self) -> Line:
        if isinstance(self._target, RtmpTarget):
            return RtmpLine(self._target, self._policy, self._ssl_context)
        return SrtLine(self._target, self._policy)

    async def _pump(self, line: Line) -> str | None:
        self._queue.open()
        while True:
            if not await self._queue.wait(_SILENCE_S):
                return None  # the end, or the publisher is away: begin again when it is back
            line.check()
            items = self._queue.take()
            size_bytes = await line.send(items, self._tracks)
            if size_bytes:
                self.sent_samples += sum(isinstance(item, Sample) for item in items)
                self.sent_bytes += size_bytes

    def _tell(self, state: PushState, reason: str) -> None:
        if state == self.state and not reason:
            return
        self.state = state
        _log.info("push", state=state, host=self._target.host, reason=reason)
        try:
            self._on_state(state, reason)
        except Exception:
            _log.exception("push_listener_failed")


class _Queue:
    """Tracks and samples that wait for the socket. Closed (nothing is kept) until there is one."""

    def __init__(self) -> None:
        self.is_over = False  # nothing will follow
        self._items: collections.deque[Track | Sample] = collections.deque()
        self._size = 0
        self._is_open = False
        self._is_waiting = True  # for a key frame
        self._is_behind = False  # and it waits because it had to drop
        self._has_video = False
        self._news = asyncio.Event()

    def put_track(self, track: Track) -> None:
        self._has_video = self._has_video or track.kind == "video"
        if self._is_open:
            self._items.append(track)

    def put(self, sample: Sample) -> int:
        """How many samples are lost by it: none of those before a connection is ready for its first key frame."""
        self._news.set()
        if not self._is_open:
            return 0
        if self._is_waiting:
            if not sample.is_key or (self._has_video and sample.kind != "video"):
                return int(self._is_behind)
            self._is_waiting = self._is_behind = False
        self._items.append(sample)
        self._size += len(sample.data)
        if self._span(sample) <= QUEUE_S * CLOCK_HZ and self._size <= _MAX_QUEUE_BYTES:
            return 0
        lost = sum(isinstance(item, Sample) for item in self._items)
        tracks = {item.kind: item for item in self._items if isinstance(item, Track)}
        self._items = collections.deque(tracks.values())
        self._size = 0
        self._is_waiting = self._is_behind = True
        return lost

    def _span(self, newest: Sample) -> int:
        oldest = next((item for item in self._items if isinstance(item, Sample)), newest)
        step = newest.dts - oldest.dts
        return step if 0 <= step <= _JUMP else 0

    def take(self) -> list[Track | Sample]:
        items = list(self._items)
        self._items.clear()
        self._size = 0
        if not self.is_over:
            self._news.clear()
        return items

    async def wait(self, timeout_s: float | None) -> bool:
        """Until something comes; False when it was silent for so long, or when it is over and nothing is left."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return bool(self._items) or not self.is_over

    async def wait_for_end(self, timeout_s: float) -> None:
        """Rests for so long, or until it is over."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while not self.is_over and loop.time() < end_s:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end_s):
                    await self._news.wait()

    def open(self) -> None:
        self._items.clear()
        self._is_open = self._is_waiting = True
        self._is_behind = False

    def close(self) -> None:
        self._items.clear()
        self._size = 0
        self._is_open = False
        if not self.is_over:
            self._news.clear()

    def end(self) -> None:
        self.is_over = True
        self._news.set()


def _back_off_s(failures: int) -> float:
    """With some chance in it: targets on one platform are not to be asked in step."""
    doubled_s = _FIRST_RETRY_S * float(2 ** min(failures - 1, 10))
    return min(_LAST_RETRY_S, doubled_s) * random.uniform(0.8, 1.2)
