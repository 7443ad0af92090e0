"""A picture that someone sent becomes one frame in a file of ours: decoded once, in the sandbox, by its own decoder.

Invariants: only formats that were recognised by their first bytes are opened, with that one demuxer; size and pixels
are bounded; what encoders read later is a MOV with one lossless frame and an alpha channel.
"""

import dataclasses
import json
from pathlib import Path

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import binaries
from fastpix_server.engine.command import input_file, preamble
from fastpix_server.engine.run import run
from fastpix_server.engine.sandbox import MIB, Limits

MAX_BYTES = 32 * MIB
MAX_PIXELS = 16_000_000
LIMITS = Limits(cpu_s=20, wall_s=40.0, memory_bytes=2048 * MIB, file_bytes=128 * MIB)

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png_pipe"),
    (b"\xff\xd8\xff", "jpeg_pipe"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int


async def decode(path: Path, out: Path) -> Picture:
    """Writes the first frame of `path` to `out`. Raises SourceFault when it is no picture that we read."""
    argv = decode_command(path, out, _demuxer(path))
    finished = await run(argv, limits=LIMITS, max_output_bytes=1 * MIB)
    if finished.ended != "exit" or finished.returncode < 0:
        raise ServiceFault("watermark_timeout", "Reading the watermark took too long.")
    if not finished.is_ok or not out.exists():
        raise SourceFault("watermark_unreadable", "The watermark is damaged or larger than 16 million pixels.")
    return await _size(out)


def decode_command(path: Path, out: Path, demuxer: str) -> list[str]:
    return [
        *preamble(),
        *("-protocol_whitelist", "file", "-format_whitelist", demuxer, "-max_pixels", str(MAX_PIXELS), "-f", demuxer),
        *("-threads", "1", *input_file(path)),
        *("-map", "0:v:0", "-frames:v", "1", "-map_metadata", "-1", "-vf", "format=rgba", "-c:v", "png"),
        *("-f", "mov", "-y", f"file:{out.resolve()}"),
    ]


def _demuxer(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise SourceFault("watermark_too_large", f"The watermark is larger than {MAX_BYTES // MIB} MiB.")
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    for magic, demuxer in _MAGIC:
        if head.startswith(magic):
            return demuxer
    raise SourceFault("watermark_unreadable", "The watermark must be a PNG, JPEG, WebP or GIF picture.")


async def _size(out: Path) -> Picture:
    argv = [binaries.ffprobe(), "-v", "error", "-protocol_whitelist", "file", "-format_whitelist", "mov"]
    argv += ["-show_entries", "stream=width,height", "-of", "json", f"file:{out.resolve()}"]
    finished = await run(argv, limits=Limits(cpu_s=20, wall_s=40.0), max_output_bytes=1 * MIB)
    try:
        found = json.loads(finished.stdout)["streams"][0]
        return Picture(int(found["width"]), int(found["height"]))
    except (ValueError, LookupError) as error:
        raise ServiceFault("watermark_failed", "The watermark could not be prepared.") from error
