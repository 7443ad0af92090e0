"""The source's own samples as a rendition: judged once, then repackaged from the sample tables without any encoder.

Invariants: a picture rung is offered only for H.264 that every player decodes (8-bit 4:2:0, progressive, upright,
square pixels), whose frames sit one by one on the plan's grid, and is cut only at IDR pictures with nothing decoded
later that is shown earlier. Sound is offered only for AAC-LC of one or two channels that covers the timeline without
a hole. Samples are never changed; the edit list of the init segment says where time 0 is, so presentation times
equal those of the encoded renditions; pictures are on the same clock as theirs.
"""

import dataclasses
import itertools
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import copybox, mp4
from fastpix_server.engine.boxes import BoxError
from fastpix_server.engine.cadence import is_on_grid
from fastpix_server.engine.copy_verdict import CopyAudio, CopyVerdict, CopyVideo
from fastpix_server.engine.source import AudioFacts, Source, VideoFacts
from fastpix_server.engine.timeline import AAC_FRAME_SAMPLES, AudioRendition, Plan, Timeline, VideoRendition

AUDIO_RATES_HZ = (44100, 48000)  # every browser plays these; the rest is resampled
PRIMING_FRAMES = 3  # encoders put one to three frames before the first audible one; they settle the decoder
NAL_SEARCH_BYTES = 64 * 1024  # the first slice comes after parameter sets and messages, which are small
MAX_SEGMENT_BYTES = 128 << 20  # 8 s at 128 Mb/s, far above any tier's cap

_IDR, _OTHER_SLICE = 5, 1
_PROFILES = (66, 77, 100)  # Baseline, Main, High


def judge(path: Path, source: Source) -> CopyVerdict | None:
    """What may be copied, or None. Reads the sample tables and the start of each key frame; never raises for doubts."""
    if not source.has_sample_index:
        return None
    try:
        index = mp4.read_index(path)
        if index is None:
            return None
        video = _judge_video(path, source, index)
        audios = [_judge_audio(index, source, position) for position in range(len(source.audios))]
    except (BoxError, SourceFault, struct.error, ValueError, IndexError):
        return None
    sound = tuple(a for a in audios if a is not None)
    return CopyVerdict(video, sound) if video or sound else None


def _judge_video(path: Path, source: Source, index: mp4.Index) -> CopyVideo | None:
    facts = source.video
    track = track_of(index, facts.stream_index, "vide") if facts else None
    if facts is None or track is None or track.samples is None or not _is_plain(facts, track):
        return None
    config = copybox.avc_config(track.stsd)
    if config is None or config.profile not in _PROFILES:
        return None
    frames = _frames_on_grid(track, source.start_s, facts)
    if frames is None:
        return None
    clean = [i for i in _closed_keys(track.samples) if is_idr(path, track.samples, i, config.nal_length_bytes)]
    if not clean or clean[0] != 0 or frames[0] != 0:
        return None
    before = np.cumsum(track.samples.size) - track.samples.size
    return CopyVideo(
        width=facts.width,
        height=facts.height,
        codec=config.codec,
        cut_frames=tuple(int(frames[i]) for i in clean),
        cut_bytes=tuple(int(before[i]) for i in clean),
        total_bytes=int(track.samples.size.sum()),
        frames=len(frames),
    )


def _is_plain(facts: VideoFacts, track: mp4.Track) -> bool:
    is_eight_bit = facts.codec == "h264" and facts.pix_fmt == "yuv420p" and facts.bit_depth == 8
    is_flat = not (facts.is_interlaced or facts.is_vfr or facts.is_hdr or facts.rotation_deg)
    is_square = (
        (facts.display_width, facts.display_height) == (facts.width, facts.height) == (track.width, track.height)
    )
    is_even = facts.width % 2 == 0 and facts.height % 2 == 0
    is_single = track.codec == "avc1" and track.stsd_entries == 1 and track.is_upright and track.pixel_aspect == (1, 1)
    return is_eight_bit and is_flat and is_square and is_even and is_single


def _frames_on_grid(track: mp4.Track, start_s: float, facts: VideoFacts) -> mp4.Ints | None:
    """The grid frame of each sample in decode order, when they are exactly the frames 0 to n-1."""
    assert track.samples is not None
    times = track.times_s() - start_s
    if not is_on_grid(np.sort(times), facts.fps):
        return None
    frames: mp4.Ints = np.rint(times * float(facts.fps)).astype(np.int64)
    if int(frames.min()) != 0 or len(frames) != facts.frames or not bool((track.samples.duration[:-1] > 0).all()):
        return None
    return frames


def _closed_keys(samples: mp4.Samples) -> list[int]:
    """Key samples with nothing shown later before them and nothing shown earlier after them (in decode order)."""
    earliest_after = np.minimum.accumulate(samples.pts[::-1])[::-1]
    latest_before = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(samples.pts)[:-1]])
    closed = samples.is_key & (earliest_after == samples.pts) & (latest_before < samples.pts)
    return [int(i) for i in np.flatnonzero(closed)]


def is_idr(path: Path, samples: mp4.Samples, i: int, length_bytes: int) -> bool:
    """Whether the first slice of sample i is of an IDR picture: sync samples of open groups are not."""
    size = min(int(samples.size[i]), NAL_SEARCH_BYTES)
    data = read_runs(path, [(int(samples.offset[i]), size)])
    at = 0
    while at + length_bytes < len(data):
        kind = data[at + length_bytes] & 0x1F
        if kind in (_IDR, _OTHER_SLICE):
            return kind == _IDR
        at += length_bytes + int.from_bytes(data[at : at + length_bytes], "big")
    return False


def _judge_audio(index: mp4.Index, source: Source, position: int) -> CopyAudio | None:
    facts = source.audios[position]
    track = track_of(index, facts.stream_index, "soun")
    if track is None or track.samples is None or not _is_plain_aac(facts, track):
        return None
    first, shift = _audio_origin(track, source.start_s)
    durations = track.samples.duration
    if first < 0 or shift < -AAC_FRAME_SAMPLES // 2 or not bool((durations[:-1] == AAC_FRAME_SAMPLES).all()):
        return None
    frames = len(track.samples) - first
    seconds = len(track.samples) * AAC_FRAME_SAMPLES / facts.sample_rate_hz
    return CopyAudio(
        stream_index=facts.stream_index,
        sample_rate_hz=facts.sample_rate_hz,
        channels=facts.channels,
        bitrate_bps=round(int(track.samples.size.sum()) * 8 / seconds),
        frames=frames,
    )


def _is_plain_aac(facts: AudioFacts, track: mp4.Track) -> bool:
    is_lc = facts.codec == "aac" and facts.profile == "LC" and facts.channels in (1, 2)
    is_single = track.codec == "mp4a" and track.stsd_entries == 1 and track.timescale == facts.sample_rate_hz
    return (
        is_lc
        and is_single
        and facts.sample_rate_hz in AUDIO_RATES_HZ
        and copybox.is_aac_lc(track.stsd, facts.sample_rate_hz, facts.channels)
    )


def track_of(index: mp4.Index, stream_index: int, kind: str) -> mp4.Track | None:
    """ffmpeg's stream index is the track's place in the file (every track becomes a stream)."""
    track = index.tracks[stream_index] if stream_index < len(index.tracks) else None
    return track if track and track.kind == kind else None


def _audio_origin(track: mp4.Track, start_s: float) -> tuple[int, int]:
    """The sample that is frame 0 of the plan's grid, and the media time (ticks) of presentation time 0."""
    shift = track.media_time + round((start_s - track.empty_s) * track.timescale)
    return round(shift / AAC_FRAME_SAMPLES), shift


def read_runs(path: Path, runs: Sequence[tuple[int, int]]) -> bytes:
    """The bytes of (offset, size) runs, in order. Raises SourceFault when the file is shorter than it was."""
    parts = []
    with path.open("rb") as file:
        for offset, size in runs:
            part = os.pread(file.fileno(), size, offset)
            if len(part) != size:
                raise SourceFault("truncated", "The file is shorter than its index says.")
            parts.append(part)
    return b"".join(parts)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _CopyTrack:
    """One rendition's samples: segment k is runs[k] (first, end) in decode order, shown `delays[k]` ticks later than
    the file shows it."""

    track: mp4.Track
    runs: tuple[tuple[int, int], ...]
    delays: tuple[int, ...]
    shift: int  # media time of presentation time 0; negative when the samples begin later than time 0


class CopySource:
    """A source opened for copying. Safe to use from several threads: nothing changes after `open`."""

    def __init__(self, path: Path, tracks: dict[str, _CopyTrack]) -> None:
        self._path = path
        self._tracks = tracks

    @classmethod
    def open(cls, path: Path, plan: Plan) -> Self:
        """Read the tables again (27 ms for an hour) and find the plan's cuts in them.

        Raises ServiceFault when the file is not the one that was planned.
        """
        index = mp4.read_index(path)
        if index is None:
            raise _not_planned()
        tracks: dict[str, _CopyTrack] = {}
        for video in plan.videos:
            if video.kind == "copy":
                tracks[video.name] = _video_track(index, plan, video)
        for audio in plan.audios:
            if audio.kind == "copy":
                tracks[audio.name] = _sound_track(index, plan, audio)
        return cls(path, tracks)

    def init(self, name: str) -> bytes:
        """The init segment of the copy rendition `name`."""
        chosen = self._tracks[name]
        return copybox.init_segment(chosen.track, max(chosen.shift, 0))

    def segment(self, name: str, k: int) -> bytes:
        """Segment k as one CMAF fragment. Raises SourceFault when the file got shorter."""
        chosen = self._tracks[name]
        first, end = chosen.runs[k]
        samples = chosen.track.samples
        assert samples is not None
        if int(samples.size[first:end].sum()) > MAX_SEGMENT_BYTES:
            raise SourceFault("segment_too_large", "A segment of the source is too large to be served as it is.")
        data = read_runs(self._path, _runs(samples.offset[first:end], samples.size[first:end]))
        decode_time = int(samples.dts[first]) + max(-chosen.shift, 0) + chosen.delays[k]
        every_is_sync = chosen.track.kind == "soun"
        return copybox.fragment(samples, first, end, k + 1, decode_time, data, every_is_sync=every_is_sync)


def _video_track(index: mp4.Index, plan: Plan, rendition: VideoRendition) -> _CopyTrack:
    track = track_of(index, plan.video.stream_index, "vide") if plan.video else None
    if track is None or track.samples is None or plan.video is None:
        raise _not_planned()
    frames = _frames_on_grid(track, plan.start_s, plan.video)
    if frames is None or (track.width, track.height) != (rendition.width, rendition.height):
        raise _not_planned()
    sample_of_frame = [*np.argsort(frames).tolist(), len(frames)]
    timeline = plan.timeline
    runs: list[tuple[int, int]] = []
    delays: list[int] = []
    for k in range(timeline.segment_count):
        begin = round(plan.file_s(k) * timeline.fps)
        end = begin + timeline.cuts[k + 1] - timeline.cuts[k]
        if end > len(frames) or sample_of_frame[begin] >= sample_of_frame[end]:
            raise _not_planned()
        runs.append((sample_of_frame[begin], sample_of_frame[end]))
        delays.append((timeline.cuts[k] - begin) * timeline.frame_ticks)
    return _on_plan_clock(track, frames, plan, runs, delays)


def _on_plan_clock(
    track: mp4.Track, frames: mp4.Ints, plan: Plan, runs: Sequence[tuple[int, int]], delays: Sequence[int]
) -> _CopyTrack:
    """The same samples in ticks of the encoded renditions.

    A player that changes from one rung to another with a different timescale maps its clock anew (hls.js 1.7 does, and
    is then off by the composition delay): with one timescale there is nothing to map.
    """
    assert track.samples is not None
    timeline = plan.timeline
    scale = timeline.timescale / track.timescale
    shift = round((track.media_time + (plan.start_s - track.empty_s) * track.timescale) * scale)
    dts: mp4.Ints = np.rint(track.samples.dts * scale).astype(np.int64)
    last = max(1, round(int(track.samples.duration[-1]) * scale))
    samples = dataclasses.replace(
        track.samples,
        dts=dts,
        pts=frames * timeline.frame_ticks + shift,
        duration=np.append(np.diff(dts), last),
    )
    track = dataclasses.replace(track, timescale=timeline.timescale, samples=samples)
    return _CopyTrack(track, tuple(runs), tuple(delays), shift)


def _sound_track(index: mp4.Index, plan: Plan, rendition: AudioRendition) -> _CopyTrack:
    track = track_of(index, rendition.stream_index, "soun")
    if track is None or track.samples is None:
        raise _not_planned()
    first, shift = _audio_origin(track, plan.start_s)
    runs = _sound_runs(plan.timeline, first, len(track.samples))
    return _CopyTrack(track, runs, (0,) * len(runs), shift)


def _sound_runs(timeline: Timeline, first: int, count: int) -> tuple[tuple[int, int], ...]:
    """The first segment keeps the priming frames; the last ends where the sound does."""
    inner = [cut + first for cut in timeline.audio_cuts[1:-1]]
    bounds = [max(0, first - PRIMING_FRAMES), *inner, min(timeline.audio_cuts[-1] + first, count)]
    if not _is_rising(bounds):
        raise _not_planned()
    return tuple(itertools.pairwise(bounds))


def _is_rising(bounds: Sequence[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(bounds))


def _runs(offsets: mp4.Ints, sizes: mp4.Ints) -> list[tuple[int, int]]:
    """Neighbouring samples joined into single reads."""
    breaks = np.flatnonzero(offsets[1:] != offsets[:-1] + sizes[:-1]) + 1
    starts = np.concatenate([[0], breaks]).astype(np.int64)
    return list(zip(offsets[starts].tolist(), np.add.reduceat(sizes, starts).tolist(), strict=True))


def _not_planned() -> ServiceFault:
    return ServiceFault("copy_mismatch", "The stored source is not the file that the plan was made from.")
