"""From facts to the plan: where segments begin and which renditions there are, before a frame is encoded.

The plan's types live in timeline.py and are named here too, because this is the module that the rest of the platform
knows. Making a plan starts no process and reads no file.
"""

import dataclasses
import math
from fractions import Fraction

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import cuts as cutting
from fastpix_server.engine import ladder
from fastpix_server.engine.copy_verdict import AUDIO_SHORTFALL_FRAMES, CopyVerdict, CopyVideo
from fastpix_server.engine.plan_json import revision_of
from fastpix_server.engine.source import AudioFacts, Source, VideoFacts
from fastpix_server.engine.timeline import (
    AAC_FRAME_SAMPLES,
    AudioRendition,
    Plan,
    Timeline,
    VideoRendition,
)

__all__ = ["AAC_FRAME_SAMPLES", "AudioRendition", "Plan", "Timeline", "VideoRendition", "make_plan"]

COPY_NAME = "source"
AUDIO_RATE_HZ = 48000  # what sound is resampled to
AUDIO_CODEC = "mp4a.40.2"
MAX_COPY_AUDIO_BPS = 320_000  # above it the sound is encoded anew: it would crowd out the lowest rungs
# Sound may outlast the picture by this much inside the last segment; if it is longer, the last picture is held.
MAX_OVERHANG_S = 0.5
# The copy rung against the cap that an encoded one of its size would have: on average, and in its worst segment.
MAX_COPY_AVERAGE = 1.5
MAX_COPY_PEAK = 3.0
_SAME_SIZE = 0.9  # encoded rungs of nearly the copy's size are not worth their cost

SHORT_SIDES = {"2160p": 2160, "1440p": 1440, "1080p": 1080, "720p": 720, "480p": 480, "360p": 360}
_MIN_TIMESCALE = 10_000  # a tick of 0.1 ms or less


def make_plan(
    source: Source, *, max_resolution: str = "1080p", quality: str = "standard", copy: CopyVerdict | None = None
) -> Plan:
    """The plan of a probed source (after the remux, where one is needed).

    Raises SourceFault when the source is empty or of unknown length. `max_resolution` and `quality` are those of the
    API; a value that it does not know is a KeyError.
    """
    if source.duration_s <= 0:
        raise SourceFault("unknown_duration", "The media has no length: nothing in it can be played.")
    tier, cap = ladder.TIERS[quality], SHORT_SIDES[max_resolution]
    video = None if source.video is None else dataclasses.replace(source.video, keyframes_s=None)
    videos: tuple[VideoRendition, ...] = ()
    if source.video is None:
        rate_hz = _audio_rate(source, copy)
        timeline, seeks = _sound_timeline(source, rate_hz)
    else:
        candidate = affordable(copy.video if copy else None, source.video, tier, cap)
        timeline, seeks = _picture_timeline(source, source.video, candidate, _audio_rate(source, copy))
        videos = video_renditions(source.video, timeline, candidate, tier, cap)
    plan = Plan(
        revision="",
        container=source.container,
        start_s=source.start_s,
        duration_s=source.duration_s,
        timeline=timeline,
        video=video,
        seeks_s=seeks,
        videos=videos,
        audios=audio_renditions(source, timeline, copy, tier),
    )
    return dataclasses.replace(plan, revision=revision_of(plan))


def _picture_timeline(
    source: Source, video: VideoFacts, copy: CopyVideo | None, rate_hz: int
) -> tuple[Timeline, tuple[float | None, ...]]:
    frames = frames_of(source, video)
    cuts = _picture_cuts(video, frames, copy)
    timescale, ticks = timescale_of(video.fps)
    starts = [Fraction(cut * ticks, timescale) for cut in cuts]
    end = max(starts[-1], Fraction(source.duration_s).limit_denominator(rate_hz))
    timeline = Timeline(
        fps=video.fps,
        timescale=timescale,
        frame_ticks=ticks,
        cuts=cuts,
        audio_rate_hz=rate_hz,
        audio_cuts=cutting.audio_cuts(starts[:-1], end, rate_hz) if source.audios else (0,) * len(cuts),
    )
    return timeline, cutting.seeks(cuts, video.fps, video.keyframes_s)


def frames_of(source: Source, video: VideoFacts) -> int:
    """Frames on the grid that are shown of the file: the last one is held while the sound goes on for long."""
    frames = max(1, video.frames)
    is_overhanging = source.duration_s - float(frames / video.fps) > MAX_OVERHANG_S
    return round(source.duration_s * video.fps) if is_overhanging else frames


def _picture_cuts(video: VideoFacts, frames: int, copy: CopyVideo | None) -> tuple[int, ...]:
    """At clean IDR pictures when the copy rung is wanted and allows it, else at key frames, else on a grid."""
    if copy is not None and copy.frames == frames:
        chosen = cutting.key_cuts(frames, video.fps, copy.cut_frames, max_gop_s=cutting.MAX_COPY_GOP_S)
        if chosen is not None:
            return chosen
    if video.keyframes_s is not None:
        keys = sorted({cutting.key_frame_index(t, video.fps) for t in video.keyframes_s})
        chosen = cutting.key_cuts(frames, video.fps, keys, max_gop_s=cutting.MAX_GOP_S)
        if chosen is not None:
            return chosen
    return cutting.grid_cuts(frames, cutting.target_frames(video.fps))


def timescale_of(fps: Fraction) -> tuple[int, int]:
    """Ticks per second and per frame: the rate's own numbers, made finer where they are coarse."""
    factor = 1 if fps.numerator >= _MIN_TIMESCALE else 1000
    return fps.numerator * factor, fps.denominator * factor


def _sound_timeline(source: Source, rate_hz: int) -> tuple[Timeline, tuple[float | None, ...]]:
    """Without a picture the AAC frames are the grid, so that cuts are exact in both."""
    fps = Fraction(rate_hz, AAC_FRAME_SAMPLES)
    frames = max(1, math.ceil(Fraction(source.duration_s).limit_denominator(rate_hz) * fps))
    cuts = cutting.grid_cuts(frames, round(cutting.AUDIO_ONLY_TARGET_S * fps))
    timeline = Timeline(
        fps=fps,
        timescale=rate_hz,
        frame_ticks=AAC_FRAME_SAMPLES,
        cuts=cuts,
        audio_rate_hz=rate_hz,
        audio_cuts=cuts,
    )
    return timeline, (None,) * (len(cuts) - 1)


def affordable(copy: CopyVideo | None, video: VideoFacts, tier: ladder.Tier, cap: int) -> CopyVideo | None:
    """The copy candidate, unless it is larger than allowed or costs viewers far more bits than an encoded rung."""
    if copy is None or min(copy.width, copy.height) > cap:
        return None
    average_bps = copy.total_bytes * 8 * video.fps / copy.frames
    limit = ladder.max_bitrate_bps(copy.width, copy.height, video.fps, tier)
    return copy if average_bps <= limit * MAX_COPY_AVERAGE else None


def video_renditions(
    video: VideoFacts, timeline: Timeline, copy: CopyVideo | None, tier: ladder.Tier, cap: int
) -> tuple[VideoRendition, ...]:
    encoded = ladder.rungs(video.display_width, video.display_height, video.fps, max_short_side=cap, tier=tier)
    own = _copy_rung(copy, timeline, tier) if copy else None
    if own is None:
        return encoded
    smaller = [r for r in encoded if min(r.width, r.height) < _SAME_SIZE * min(own.width, own.height)]
    return (own, *smaller)


def _copy_rung(copy: CopyVideo, timeline: Timeline, tier: ladder.Tier) -> VideoRendition | None:
    """The source as a rung, if every cut of the timeline is a clean one and no segment is far too heavy."""
    sizes = copy.segment_bytes(timeline.cuts)
    if sizes is None:
        return None
    peak_bps = max(math.ceil(size * 8 / timeline.segment_s(k)) for k, size in enumerate(sizes))
    if peak_bps > MAX_COPY_PEAK * ladder.max_bitrate_bps(copy.width, copy.height, timeline.fps, tier):
        return None
    return VideoRendition(
        name=COPY_NAME,
        kind="copy",
        width=copy.width,
        height=copy.height,
        max_bitrate_bps=peak_bps,
        average_bitrate_bps=math.ceil(copy.total_bytes * 8 / timeline.start_s(timeline.segment_count)),
        crf=0,
        preset="",
        codec=copy.codec,
    )


def _audio_rate(source: Source, copy: CopyVerdict | None) -> int:
    """The rate of the default sound when that is copied: all renditions share one grid."""
    first = copy.audio(source.audios[0].stream_index) if copy and source.audios else None
    return first.sample_rate_hz if first and first.bitrate_bps <= MAX_COPY_AUDIO_BPS else AUDIO_RATE_HZ


def audio_renditions(
    source: Source, timeline: Timeline, copy: CopyVerdict | None, tier: ladder.Tier
) -> tuple[AudioRendition, ...]:
    titles = _titles(source.audios)
    return tuple(_audio(f"a{i}", facts, titles[i], timeline, copy, tier) for i, facts in enumerate(source.audios))


def _audio(
    name: str, facts: AudioFacts, title: str, timeline: Timeline, copy: CopyVerdict | None, tier: ladder.Tier
) -> AudioRendition:
    own = copy.audio(facts.stream_index) if copy else None
    is_copied = (
        own is not None
        and own.sample_rate_hz == timeline.audio_rate_hz
        and own.bitrate_bps <= MAX_COPY_AUDIO_BPS
        and own.frames >= timeline.audio_cuts[-1] - AUDIO_SHORTFALL_FRAMES
    )
    channels = 1 if facts.channels == 1 else 2
    encoded_bps = tier.audio_bitrate_bps if channels == 2 else tier.audio_bitrate_bps * 5 // 8
    return AudioRendition(
        name=name,
        kind="copy" if is_copied else "encode",
        stream_index=facts.stream_index,
        channels=channels,
        sample_rate_hz=timeline.audio_rate_hz,
        bitrate_bps=own.bitrate_bps if is_copied and own else encoded_bps,
        language=facts.language,
        title=title,
        codec=AUDIO_CODEC,
    )


def _titles(audios: tuple[AudioFacts, ...]) -> list[str]:
    """What a menu shows: the file's title, else the language, else a number; each once."""
    if len(audios) == 1:
        return [audios[0].title or "default"]
    titles: list[str] = []
    for number, facts in enumerate(audios, 1):
        wanted = facts.title or (facts.language if facts.language != "und" else f"Audio {number}")
        titles.append(f"{wanted} ({number})" if wanted in titles else wanted)
    return titles
