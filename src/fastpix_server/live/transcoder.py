"""One ffmpeg child of a running session: decodes the source once, gives lower rungs (and AAC when the source has none).

Invariants: what waits for the child is bounded in media time (`MAX_LAG_S`): beyond it whole segments are left out, and
counted; a child that gives nothing for `STALL_S` although it was fed is ended; pictures come out one for one and get
exactly the times of the source's pictures. The child has no network and no files: it is started as all of them are.
"""

import asyncio
import bisect
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from fastpix_server.base import log
from fastpix_server.engine import fragments
from fastpix_server.engine.boxes import BoxError
from fastpix_server.engine.fragments import FragmentError
from fastpix_server.engine.run import Process, started
from fastpix_server.engine.sandbox import Limits
from fastpix_server.ingest.flv import Muxer
from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track
from fastpix_server.live import ladder
from fastpix_server.live.model import AUDIO_RENDITION
from fastpix_server.live.packager.clock import MAX_STEP
from fastpix_server.live.packager.codecs import BadTrack
from fastpix_server.live.packager.reading import ReadSample, ReadTrack, read_samples, read_tracks
from fastpix_server.live.packager.segments import Placed

_log = log.get(__name__)

MAX_LAG_S = 2.0  # behind the source: then segments are left out until it has caught up to half of this
STALL_S = 5.0
FIRST_OUTPUT_S = 15.0  # a busy machine takes seconds to start it
DRAIN_S = 2.0  # after the source's end
MAX_PENDING_BYTES = 64 << 20  # in the pipe: 2 s of lag and a segment, at 80 Mb/s; more means that it does not read
MAX_TIMES = 2400  # pictures on their way through: 10 s at 240 a second
# A child that dies so often will die again.
MAX_RESTARTS, RESTART_WINDOW_S = 5, 600.0
# The limits end a runaway, not a long session: 13 hours at eight cores.
LIMITS = Limits(cpu_s=8 * 13 * 3600, wall_s=13 * 3600.0)
_MS = CLOCK_HZ // 1000


class Transcoder:
    """Made for one epoch. `on_tracks` comes once, before `on_sample`; `on_done` comes once and last, with the reason
    unless it ended as it should."""

    def __init__(
        self,
        scheme: ladder.Scheme,
        video: Track | None,
        audio: Track | None,
        *,
        start: int,
        keys_from_s: float,
        on_tracks: Callable[[dict[str, Track]], None],
        on_sample: Callable[[str, Placed], None],
        on_done: Callable[[str], None],
    ) -> None:
        """`start` is where the epoch begins (CLOCK_HZ): pictures before it are decoded, not shown. `keys_from_s` is the
        same moment on the child's clock, which begins with the first picture's decode time."""
        self.skipped_segments = 0
        self.unmatched = 0
        self._scheme = scheme
        self._start, self._keys_from_s = start, keys_from_s
        self._on_tracks, self._on_sample, self._on_done = on_tracks, on_sample, on_done
        self._names = [r.name for r in scheme.rungs] + ([AUDIO_RENDITION] if scheme.encodes_sound else [])
        self._muxer = Muxer()
        self._base: int | None = None  # the session's time of the child's time 0
        self._times: deque[tuple[int, int]] = deque(maxlen=MAX_TIMES)  # (child's ms, session's ticks) of pictures
        self._tracks: dict[int, ReadTrack] = {}
        self._name_of: dict[int, str] = {}
        self._pending: dict[str, tuple[int, ReadSample]] = {}
        self._next_sound: int | None = None
        self._fed_s = self._given_s = 0.0
        self._is_skipping = False
        self._process: Process | None = None
        self._is_finished = self._is_over = self._is_abandoned = False
        self._failure = ""
        self._waiting_since: float | None = None
        self._has_given = False
        self._before: list[bytes] = [self._head(video, audio)]
        self._before_bytes = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def _head(self, video: Track | None, audio: Track | None) -> bytes:
        takes_video, takes_audio = bool(self._scheme.rungs), self._scheme.encodes_sound
        head = Muxer.header(has_video=takes_video, has_audio=takes_audio)
        if takes_video and video is not None:
            head += self._muxer.track(video)
        if takes_audio and audio is not None:
            head += self._muxer.track(audio)
        return head

    # -- in -----------------------------------------------------------------------------------------------------

    @property
    def lag_s(self) -> float:
        """How far the slowest output is behind what was fed."""
        return max(0.0, self._fed_s - self._given_s) if self._has_given else 0.0

    def picture(self, sample: Placed, *, reorder: int, may_skip: bool) -> None:
        """`reorder` is what was taken off the composition offsets. `may_skip`: a segment begins with this picture."""
        if not self._scheme.rungs or self._is_finished:
            return
        if may_skip:
            limit_s = MAX_LAG_S / 2 if self._is_skipping else MAX_LAG_S
            self._is_skipping = self.lag_s > limit_s
            self.skipped_segments += self._is_skipping
        if self._is_skipping:
            return
        fed = Sample("video", sample.time - reorder, sample.cts + reorder, sample.is_key, sample.data)
        if self._base is None:
            self._base = fed.dts
        shown = sample.time + sample.cts
        child_ms = _rounded(fed.dts - self._base) + _rounded(fed.cts)
        bisect.insort(self._times, (child_ms, shown))
        self._fed_s = max(self._fed_s, shown / CLOCK_HZ)
        self._write(self._muxer.sample(fed))

    def sound(self, sample: Placed, *, rate_hz: int) -> None:
        if not self._scheme.encodes_sound or self._is_finished:
            return
        dts = round(sample.time * CLOCK_HZ / rate_hz)
        if self._base is None:
            self._base = dts
        if not self._scheme.rungs:
            self._fed_s = dts / CLOCK_HZ
        self._write(self._muxer.sample(Sample("audio", dts, 0, True, sample.data)))

    def _write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting_since is None:
            self._waiting_since = loop.time()
        if self._process is None:
            self._before.append(data)
            self._before_bytes += len(data)
            pending = self._before_bytes
        elif self._process.stdin.is_closing():
            return
        else:
            self._process.stdin.write(data)
            pending = self._process.stdin.transport.get_write_buffer_size()
        if pending > MAX_PENDING_BYTES:
            self._fail("does not read")

    def finish(self) -> None:
        """No more samples: what is inside comes out, for `DRAIN_S` at most."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._process is not None:
            self._close_stdin(self._process)
        asyncio.get_running_loop().call_later(DRAIN_S, self._fail, "")

    def abandon(self) -> None:
        """At once; `on_done` does not come."""
        self._is_finished = self._is_over = self._is_abandoned = True
        self._fail("abandoned")

    async def close(self) -> None:
        self.abandon()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @staticmethod
    def _close_stdin(process: Process) -> None:
        with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
            process.stdin.close()

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        if self._process is not None and self._process.is_running:
            self._process.kill()
        elif self._process is None and self._is_over:
            self._task.cancel()

    # -- the child ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        reason = ""
        try:
            reason = await self._run_child()
        except (BoxError, BadTrack, FragmentError, OSError) as broken:
            reason = str(broken) or type(broken).__name__
        finally:
            if not self._is_over:
                self._is_over = True
                self._flush()
                self._on_done("" if self._is_finished and not self._failure else reason or self._failure)

    async def _run_child(self) -> str:
        argv = ladder.command(self._scheme, self._keys_from_s)
        async with started(argv, limits=LIMITS, outputs=1, feed=True) as process:
            self._process = process
            process.stdin.transport.set_write_buffer_limits(high=MAX_PENDING_BYTES)
            for data in self._before:
                process.stdin.write(data)
            self._before.clear()
            if self._is_finished:
                self._close_stdin(process)
            watch = asyncio.get_running_loop().create_task(self._watch())
            try:
                await self._read(process)
                finished = await process.finish()
            finally:
                watch.cancel()
        if finished.is_ok:
            return "ended by itself"
        return finished.stderr.decode(errors="replace").strip()[-500:] or f"exit {finished.returncode}"

    async def _watch(self) -> None:
        """Ends a child that was fed and gives nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.5)
            limit_s = STALL_S if self._has_given else FIRST_OUTPUT_S
            if self._waiting_since is not None and loop.time() - self._waiting_since > limit_s:
                self._fail("stalled")
                return

    async def _read(self, process: Process) -> None:
        moof = b""
        async for kind, box in fragments.read_boxes(process.outputs[0]):
            if kind == b"moov":
                self._begin(box)
            elif kind == b"moof":
                moof = box
            elif kind == b"mdat" and moof:
                self._waiting_since = None
                self._has_given = True
                for sample in read_samples(moof, box, self._tracks):
                    self._take(sample)
                moof = b""

    # -- out ----------------------------------------------------------------------------------------------------

    def _begin(self, moov: bytes) -> None:
        read = read_tracks(moov)
        if len(read) != len(self._names):
            raise FragmentError(f"{len(read)} tracks instead of {len(self._names)}")
        self._tracks = {track.track_id: track for track in read}
        self._name_of = {track.track_id: name for track, name in zip(read, self._names, strict=True)}
        if not self._is_abandoned:
            self._on_tracks({self._name_of[track.track_id]: track.track for track in read})

    def _take(self, sample: ReadSample) -> None:
        name = self._name_of[sample.track_id]
        track = self._tracks[sample.track_id]
        if track.track.kind == "audio":
            self._take_sound(name, sample, track.timescale)
            return
        shown = self._time_of(round(sample.time * 1000 / track.timescale))
        if shown is None:
            self.unmatched += 1
            return
        if shown < self._start:
            return
        before = self._pending.get(name)
        if before is not None and shown > before[0]:
            self._emit(name, before, shown - before[0])
        self._pending[name] = (shown, sample)
        if name == self._names[len(self._scheme.rungs) - 1]:
            self._given_s = shown / CLOCK_HZ

    def _time_of(self, child_ms: int) -> int | None:
        """The time on the session's clock of the picture that went in with this time; rounding may differ by one."""
        at = bisect.bisect_left(self._times, (child_ms - 1, -1))
        found: tuple[int, int] | None = None
        for k in range(at, min(at + 3, len(self._times))):
            candidate = self._times[k]
            if abs(candidate[0] - child_ms) <= 1 and (
                found is None or abs(candidate[0] - child_ms) < abs(found[0] - child_ms)
            ):
                found = candidate
        return found[1] if found else None

    def _emit(self, name: str, pending: tuple[int, ReadSample], duration: int) -> None:
        shown, sample = pending
        if duration > MAX_STEP:  # what follows was left out: this picture lasts as long as pictures do
            duration = max(sample.duration, _MS) if sample.duration <= MAX_STEP else CLOCK_HZ // 30
        if not self._is_abandoned:
            self._on_sample(name, Placed(shown, duration, 0, sample.is_key, sample.data))

    def _take_sound(self, name: str, sample: ReadSample, rate_hz: int) -> None:
        """Frames follow each other without a hole, whatever their rounded times say; the first one's time counts."""
        assert self._base is not None
        if self._next_sound is None:
            self._next_sound = sample.time + round(self._base * rate_hz / CLOCK_HZ)
        if not self._scheme.rungs:
            self._given_s = self._next_sound / rate_hz
        # The encoder's lead-in may lie before the epoch: at a session's zero, there is no such time.
        is_shown = self._next_sound * CLOCK_HZ >= self._start * rate_hz
        if is_shown and not self._is_abandoned:
            self._on_sample(name, Placed(self._next_sound, sample.duration, 0, True, sample.data))
        self._next_sound += sample.duration

    def _flush(self) -> None:
        for name, pending in self._pending.items():
            self._emit(name, pending, max(pending[1].duration, _MS) if pending[1].duration <= MAX_STEP else MAX_STEP)
        self._pending.clear()


def _rounded(ticks: int) -> int:
    return (ticks + _MS // 2) // _MS


def restarts_allowed(failures_s: Sequence[float], now_s: float) -> bool:
    """Whether another child may be started."""
    return sum(now_s - failed_s < RESTART_WINDOW_S for failed_s in failures_s) < MAX_RESTARTS
