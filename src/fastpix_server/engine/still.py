"""One still picture out of a stored segment: no source file is needed, only the header and the segment itself.

Segments begin at a key frame, so the wanted frame is decoded from the segment's own start. Sizes and encoders are those
of pictures.py.
"""

import struct
from fractions import Fraction

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import boxes, command
from fastpix_server.engine.boxes import BoxError
from fastpix_server.engine.pictures import (
    COLOURS,
    ENCODERS,
    LIMITS,
    MAX_PICTURE_BYTES,
    Fit,
    Format,
    size_filters,
)
from fastpix_server.engine.run import run


async def still(
    init: bytes,
    segment: bytes,
    *,
    shape: tuple[int, int],
    offset_s: Fraction,
    fps: float,
    width: int | None,
    height: int | None,
    fit: Fit = "preserve",
    format: Format = "jpg",
) -> bytes:
    """The frame that is shown `offset_s` after the segment's first one. `shape` is the rendition's size; `fps` 0 when
    it is not known: then the first frame that is not before the moment. Raises SourceFault for an undecodable segment.
    """
    argv = still_command(shape=shape, offset_s=offset_s, fps=fps, width=width, height=height, fit=fit, format=format)
    finished = await run(argv, limits=LIMITS, stdin=init + segment, max_output_bytes=MAX_PICTURE_BYTES)
    if finished.is_ok and finished.stdout:
        return finished.stdout
    if finished.ended != "exit" or finished.returncode < 0:
        raise ServiceFault("picture_timeout", "Making the picture took too long.")
    raise SourceFault("picture_unreadable", "There is no picture at that time.")


def picture_size(init: bytes) -> tuple[int, int]:
    """Width and height of the only track of a header. Raises SourceFault for what is no header of a video."""
    stsd = boxes.find(init, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"))
    try:
        if stsd is None:
            raise BoxError("no sample description")
        # Behind version, flags and count: the first entry, with its sizes at 24 and 26 of its body (ISO/IEC 14496-12).
        width, height = struct.unpack_from(">HH", init, stsd.body + 8 + 8 + 24)
    except (BoxError, struct.error) as broken:
        raise SourceFault("picture_unreadable", "The stream has no picture.") from broken
    if not width or not height:
        raise SourceFault("picture_unreadable", "The stream has no picture.")
    return width, height


def still_command(
    *,
    shape: tuple[int, int],
    offset_s: Fraction,
    fps: float,
    width: int | None,
    height: int | None,
    fit: Fit,
    format: Format,
) -> list[str]:
    """The exact arguments: the segment comes in on standard input, the picture out on standard output."""
    graph = ",".join(
        (
            "setpts=PTS-STARTPTS",
            f"trim=start={float(_before(offset_s, fps)):.6f}",
            *size_filters(shape, width, height, fit),
            COLOURS[format],
        )
    )
    return [
        *command.preamble(),
        *command.input_guard(),
        *("-threads", "1", "-max_error_rate", "1"),
        *(("-colorspace", "bt709") if max(shape) >= command.HD_WIDTH else ()),
        *("-f", "mov", "-i", "pipe:0"),
        *("-map", "0:v:0", "-vf", graph, "-frames:v", "1", "-map_metadata", "-1"),
        *(*ENCODERS[format], "pipe:1"),
    ]


def _before(offset_s: Fraction, fps: float) -> Fraction:
    """Half a frame before the frame that is on the screen at `offset_s`, so that rounding never shows the next one."""
    if fps <= 0:
        return max(offset_s, Fraction(0))
    rate = Fraction(fps).limit_denominator(1001)
    frame = int(offset_s * rate + Fraction(1, 1000))
    return max((frame - Fraction(1, 2)) / rate, Fraction(0))
