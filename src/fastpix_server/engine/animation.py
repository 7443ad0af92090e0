"""Short moving pictures (GIF, animated WebP): of the source of planned media, or of stored segments.

Invariants: length, size and rate are bounded, so that one of them costs about as much as a segment; frame i shows what
a player shows at start + i / rate, by the same seek and the same filters as an encode.
"""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import command
from fastpix_server.engine.pictures import size_filters
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.run import Finished, run
from fastpix_server.engine.sandbox import MIB, Limits

Format = Literal["gif", "webp"]

MAX_LENGTH_S = 10
MAX_SIDE_PIXELS = 640
MAX_RATE = 30
# 300 frames of 640 x 640 hold 490 MB while GIF's palette is chosen.
LIMITS = Limits(cpu_s=120, wall_s=120.0, memory_bytes=4096 * MIB)
MAX_ANIMATION_BYTES = 128 * MIB  # noise in 300 frames of 640 x 640, as GIF packs it

_ENCODERS: dict[str, tuple[str, ...]] = {
    "gif": ("-c:v", "gif", "-loop", "0", "-f", "gif"),
    "webp": ("-c:v", "libwebp_anim", "-quality", "75", "-compression_level", "3", "-loop", "0", "-f", "webp"),
}
# One palette for the whole, chosen for what moves; a pattern that stays put packs better than noise.
_COLOURS = {
    "gif": "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=5",
    "webp": "scale=out_color_matrix=bt601:out_range=limited,format=yuv420p",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Moving:
    """What is wanted. A side of 0 keeps the shape; `rate` is at most the source's own."""

    start_s: Fraction
    length_s: Fraction
    width: int
    height: int
    rate: int
    format: Format


async def animation(plan: Plan, source: Path, wanted: Moving) -> bytes:
    """Raises SourceFault for media without a picture, and where there is none."""
    if plan.video is None:
        raise SourceFault("no_video", "The media has no picture.")
    return _made(
        await run(animation_command(plan, source, wanted), limits=LIMITS, max_output_bytes=MAX_ANIMATION_BYTES)
    )


async def stored_animation(
    init: bytes, segments: Sequence[bytes], wanted: Moving, *, shape: tuple[int, int], fps: float, offset_s: Fraction
) -> bytes:
    """The same of stored segments; `offset_s` is where `wanted` begins in the first of them."""
    argv = stored_command(wanted, shape=shape, fps=fps, offset_s=offset_s)
    data = b"".join((init, *segments))
    return _made(await run(argv, limits=LIMITS, stdin=data, max_output_bytes=MAX_ANIMATION_BYTES))


def animation_command(plan: Plan, source: Path, wanted: Moving) -> list[str]:
    video, timeline = plan.video, plan.timeline
    assert video is not None
    first = min(int(wanted.start_s * timeline.fps), timeline.frames - 1)
    frames = max(1, min(math.ceil(wanted.length_s * timeline.fps), timeline.frames - first))
    start_s = first / timeline.fps
    seek_s = command.seek_before(plan, timeline.segment_at(float(start_s)))
    shape = (video.display_width, video.display_height)
    graph = ",".join(
        (
            command.grid_filters(video, timeline.fps, start_s - seek_s, frames),
            *((command.tone_map(video, command.bounded_size(shape, MAX_SIDE_PIXELS)),) if video.is_hdr else ()),
            *_shown(wanted, shape, float(timeline.fps)),
        )
    )
    return [
        *command.preamble(),
        *command.input_guard(),
        *("-max_error_rate", "1", "-reinit_filter", "0"),
        *command.assumed_colours(video),
        *("-noaccurate_seek", "-ss", command.seconds(seek_s)),
        *command.input_file(source),
        *("-filter_complex", f"[0:{video.stream_index}]{graph}[o]", "-map", "[o]"),
        *_written(wanted),
    ]


def stored_command(wanted: Moving, *, shape: tuple[int, int], fps: float, offset_s: Fraction) -> list[str]:
    trim = f"trim=start={float(offset_s):.6f}:duration={float(wanted.length_s):.6f}"
    graph = ",".join(("setpts=PTS-STARTPTS", trim, "setpts=PTS-STARTPTS", *_shown(wanted, shape, fps)))
    return [
        *command.preamble(),
        *command.input_guard(),
        *("-max_error_rate", "1"),
        *(("-colorspace", "bt709") if max(shape) >= command.HD_WIDTH else ()),
        *("-f", "mov", "-i", "pipe:0"),
        *("-filter_complex", f"[0:v:0]{graph}[o]", "-map", "[o]"),
        *_written(wanted),
    ]


def _shown(wanted: Moving, shape: tuple[int, int], fps: float) -> list[str]:
    rate = min(float(wanted.rate), fps) if fps > 0 else float(wanted.rate)
    sized = size_filters(shape, wanted.width or None, wanted.height or None, "preserve")
    return [f"fps=fps={rate:g}:start_time=0", *sized, _COLOURS[wanted.format]]


def _written(wanted: Moving) -> list[str]:
    return ["-map_metadata", "-1", "-fps_mode", "passthrough", *_ENCODERS[wanted.format], "pipe:1"]


def _made(finished: Finished) -> bytes:
    if finished.is_ok and finished.stdout:
        return finished.stdout
    if finished.ended == "output":
        raise SourceFault("animation_too_large", "The moving picture would be too large; ask for less of it.")
    if finished.ended != "exit" or finished.returncode < 0:
        raise ServiceFault("animation_timeout", "Making the moving picture took too long.")
    raise SourceFault("picture_unreadable", "There is no picture at that time.")
