"""Looks at a file once and says what is in it, or why it cannot be used.

Invariants: ffprobe sees only files whose container was recognised (sniff.py), with that one demuxer, no network and its
own limits; nothing is decoded beyond what ffprobe needs to name the streams; every refusal is a SourceFault with a
stable code and a sentence for the user.
"""

import asyncio
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import binaries, cadence, mp4
from fastpix_server.engine.run import Limits, Runner
from fastpix_server.engine.sniff import Container, sniff
from fastpix_server.engine.source import AudioFacts, Source, VideoFacts

MAX_DURATION_S = 12 * 3600
MAX_PIXELS = 40_000_000  # 8K is 33 million
MAX_SIDE_PIXELS = 16384  # the largest that H.264 and HEVC decoders take
MAX_GAP_S = 60  # a longer hole would be filled with copies of one frame
MAX_STREAMS = 32
MAX_AUDIOS = 8  # each is a rendition to make and to store

# ffprobe reads headers and a few seconds; a sound 60-minute file takes 0.1 s. What needs more is hostile.
PROBE_LIMITS = Limits(cpu_s=20, wall_s=40)
MAX_REPORT_BYTES = 4 << 20  # 32 streams are about 60 KB

# What the MP4 muxer takes unchanged, and players' decoders read back.
_MP4_VIDEO = frozenset(("h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg"))
_MP4_AUDIO = frozenset(("aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "vorbis", "pcm_s16le", "pcm_s24le"))
# Containers of sound alone in which a position in time is only guessed from the bit rate.
_GUESSED_SEEKS = frozenset(("aac", "mp3"))


async def probe(path: Path, *, run: Runner) -> Source:
    """Facts about the file at an absolute path.

    Raises SourceFault for whatever is wrong with the file, ServiceFault when ffprobe itself could not run.
    A `duration_s` of 0 means that only a remux will tell (`needs_remux` is then true).
    """
    container = await asyncio.to_thread(sniff, path)
    index = await asyncio.to_thread(mp4.read_index, path) if container.demuxer == "mov" else None
    report = await _ffprobe(path, container, run)
    streams = report.get("streams", [])
    if len(streams) > MAX_STREAMS:
        raise SourceFault("too_many_streams", f"The file has {len(streams)} streams; {MAX_STREAMS} are the limit.")
    return _Reader(container, index, report, path.stat().st_size).source()


def needs_remux(source: Source) -> bool:
    """Whether a copy into MP4, without encoding, must come first to have exact positions in time."""
    if source.has_sample_index:
        return False
    if any(a.codec not in _MP4_AUDIO for a in source.audios):
        return False
    if source.video is None:
        return source.container in _GUESSED_SEEKS or source.duration_s == 0
    return source.video.codec in _MP4_VIDEO


async def _ffprobe(path: Path, container: Container, run: Runner) -> dict[str, Any]:
    argv = [binaries.ffprobe(), "-v", "error", "-hide_banner"]
    argv += ["-protocol_whitelist", "file", "-format_whitelist", container.demuxer]
    argv += ["-probesize", "20M", "-analyzeduration", "20M"]
    argv += ["-max_pixels", str(MAX_PIXELS), "-show_format", "-show_streams", "-of", "json", f"file:{path.absolute()}"]
    done = await run(argv, limits=PROBE_LIMITS, max_output_bytes=MAX_REPORT_BYTES)
    if done.returncode in (126, 127):
        raise ServiceFault("ffprobe_missing", "ffprobe could not be started.")
    unreadable = SourceFault(
        "unreadable", f"The file looks like {container.name.upper()} but cannot be read: it is damaged or incomplete."
    )
    if b"max pixel count" in done.stderr and not done.is_ok:
        raise _too_many_pixels("larger than that")
    if not done.is_ok:
        raise unreadable
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise unreadable from None
    return report


class _Reader:
    """ffprobe's report and the sample tables, read together."""

    def __init__(self, container: Container, index: mp4.Index | None, report: dict[str, Any], size_bytes: int) -> None:
        self._container = container
        self._index = index
        self._format: dict[str, Any] = report.get("format", {})
        self._streams: list[dict[str, Any]] = report.get("streams", [])
        self._size_bytes = size_bytes
        self._start_s = _number(self._format.get("start_time"))

    def source(self) -> Source:
        _refuse_encrypted(self._streams)
        pictures = [s for s in self._streams if s.get("codec_type") == "video" and not _is_attached(s)]
        video = self._video(pictures[0]) if pictures else None
        sounds = [s for s in self._streams if s.get("codec_type") == "audio" and s.get("codec_name")]
        sounds.sort(key=lambda s: not s.get("disposition", {}).get("default", 0))
        audios = tuple(_audio(s) for s in sounds[:MAX_AUDIOS])
        if video is None and not audios:
            raise SourceFault("no_media", "The file has neither a video nor an audio stream that can be played.")
        source = Source(
            container=self._name(video),
            has_sample_index=self._index is not None,
            duration_s=self._duration_s(video),
            start_s=self._start_s,
            size_bytes=self._size_bytes,
            video=video,
            audios=audios,
        )
        _check_duration(source)
        return source

    def _name(self, video: VideoFacts | None) -> str:
        return "m4a" if video is None and self._container.name == "mp4" else self._container.name

    def _duration_s(self, video: VideoFacts | None) -> float:
        stated = max(_number(self._format.get("duration")), 0.0)
        shown = float(video.frames / video.fps) if video else 0.0
        return max(stated, shown)

    def _track(self, stream: dict[str, Any]) -> mp4.Track | None:
        if self._index is None:
            return None
        number = int(str(stream.get("id", "0x0")), 16)
        return next((t for t in self._index.tracks if t.track_id == number), None)

    def _video(self, stream: dict[str, Any]) -> VideoFacts:
        track = self._track(stream)
        width, height = int(stream.get("width", 0)), int(stream.get("height", 0))
        _check_size(max(width, track.width if track else 0), max(height, track.height if track else 0))
        if not stream.get("codec_name") or not width or not height:
            raise SourceFault("unsupported_codec", "The video is in a codec that cannot be read, or it is damaged.")
        rotation = _rotation(stream)
        shown = _displayed(width, height, stream.get("sample_aspect_ratio", ""), rotation)
        pace, frames, keyframes = self._timing(stream, track)
        return VideoFacts(
            stream_index=int(stream["index"]),
            codec=stream["codec_name"],
            width=width,
            height=height,
            display_width=shown[0],
            display_height=shown[1],
            rotation_deg=rotation,
            fps=pace.fps,
            is_vfr=pace.is_vfr,
            frames=frames,
            pix_fmt=stream.get("pix_fmt", ""),
            bit_depth=_bit_depth(stream),
            transfer=stream.get("color_transfer", ""),
            is_interlaced=stream.get("field_order") in ("tt", "bb", "tb", "bt"),
            bitrate_bps=_bitrate(stream, self._format),
            keyframes_s=keyframes,
        )

    def _timing(
        self, stream: dict[str, Any], track: mp4.Track | None
    ) -> tuple[cadence.Cadence, int, tuple[float, ...] | None]:
        """Cadence, frames on the grid from time 0 to the end of the picture, key frames if there is an index."""
        if track is None or track.samples is None:
            pace = cadence.from_rates(_rate(stream.get("r_frame_rate")), _rate(stream.get("avg_frame_rate")))
            _check_rate(pace)
            begin = _number(stream.get("start_time"), self._start_s) - self._start_s
            length = _number(stream.get("duration")) or _tagged_duration(stream)
            end = begin + length if length else _number(self._format.get("duration"))
            return pace, round(max(end, 0.0) * pace.fps), None
        times = track.times_s() - self._start_s
        end = track.end_s() - self._start_s
        shown = np.sort(times[(times > -1e-6) & (times < end)])
        if not len(shown):
            raise SourceFault("no_media", "The video stream holds no picture that would ever be shown.")
        pace = cadence.from_times(shown)
        _check_rate(pace)
        _check_gaps(shown, end)
        keys = np.sort(times[track.samples.is_key & (times < end)])
        return pace, max(1, round(end * pace.fps)), tuple(float(t) for t in keys)


def _audio(stream: dict[str, Any]) -> AudioFacts:
    tags = {key.lower(): str(value) for key, value in stream.get("tags", {}).items()}
    return AudioFacts(
        stream_index=int(stream["index"]),
        codec=stream["codec_name"],
        profile=str(stream.get("profile", "")),
        channels=int(stream.get("channels", 0)),
        sample_rate_hz=int(stream.get("sample_rate", 0)),
        language=tags.get("language", "") or "und",
        title=tags.get("title", ""),
        bitrate_bps=int(_number(stream.get("bit_rate"))),
    )


def _is_attached(stream: dict[str, Any]) -> bool:
    """Cover art and chapter thumbnails are pictures beside the media, not video."""
    disposition = stream.get("disposition", {})
    return bool(disposition.get("attached_pic") or disposition.get("timed_thumbnails"))


def _refuse_encrypted(streams: list[dict[str, Any]]) -> None:
    if any(s.get("codec_tag_string") in ("encv", "enca", "drmi", "drms") for s in streams):
        raise SourceFault("encrypted", "The file is protected (encrypted), so it cannot be read.")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PIXELS:
        raise _too_many_pixels(f"{width}x{height}")


def _too_many_pixels(size: str) -> SourceFault:
    most = f"At most {MAX_SIDE_PIXELS} pixels a side and {MAX_PIXELS // 1_000_000} million in all are accepted"
    return SourceFault("too_many_pixels", f"{most}; the picture is {size}.")


def _check_rate(pace: cadence.Cadence) -> None:
    if not cadence.MIN_SOURCE_FPS * 0.99 <= pace.source_fps <= cadence.MAX_SOURCE_FPS * 1.01:
        raise SourceFault(
            "bad_frame_rate",
            f"The video has {pace.source_fps:.4g} frames per second; {cadence.MIN_SOURCE_FPS} to "
            f"{cadence.MAX_SOURCE_FPS} are accepted.",
        )


def _check_gaps(shown: np.ndarray, end_s: float) -> None:
    """`shown` is sorted. The picture may also not begin, or stand still at the end, later than the limit."""
    gap = float(np.diff(np.concatenate([[0.0], shown, [end_s]])).max())
    if gap > MAX_GAP_S:
        raise SourceFault(
            "long_gap", f"The video has a hole of {gap:.0f} s without a frame; {MAX_GAP_S} s are the limit."
        )


def _check_duration(source: Source) -> None:
    if source.duration_s > MAX_DURATION_S:
        raise SourceFault(
            "too_long", f"The media lasts {source.duration_s / 3600:.1f} h; {MAX_DURATION_S // 3600} h are the limit."
        )
    if source.duration_s <= 0 and not needs_remux(source):
        raise SourceFault("unknown_duration", "The file does not say how long it is, and it cannot be found out.")


def _rotation(stream: dict[str, Any]) -> int:
    """Clockwise, in right angles; ffprobe counts the other way round."""
    for side in stream.get("side_data_list", []):
        if "rotation" in side:
            return round(-_number(side["rotation"]) / 90) * 90 % 360
    return 0


def _displayed(width: int, height: int, aspect: str, rotation_deg: int) -> tuple[int, int]:
    """The height stays and the width is stretched, as players do it; a senseless pixel shape is taken as square."""
    across, _, down = aspect.partition(":")
    shape = Fraction(int(across), int(down)) if across.isdigit() and down.isdigit() and int(down) else Fraction(0)
    if Fraction(1, 8) <= shape <= 8:
        width = max(1, round(width * shape))
    return (height, width) if rotation_deg in (90, 270) else (width, height)


def _bit_depth(stream: dict[str, Any]) -> int:
    stated = int(_number(stream.get("bits_per_raw_sample")))
    named = next((depth for depth in (9, 10, 12, 14, 16) if f"p{depth}" in str(stream.get("pix_fmt", ""))), 8)
    return max(stated if 8 <= stated <= 16 else 8, named)


def _bitrate(stream: dict[str, Any], container: dict[str, Any]) -> int:
    return int(_number(stream.get("bit_rate")) or _number(container.get("bit_rate")))


def _tagged_duration(stream: dict[str, Any]) -> float:
    """Matroska's statistics tag: "00:01:02.003000000"."""
    parts = str(stream.get("tags", {}).get("DURATION", "")).split(":")
    if len(parts) != 3:
        return 0.0
    hours, minutes, seconds = (_number(part) for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _rate(text: str | None) -> Fraction:
    over, _, under = (text or "").partition("/")
    return Fraction(int(over), int(under)) if over.isdigit() and under.isdigit() and int(under) else Fraction(0)


def _number(value: Any, default: float = 0.0) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return number if abs(number) < 1e12 else default
