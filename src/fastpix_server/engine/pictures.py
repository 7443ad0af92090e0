"""One still picture of a media: the frame that a player shows at a time, at any size.

The nearest key frame when there is one within half a second (a third of the cost), otherwise the exact frame of the
grid, by the same seek and the same filters as an encode: rotation, HDR and interlacing come out as in the video.
Why ffmpeg and not PyAV: importing PyAV in a fresh sandboxed process takes 65 ms, more than its faster decode saves.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import command
from fastpix_server.engine.framing import composed, fitted, mark_inputs, plan_marks
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.run import run
from fastpix_server.engine.sandbox import MIB, Limits

Fit = Literal["preserve", "stretch", "crop", "pad"]
Format = Literal["jpg", "png", "webp"]

NEAR_S = 0.5  # a key frame this close stands for the time that was asked
MAX_SIDE_PIXELS = 4096
MAX_PICTURE_BYTES = 64 * MIB  # 4096 x 4096 PNG of noise is 50 MB
# A group of 12 s at 4K decodes in some 10 s of CPU.
LIMITS = Limits(cpu_s=60, wall_s=60.0, memory_bytes=4096 * MIB)

ENCODERS: dict[str, tuple[str, ...]] = {
    "jpg": ("-c:v", "mjpeg", "-q:v", "3", "-huffman", "optimal", "-f", "image2pipe"),
    "png": ("-c:v", "png", "-compression_level", "6", "-f", "image2pipe"),
    "webp": ("-c:v", "libwebp", "-quality", "80", "-compression_level", "4", "-f", "webp"),
}
# JFIF means BT.601 in full range, WebP means BT.601 in limited range, whatever the video was.
COLOURS = {
    "jpg": "scale=out_color_matrix=bt601:out_range=full,format=yuvj420p",
    "png": "format=rgb24",
    "webp": "scale=out_color_matrix=bt601:out_range=limited,format=yuv420p",
}


async def picture(
    plan: Plan,
    source: Path,
    *,
    at_s: float,
    width: int | None,
    height: int | None,
    fit: Fit = "preserve",
    format: Format = "jpg",
    others: Sequence[Path] = (),
) -> bytes:
    """The encoded picture. `at_s` is clamped to the media; one side alone keeps the shape; none: the source's size.

    `others` are the plan's files from 1 on.

    Sides are clamped to 1..MAX_SIDE_PIXELS. Raises SourceFault for audio-only media and undecodable places.
    """
    if plan.video is None:
        raise SourceFault("no_video", "The media has no picture.")
    files = [source, *others]
    argv = picture_command(plan, files, at_s=at_s, width=width, height=height, fit=fit, format=format)
    finished = await run(argv, limits=LIMITS, max_output_bytes=MAX_PICTURE_BYTES)
    if finished.is_ok and finished.stdout:
        return finished.stdout
    if finished.ended != "exit" or finished.returncode < 0:
        raise ServiceFault("picture_timeout", "Making the picture took too long.")
    raise SourceFault("picture_unreadable", "There is no picture at that time.")


def picture_command(
    plan: Plan,
    files: Sequence[Path],
    *,
    at_s: float,
    width: int | None,
    height: int | None,
    fit: Fit,
    format: Format,
) -> list[str]:
    """The exact arguments; the picture comes out on standard output."""
    assert plan.video is not None
    spot = command.spot(plan, int(Fraction(at_s) * plan.timeline.timescale / plan.timeline.frame_ticks))
    video, (seek_s, offset_s) = spot.video, _place(plan, spot)
    shape = (plan.video.display_width, plan.video.display_height)
    sized = size_filters(shape, width, height, fit)
    whole = command.bounded_size(shape, MAX_SIDE_PIXELS)
    graph = ",".join(
        (
            command.grid_filters(video, plan.timeline.fps, offset_s, 1),
            *((command.tone_map(video, fitted(plan, video, whole) or whole),) if video.is_hdr else ()),
            composed(plan, video, _even_size(whole)) + sized[0],
            *sized[1:],
            COLOURS[format],
        )
    )
    return [
        *command.preamble(),
        *command.input_guard(),
        *("-threads", "1", "-max_error_rate", "1"),
        *command.assumed_colours(video),
        *("-noaccurate_seek", "-ss", command.seconds(seek_s)),
        *command.input_file(files[spot.piece.file]),
        *mark_inputs(plan_marks(plan, files)),
        *("-filter_complex", f"[0:{video.stream_index}]{graph}[o]", "-map", "[o]", "-frames:v", "1"),
        *("-map_metadata", "-1", *ENCODERS[format], "pipe:1"),
    ]


def size_filters(shape: tuple[int, int], width: int | None, height: int | None, fit: Fit) -> Sequence[str]:
    """Filters that turn a picture of the source's stored size into the one that was asked for, with square pixels."""
    if width is None and height is None:
        width, height = command.bounded_size(shape, MAX_SIDE_PIXELS)
    ratio = shape[0] / shape[1]
    box_w = _side(width if width is not None else (height or 1) * ratio)
    box_h = _side(height if height is not None else (width or 1) / ratio)
    scale = "scale={}:{}:flags=bicubic"
    if fit == "stretch" or width is None or height is None:
        return (scale.format(box_w, box_h), "setsar=1")
    inner_w, inner_h = _side(min(box_w, box_h * ratio)), _side(min(box_h, box_w / ratio))
    if fit == "preserve":
        return (scale.format(inner_w, inner_h), "setsar=1")
    if fit == "pad":
        return (scale.format(inner_w, inner_h), "setsar=1", f"pad={box_w}:{box_h}:(ow-iw)/2:(oh-ih)/2:black")
    # Cutting first keeps the scaled picture bounded, whatever the two shapes are.
    cut_w, cut_h = min(1.0, box_w / box_h / ratio), min(1.0, ratio * box_h / box_w)
    return (f"crop=iw*{cut_w:.6f}:ih*{cut_h:.6f}", scale.format(box_w, box_h), "setsar=1")


def _side(pixels: float) -> int:
    return min(max(math.floor(pixels + 1e-6), 1), MAX_SIDE_PIXELS)


def _even_size(size: tuple[int, int]) -> tuple[int, int]:
    return max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)


def _place(plan: Plan, spot: command.Spot) -> tuple[Fraction, Fraction]:
    """Where to seek, and how far behind that the wanted frame is."""
    nearest = min(command.key_times(plan, spot.piece), key=lambda k: abs(k - spot.file_s), default=None)
    if nearest is not None and abs(nearest - spot.file_s) <= NEAR_S:
        return nearest, Fraction(0)
    seek_s = command.seek_before(plan, spot.k)
    return seek_s, spot.file_s - seek_s
