"""Plan and range -> the exact ffmpeg arguments for pictures in motion. Pure text: nothing is started or read here.

The order of the filters and nearly every flag was measured (frame-exact on 19 kinds of source); the comments say what
breaks without them. ffmpeg gets a local path chosen by us, never a URL and never a name that a user gave.
"""

import bisect
import dataclasses
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from fastpix_server.engine import binaries
from fastpix_server.engine.edit import Piece
from fastpix_server.engine.framing import composed, fitted, mark_inputs
from fastpix_server.engine.launch import FIRST_OUTPUT_FD
from fastpix_server.engine.plan import Plan, Timeline, VideoRendition
from fastpix_server.engine.sandbox import MIB, Limits
from fastpix_server.engine.source import VideoFacts

# Containers that we open. Not among them: playlists and scripts (hls, dash, concat, sdp, image2 ...), which make
# ffmpeg open other files of the machine even when only the file protocol is allowed.
FORMATS = (
    "mov,matroska,webm,mpegts,mpeg,mpegvideo,m4v,h264,hevc,avi,flv,live_flv,asf,ogg,wav,w64,aiff,caf,mp3,flac,aac,ac3,"
    "eac3,amr,mxf,gif,ivf,dv,rm"
)
MAX_PIXELS = 40_000_000  # 8K is 33 million; a picture larger than this is an attack on memory

# Where to start decoding when the source has no index: the demuxer looks for a key frame before this much earlier,
# and `fps=start_time` drops what comes too soon. Half a second covers reordering and coarse timestamps.
SEEK_MARGIN_S = Fraction(1, 2)

HD_WIDTH = 1280

GROUP_FRAMES_MAX = 100_000  # x264 never starts a group by itself: only forced key frames cut fragments
B_FRAMES = 3
INIT_FRAMES = 8  # enough for B-frames to appear, so that the edit list is the real one

# Same preset, so the same SPS and PPS and the same init segment; only the search for small bits is left out.
FAST_X264 = "subme=1:me=dia:trellis=0:rc-lookahead=0:mbtree=0"

_PROFILES = {0x42: "baseline", 0x4D: "main", 0x64: "high"}
_BT709 = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
_MOVFLAGS = "frag_keyframe+default_base_moof+delay_moov"  # `cmaf`, or `empty_moov` alone, shows pictures 2 frames late


def preamble() -> list[str]:
    return [binaries.ffmpeg(), "-nostdin", "-hide_banner", "-v", "error"]


def input_guard() -> list[str]:
    """Options in front of every -i: only plain files, only containers of ours, only pictures of bounded size."""
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS, "-max_pixels", str(MAX_PIXELS)]


def input_file(path: Path) -> list[str]:
    return ["-i", f"file:{path.resolve()}"]


def video_command(
    plan: Plan,
    source: Path,
    renditions: Sequence[VideoRendition],
    k0: int,
    k1: int,
    *,
    fast: bool = False,
    threads: int = 0,
    seek_segment: int | None = None,
    marks: Sequence[Path] = (),
) -> list[str]:
    """One process: decode once, n renditions, segments k0..k1-1, one pipe (descriptor 3, 4 ...) per rendition.

    The segments are of one piece of the plan, and `source` is its file. `seek_segment` starts decoding where that
    earlier segment of the piece would, to get past damage. Threads 0: as many as cores. `marks` are the files of the
    plan's watermarks.
    """
    video = plan.piece_at(k0).video
    assert video is not None
    timeline = plan.timeline
    seek_s = seek_before(plan, k0 if seek_segment is None else seek_segment)
    frames = timeline.cuts[k1] - timeline.cuts[k0]
    graph = grid_filters(video, timeline.fps, plan.file_s(k0) - seek_s, frames)
    return [
        *preamble(),
        *input_guard(),
        *_threads(threads),
        # A fatal share of broken packets is not fatal to us: what is missing is filled with the last picture.
        *("-max_error_rate", "1"),
        # -reinit_filter 0: a stream that changes size or colour half-way would restart the graph and its count.
        *("-reinit_filter", "0"),
        *assumed_colours(video),
        # -noaccurate_seek: the graph counts from the key frame itself. Accurate seeking drops by DTS rules.
        *("-noaccurate_seek", "-ss", seconds(seek_s)),
        *input_file(source),
        *mark_inputs(marks),
        *_threads(threads, "-filter_complex_threads"),
        *("-filter_complex", f"[0:{video.stream_index}]{graph},{_fan_out(plan, video, renditions)}"),
        *_outputs(timeline, renditions, _key_frame_times(timeline, k0, k1), fast=fast, threads=threads),
    ]


def black_command(
    timeline: Timeline, renditions: Sequence[VideoRendition], frames: int, cut_times: str = "0", *, fast: bool = False
) -> list[str]:
    """The same outputs from black frames and no source: for init segments, and where a source has a hole."""
    size = f"{renditions[0].width}x{renditions[0].height}"
    graph = f"color=black:size={size}:rate={_rate(timeline.fps)},trim=end_frame={frames},setpts=N"
    scaled = _split(len(renditions)) + "".join(_scaled(i, r) for i, r in enumerate(renditions))
    outputs = _outputs(timeline, renditions, cut_times, fast=fast, threads=1)
    return [*preamble(), "-filter_complex", f"{graph},{scaled}", *outputs]


def black_segments_command(
    plan: Plan, renditions: Sequence[VideoRendition], k0: int, k1: int, *, fast: bool = False
) -> list[str]:
    timeline = plan.timeline
    frames = timeline.cuts[k1] - timeline.cuts[k0]
    return black_command(timeline, renditions, frames, _key_frame_times(timeline, k0, k1), fast=fast)


def video_limits(plan: Plan, renditions: Sequence[VideoRendition], k0: int, k1: int) -> Limits:
    """Far above what an honest source needs (5x and more), so that only a lying one meets them."""
    frames = plan.timeline.cuts[k1] - plan.timeline.cuts[k0]
    source_pixels = plan.video.width * plan.video.height if plan.video else 0
    megapixels = (source_pixels + sum(r.width * r.height for r in renditions)) / 1e6
    cpu_s = 60 + int(frames * (0.5 + megapixels))
    cores = os.cpu_count() or 1
    # Per picture in flight 3 bytes a pixel (10-bit 4:2:0), for look-ahead and one per thread; stacks and arenas.
    memory_bytes = int(2048 * MIB + cores * 256 * MIB + megapixels * 1e6 * 3 * (80 + 3 * cores))
    return Limits(cpu_s=cpu_s, wall_s=float(cpu_s), memory_bytes=memory_bytes)


def assumed_colours(video: VideoFacts) -> list[str]:
    """What a decoder should take for granted when the stream does not name its matrix.

    Without it ffmpeg assumes BT.601 at every size; players and ITU-R BT.709 say that high definition is BT.709.
    """
    return ["-colorspace", "bt709"] if max(video.width, video.height) >= HD_WIDTH and not video.is_hdr else []


def seek_before(plan: Plan, k: int) -> Fraction:
    """Where decoding for segment k begins, in the time of its file: at or before its start.

    A coarse clock may put the key frame up to half a frame later; asking for the start would then decode the whole
    group before it. What lies further behind is no key frame of this segment.
    """
    start_s = plan.file_s(k)
    known_s = plan.seeks_s[k]
    if known_s is None:
        return max(Fraction(0), start_s - SEEK_MARGIN_S)
    key_s = Fraction(round(known_s * 1_000_000), 1_000_000)
    return max(Fraction(0), key_s if key_s - start_s < 1 / (2 * plan.timeline.fps) else start_s)


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """Where one frame of the timeline is found."""

    k: int  # its segment
    piece: Piece
    video: VideoFacts
    file_s: Fraction  # its time in the piece's file


def spot(plan: Plan, frame: int) -> Spot:
    """`frame` is clamped to the timeline. Only for plans with a picture."""
    timeline = plan.timeline
    frame = min(max(frame, 0), timeline.frames - 1)
    k = bisect.bisect_right(timeline.cuts, frame) - 1
    piece = plan.piece_at(k)
    assert piece.video is not None
    behind_s = Fraction((frame - timeline.cuts[k]) * timeline.frame_ticks, timeline.timescale)
    return Spot(k, piece, piece.video, plan.file_s(k) + behind_s)


def key_times(plan: Plan, piece: Piece) -> list[Fraction]:
    """Key frames that segments of the piece begin at or after, as far as they are shown; in the file's time."""
    end = plan.piece_end(piece)
    end_s = piece.in_s + plan.timeline.start_s(end) - plan.timeline.start_s(piece.first)
    known = {Fraction(k).limit_denominator(1_000_000) for k in plan.seeks_s[piece.first : end] if k is not None}
    half_s = 1 / (2 * plan.timeline.fps)
    # What was cut away must not come back as a picture.
    return sorted(k for k in known if plan.edit is None or piece.in_s - half_s <= k < end_s - half_s)


def grid_filters(video: VideoFacts, fps: Fraction, offset_s: Fraction, frames: int) -> str:
    """From whatever arrives to exactly `frames` frames on the constant-rate grid, the first at `offset_s`.

    The grid begins up to one frame before the picture that was sought, and what lies before the range is cut off
    after tpad: where the last picture stays for long there may be none inside the range, only one to repeat.
    trim inside the graph also ends files whose durations lie: ffmpeg's own -frames lets those spin for ever.
    """
    before = int(offset_s * fps) + 1
    weave = "bwdif=mode=send_frame:parity=auto:deint=interlaced," if video.is_interlaced else ""
    return (
        f"{weave}fps=fps={_rate(fps)}:start_time={seconds(offset_s - before / fps)},tpad=stop=-1:stop_mode=clone,"
        f"trim=start_frame={before}:end_frame={before + frames},setpts=N"
    )


def _fan_out(plan: Plan, video: VideoFacts, renditions: Sequence[VideoRendition]) -> str:
    widest = max(renditions, key=lambda r: r.width * r.height)
    size = (widest.width, widest.height)
    mapped = f"{tone_map(video, fitted(plan, video, size) or size)}," if video.is_hdr else ""
    scaled = "".join(_scaled(i, r) for i, r in enumerate(renditions))
    return mapped + composed(plan, video, size) + _split(len(renditions)) + scaled


def tone_map(video: VideoFacts, size: tuple[int, int]) -> str:
    """PQ or HLG to SDR, once, at the largest size that is needed: floating point light is the costly part.

    Both curves mean BT.2020 in practice, so the input is stated and not left to half-filled headers. 203 cd/m2 is
    diffuse white (ITU-R BT.2408); hable keeps highlights without changing the middle much.
    """
    return (
        f"scale={size[0]}:{size[1]}:flags=bicubic,"
        f"zscale=transferin={video.transfer}:primariesin=2020:matrixin=2020_ncl:transfer=linear:npl=203,"
        "format=gbrpf32le,zscale=primaries=709,tonemap=tonemap=hable:desat=0,"
        "zscale=transfer=709:matrix=709:range=limited,format=yuv420p"
    )


def bounded_size(shape: tuple[int, int], max_side: int) -> tuple[int, int]:
    """The same shape with no side above `max_side`."""
    shrink = min(1.0, max_side / max(shape))
    return max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))


def _split(count: int) -> str:
    return f"split={count}" + "".join(f"[s{i}]" for i in range(count))


def _scaled(i: int, rendition: VideoRendition) -> str:
    size = f"{rendition.width}:{rendition.height}"
    scale = f"scale={size}:flags=bicubic:out_color_matrix=bt709:out_range=tv"
    return f";[s{i}]{scale},setsar=1,format=yuv420p,{_BT709}[o{i}]"


def _outputs(
    timeline: Timeline, renditions: Sequence[VideoRendition], cut_times: str, *, fast: bool, threads: int
) -> list[str]:
    longest = max(b - a for a, b in zip(timeline.cuts, timeline.cuts[1:], strict=False))
    arguments: list[str] = []
    for i, rendition in enumerate(renditions):
        arguments += ["-map", f"[o{i}]", "-an", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]
        arguments += _x264(rendition, longest, cut_times, fast=fast, threads=threads)
        arguments += ["-video_track_timescale", str(timeline.timescale), "-movflags", _MOVFLAGS, "-f", "mp4"]
        arguments.append(f"pipe:{FIRST_OUTPUT_FD + i}")
    return arguments


def _x264(rendition: VideoRendition, longest_frames: int, cut_times: str, *, fast: bool, threads: int) -> list[str]:
    profile, level = _profile_and_level(rendition.codec)
    return [
        *("-c:v", "libx264", "-preset", rendition.preset, "-profile:v", profile, "-level:v", level),
        *("-pix_fmt", "yuv420p", "-crf", f"{rendition.crf:g}"),
        *("-maxrate", str(rendition.max_bitrate_bps), "-bufsize", str(2 * rendition.max_bitrate_bps)),
        *("-bf", str(B_FRAMES), "-g", str(GROUP_FRAMES_MAX)),
        # A scene change inside a segment may become an I picture, never an IDR, which would cut a fragment.
        *("-keyint_min", str(longest_frames), "-forced-idr", "1", "-force_key_frames", cut_times),
        *_threads(threads),
        *(("-x264-params", FAST_X264) if fast else ()),
    ]


def _profile_and_level(codec: str) -> tuple[str, str]:
    """`avc1.64001f` -> high, 3.1: the encoder must produce what the playlists have announced."""
    digits = codec.removeprefix("avc1.")
    profile, level = int(digits[:2], 16), int(digits[4:6], 16)
    return _PROFILES[profile], f"{level // 10}.{level % 10}"


def _key_frame_times(timeline: Timeline, k0: int, k1: int) -> str:
    """Start of each segment in seconds from the first, rounded down: a frame is forced when it reaches its time."""
    first = timeline.cuts[k0]
    ticks = (timeline.frame_ticks * (cut - first) for cut in timeline.cuts[k0:k1])
    return ",".join(microseconds(t * 1_000_000 // timeline.timescale) for t in ticks)


def _threads(threads: int, option: str = "-threads") -> list[str]:
    return [option, str(threads)] if threads else []


def _rate(fps: Fraction) -> str:
    return f"{fps.numerator}/{fps.denominator}"


def seconds(time_s: Fraction) -> str:
    return microseconds(round(time_s * 1_000_000))


def microseconds(us: int) -> str:
    return f"{'-' if us < 0 else ''}{abs(us) // 1_000_000}.{abs(us) % 1_000_000:06d}"
