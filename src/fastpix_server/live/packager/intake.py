"""From a publisher's samples, in whatever order and on whatever clock, to epochs of well-timed pictures and sound.

An epoch begins with a key frame once it is known which tracks there are, and ends with the connection, with times that
jump, or with a track that changes. Invariants: within an epoch decode times strictly grow without holes, the first
picture is a key frame that is shown at the epoch's start, and sound (silence where the publisher sent none) accompanies
the pictures to their end. What is dropped is counted.
"""

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track
from fastpix_server.live.packager.clock import MAX_STEP, Grid, Steps
from fastpix_server.live.packager.codecs import BadTrack, Sound, sound_of
from fastpix_server.live.packager.mp4 import init_segment
from fastpix_server.live.packager.segments import Placed
from fastpix_server.live.packager.stills import Still, Stills

# How long the first key frame waits for the other track to be announced.
TRACKS_WAIT_S = 1.0
# A shorter epoch is not ended by a jump (it would let a broken clock make a segment, an object and a row per frame).
EPOCH_MIN_S = 2.0
# Sound this far behind the pictures is taken for missing; it becomes more patient with sound that comes late.
LATE_S, LATE_MAX_S = 1.0, 3.0
# Frames of sound that wait for pictures, and pictures that wait for tracks: 10 s of AAC at 96 kHz.
MAX_WAITING = 1000
# So many pictures in a row, each more than half a second (and not a whole hole) after the other: that is its rate.
SLOW_PICTURES, SLOW_STEP_MAX = 10, 10 * CLOCK_HZ
MAX_COMPOSITION_S = 2.0  # 16 B-frames at 8 frames a second; more is nonsense
MAX_LINES = 8192  # what any decoder takes


class Taker(Protocol):
    """Where an intake's epochs go."""

    def begin(self, video: Track | None, audio: Track | None, wall_ms: int, reorder: int, warm_ticks: int) -> int:
        """A new epoch; returns its start on the session's clock (CLOCK_HZ). Its first picture was made at `wall_ms`.

        `reorder` is what is taken off all composition offsets. Pictures of `warm_ticks` before the start come first:
        they are needed to decode what follows.
        """

    def warm_up(self, sample: Placed) -> None: ...

    def picture(self, sample: Placed) -> None: ...

    def sound(self, sample: Placed) -> None: ...

    def end(self) -> None: ...


@dataclasses.dataclass(slots=True)
class Counts:
    """What happened to a publication's samples."""

    pictures: int = 0
    sounds: int = 0
    dropped: int = 0
    jumps: int = 0
    silent_frames: int = 0
    stills: int = 0
    bad_tracks: int = 0
    received_bytes: int = 0


def check(track: Track) -> None:
    """Raises BadTrack when nothing can be made of the track."""
    if track.kind == "video" and not (0 < track.width <= MAX_LINES and 0 < track.height <= MAX_LINES):
        raise BadTrack(f"a picture of {track.width}x{track.height}")
    init_segment(track)


class Intake:
    """Of one connection of a publisher. `silent_track` is the sound that earlier epochs had: players expect it to go
    on, so a publisher without sound gets silence of that kind; one without pictures gets `still`. `on_slow`: its
    pictures are too far apart for parts."""

    def __init__(
        self,
        taker: Taker,
        *,
        now_s: Callable[[], float],
        silent_track: Track | None = None,
        still: Still | None = None,
        on_slow: Callable[[], None] = lambda: None,
    ) -> None:
        self.counts = Counts()
        self.video: Track | None = None
        self.audio: Track | None = None
        self._taker, self._now_s, self._silent_track = taker, now_s, silent_track
        self._on_slow = on_slow
        self._last_dts = 0
        self._slow_pictures = 0  # in a row
        self._epoch: _Epoch | None = None
        self._stills = Stills(still)
        self._pictures: deque[Sample] = deque()  # from a key frame on, while no epoch runs
        self._sounds: deque[tuple[Track, Sample]] = deque()
        self._gop: list[Sample] = []  # the running epoch's pictures since its last key frame
        self._anchor_s: float | None = None  # least (arrival - time): the wall clock of the publisher's time 0

    @property
    def still(self) -> Still | None:
        """The newest picture that can be shown by itself."""
        return self._stills.last

    def on_track(self, track: Track) -> None:
        try:
            check(track)
        except BadTrack:
            self.counts.bad_tracks += 1
            return
        if track.kind == "video":
            self.video = track
        else:
            self.audio = track

    def on_sample(self, sample: Sample) -> None:
        if not sample.data:
            self.counts.dropped += 1
            return
        self.counts.received_bytes += len(sample.data)
        arrival_s = self._now_s() - sample.dts / CLOCK_HZ
        self._anchor_s = arrival_s if self._anchor_s is None else min(self._anchor_s, arrival_s)
        if sample.kind == "video" and self.video is not None:
            self.counts.pictures += 1
            is_slow = MAX_STEP < sample.dts - self._last_dts <= SLOW_STEP_MAX
            self._last_dts = sample.dts
            self._slow_pictures = self._slow_pictures + 1 if is_slow else 0
            self._on_picture(sample)
            if self._slow_pictures == SLOW_PICTURES:
                self._on_slow()
        elif sample.kind == "audio" and self.audio is not None:
            self.counts.sounds += 1
            self._on_sound(self.audio, sample)
        else:
            self.counts.dropped += 1

    def end(self) -> None:
        """The publisher is gone: everything that is still here goes out."""
        if self._epoch is None and (self._pictures or self._sounds):
            self._begin()
        self._end_epoch()

    def break_epoch(self) -> None:
        """Ends the epoch; the next one begins at the next key frame."""
        self._end_epoch()

    def begin_again(self) -> None:
        """Ends the epoch and begins another right here, in the middle of a group of pictures: for a taker that decodes.
        Without what is needed to decode it, at the next key frame."""
        epoch, gop = self._epoch, self._gop
        self._end_epoch()
        if epoch is None or epoch.video is None or not gop or gop[0].cts < 0:
            return
        reorder = _composition(gop[0])
        base = gop[-1].dts + epoch.usual_step + reorder
        self._start_epoch(epoch.video, epoch.audio, base, reorder, gop)
        self._gop = gop

    # -- pictures -----------------------------------------------------------------------------------------------

    def _on_picture(self, sample: Sample) -> None:
        epoch = self._epoch
        if epoch is not None and self._must_change(epoch, sample):
            self._end_epoch()
            epoch = None
        if epoch is None:
            self._wait_with(sample)
        elif epoch.video != self.video:
            self.counts.dropped += 1  # of another configuration, and it is too early for another epoch
            epoch.refused += 1
        elif self._stills.refuses(sample):
            self.counts.dropped += 1
        else:
            self._stand(epoch, self._stills.until(sample.dts))
            self._take(epoch, sample)

    def _take(self, epoch: "_Epoch", sample: Sample) -> None:
        if epoch.picture(sample):
            self._remember(epoch.video, sample)
            epoch.drain(self._sounds)
        else:
            self._jump(epoch, sample)

    def _remember(self, track: Track | None, sample: Sample) -> None:
        self._stills.took(track, sample)
        self._keep(sample)

    def _keep(self, sample: Sample) -> None:
        if sample.is_key or len(self._gop) >= MAX_WAITING:
            self._gop = []
        if sample.is_key or self._gop:
            self._gop.append(sample)

    def _must_change(self, epoch: "_Epoch", sample: Sample) -> bool:
        is_same = epoch.video == self.video and (self.audio is None or epoch.audio == self.audio)
        waited_s = epoch.refused * epoch.usual_step / CLOCK_HZ
        return not is_same and sample.is_key and epoch.length_s + waited_s >= EPOCH_MIN_S

    def _jump(self, epoch: "_Epoch", sample: Sample) -> None:
        self.counts.jumps += 1
        if epoch.length_s < EPOCH_MIN_S:
            epoch.go_on(sample)
            self._stills.took(epoch.video, sample)
            return
        self._end_epoch()
        self._anchor_s = self._now_s() - sample.dts / CLOCK_HZ
        self._wait_with(sample)

    def _wait_with(self, sample: Sample) -> None:
        if not self._pictures and not sample.is_key:
            self.counts.dropped += 1
            return
        self._pictures.append(sample)
        waited_s = abs(sample.dts - self._pictures[0].dts) / CLOCK_HZ
        if self.audio is not None or waited_s >= TRACKS_WAIT_S or len(self._pictures) >= MAX_WAITING:
            self._begin()

    # -- sound --------------------------------------------------------------------------------------------------

    def _on_sound(self, track: Track, sample: Sample) -> None:
        self._sounds.append((track, sample))
        if len(self._sounds) > MAX_WAITING:
            self._sounds.popleft()
            self.counts.dropped += 1
        epoch = self._epoch
        if epoch is not None and epoch.video is None:
            self._on_sound_alone(epoch, track)
        elif epoch is not None:
            self._stand(epoch, self._stills.on_sound(sample.dts, epoch.frame_ticks))
            epoch.drain(self._sounds)
        elif self.video is None or self._stills.is_standing:
            waited_s = abs(sample.dts - self._sounds[0][1].dts) / CLOCK_HZ
            if waited_s >= TRACKS_WAIT_S:
                self._begin()

    def _stand(self, epoch: "_Epoch", stills: list[Sample]) -> None:
        """The last key frame again, where pictures are missing beside the sound."""
        for still in stills:
            self.counts.stills += 1
            if not epoch.picture(still):
                epoch.go_on(still)
            self._keep(still)

    def _on_sound_alone(self, epoch: "_Epoch", track: Track) -> None:
        is_jump = not epoch.drain(self._sounds)
        if (is_jump or track != epoch.audio) and epoch.length_s >= EPOCH_MIN_S:
            self.counts.jumps += is_jump
            last = self._sounds[-1]
            self._end_epoch()
            self._sounds.clear()
            self._sounds.append(last)
            self._anchor_s = self._now_s() - last[1].dts / CLOCK_HZ

    # -- epochs -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        pictures, video = [*self._pictures], self.video
        self._pictures.clear()
        is_still = not pictures and bool(self._sounds) and self._stills.last is not None
        if is_still and self._stills.last is not None:
            pictures, video = [self._stills.begin(self._sounds[0][1].dts)], self._stills.last.track
            self.counts.stills += 1
        if pictures:
            first = pictures[0]
            base = first.dts + _composition(first)
            audio = self.audio or self._silent_track
        elif self._sounds and self.audio is not None:
            base, video, audio = self._sounds[0][1].dts, None, self._sounds[-1][0]
        else:
            return
        reorder = _composition(pictures[0]) if pictures else 0
        epoch = self._start_epoch(video, audio, base, reorder, [])
        for sample in pictures:
            if not epoch.picture(sample):
                epoch.go_on(sample)
            self._keep(sample) if is_still else self._remember(video, sample)
        if is_still:
            for _, sound in self._sounds:
                self._stand(epoch, self._stills.on_sound(sound.dts, epoch.frame_ticks))
        epoch.drain(self._sounds)

    def _start_epoch(
        self, video: Track | None, audio: Track | None, base: int, reorder: int, warm: list[Sample]
    ) -> "_Epoch":
        """`base` is the publisher's time of the first picture that is shown."""
        assert self._anchor_s is not None
        warm_ticks = base - warm[0].dts - reorder if warm else 0
        wall_ms = round((self._anchor_s + base / CLOCK_HZ) * 1000)
        start = self._taker.begin(video, audio, wall_ms, reorder, warm_ticks)
        epoch = _Epoch(self._taker, self.counts, video, audio, base=base, start=start, reorder=reorder)
        self._epoch = epoch
        self._gop = []
        epoch.prune(self._sounds)
        for sample in warm:
            place = sample.dts + reorder - base + start
            self._taker.warm_up(Placed(place, 1, _composition(sample) - reorder, sample.is_key, sample.data))
        return epoch

    def _end_epoch(self) -> None:
        if self._epoch is not None:
            self._epoch.finish(self._sounds)
            self._epoch = None
            self._taker.end()


class _Epoch:
    """The clocks of one epoch. Pictures come out one sample late: only the next one tells how long one lasts."""

    def __init__(
        self,
        taker: Taker,
        counts: Counts,
        video: Track | None,
        audio: Track | None,
        *,
        base: int,
        start: int,
        reorder: int,
    ) -> None:
        self.video, self.audio = video, audio
        self.refused = 0  # pictures that came too early for the next epoch
        self._taker, self._counts, self._base, self._start = taker, counts, base, start
        self._steps: Steps | None = None
        self._pending: tuple[int, Sample] | None = None
        self._reorder = reorder  # composition offset of key frames, taken off all pictures
        self._late_s = LATE_S
        self._sound: Sound | None = sound_of(audio) if audio else None
        self._grid: Grid | None = None
        self._is_grid_begun = False
        self._filler = b""
        if self._sound:
            self._filler = self._sound.silence
            self._grid = Grid(
                rate_hz=self._sound.rate_hz, frame_samples=self._sound.frame_samples, base=base, start=start
            )

    @property
    def length_s(self) -> float:
        return self._reference_s() - self._start / CLOCK_HZ

    def _reference_s(self) -> float:
        """How far the leading track is, on the session's clock."""
        if self.video is not None:
            return (self._steps.now if self._steps else self._start) / CLOCK_HZ
        assert self._grid is not None
        return self._grid.next_s

    def _lags(self) -> bool:
        """Sound that is farther than the pictures waits: it may belong to the next epoch."""
        return self.video is None or self._lag_s() > 0

    @property
    def frame_ticks(self) -> int:
        """How long a frame of sound lasts."""
        return self._grid.frame_samples * CLOCK_HZ // self._grid.rate_hz if self._grid else 0

    @property
    def usual_step(self) -> int:
        return self._steps.usual if self._steps else 0

    def _lag_s(self) -> float:
        """How far the sound is behind the pictures."""
        assert self._grid is not None
        return self._reference_s() - self._grid.next_s

    # -- pictures

    def picture(self, sample: Sample) -> bool:
        """False when its time has jumped; nothing has happened then."""
        if self._steps is None:
            self._steps = Steps(sample.dts, self._start)
            self._pending = (self._start, sample)
            return True
        step = self._steps.step(sample.dts)
        if step is None:
            return False
        self._advance(sample, step)
        return True

    def go_on(self, sample: Sample) -> None:
        """The picture follows the one before it, whatever its time."""
        assert self._steps is not None
        self._advance(sample, self._steps.go_on(sample.dts))

    def _advance(self, sample: Sample, step: int) -> None:
        assert self._steps is not None
        self._emit(step)
        self._pending = (self._steps.now, sample)

    def _emit(self, duration: int) -> None:
        if self._pending is not None:
            time, sample = self._pending
            self._taker.picture(
                Placed(time, duration, _composition(sample) - self._reorder, sample.is_key, sample.data)
            )
            self._pending = None

    # -- sound

    def prune(self, sounds: deque[tuple[Track, Sample]]) -> None:
        """Of what waited, only sound of this epoch stays."""
        if self._grid is None:
            sounds.clear()
            return
        low = self._base - self._grid.frame_samples * CLOCK_HZ // self._grid.rate_hz // 2
        kept = [entry for entry in sounds if low <= entry[1].dts <= self._base + 10 * CLOCK_HZ]
        self._counts.dropped += len(sounds) - len(kept)
        sounds.clear()
        sounds.extend(kept)

    def drain(self, sounds: deque[tuple[Track, Sample]]) -> bool:
        """Frames are taken as far as the pictures are. False when the first that is left is of another clock."""
        is_jump = False
        while sounds and self._grid is not None and sounds[0][0] == self.audio and self._lags():
            sample = sounds[0][1]
            if not self._is_grid_begun:
                self._is_grid_begun = True
                self._grid.begin_at(sample.dts)
            fit = self._grid.fit(sample.dts)
            if fit.verdict == "jump":
                if not self._resume(sample):
                    is_jump = True
                    break
            elif fit.verdict == "drop":
                late_s = (self._grid.next - self._grid.position(sample.dts)) / self._grid.rate_hz
                self._late_s = min(LATE_MAX_S, max(self._late_s, LATE_S + late_s))
                self._counts.dropped += 1
            elif self.video is not None and self._silence_s(fit.silent_frames) > self._reference_s():
                break
            else:
                self._fill(fit.silent_frames)
                self._take(sample)
            sounds.popleft()
        if self.video is not None and self._grid is not None and self._lag_s() > self._late_s:
            self._fill_to(self._reference_s() - self._late_s / 2)
        return not is_jump

    def _resume(self, sample: Sample) -> bool:
        """A frame of another clock is taken when the pictures have gone on without a jump of their own."""
        assert self._grid is not None
        if self.video is None:
            if self.length_s >= EPOCH_MIN_S:
                return False
        elif self._lag_s() < LATE_S:
            return False
        else:
            self._fill_to(self._reference_s())
        self._grid.go_on(sample.dts)
        self._take(sample)
        return True

    def _take(self, sample: Sample) -> None:
        assert self._grid is not None
        if not self._sound or not self._sound.silence:
            self._filler = sample.data  # no silence can be written for this layout: the last frame is said again
        self._taker.sound(Placed(self._grid.take(), self._grid.frame_samples, 0, True, sample.data))

    def _fill_to(self, until_s: float) -> None:
        assert self._grid is not None
        self._fill(int((until_s - self._grid.next_s) * self._grid.rate_hz / self._grid.frame_samples))

    def _fill(self, frames: int) -> None:
        assert self._grid is not None
        if not self._filler:
            return
        self._is_grid_begun = self._is_grid_begun or frames > 0
        for _ in range(frames):
            self._counts.silent_frames += 1
            self._taker.sound(Placed(self._grid.take(), self._grid.frame_samples, 0, True, self._filler))

    def finish(self, sounds: deque[tuple[Track, Sample]]) -> None:
        """The last picture goes out, and the sound until then."""
        if self._steps is not None:
            self._emit(self._steps.usual)
            self._steps.now += self._steps.usual
        if self._grid is None or self.video is None:
            return
        end_s = self._reference_s()
        while sounds and sounds[0][0] == self.audio and self._grid.next_s < end_s:
            fit = self._grid.fit(sounds[0][1].dts)
            if fit.verdict == "jump" or (fit.verdict == "take" and self._silence_s(fit.silent_frames) >= end_s):
                break
            if fit.verdict == "take":
                self._fill(fit.silent_frames)
                self._take(sounds[0][1])
            sounds.popleft()
        self._fill_to(end_s + self._grid.frame_samples / 2 / self._grid.rate_hz)

    def _silence_s(self, frames: int) -> float:
        assert self._grid is not None
        return self._grid.next_s + frames * self._grid.frame_samples / self._grid.rate_hz


def _composition(sample: Sample) -> int:
    bound = int(MAX_COMPOSITION_S * CLOCK_HZ)
    return sample.cts if -bound <= sample.cts <= bound else 0
