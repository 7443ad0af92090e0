"""One MP4 or M4A from parts that are encoded already: nothing is encoded here.

Invariants: the index comes before the samples, so that playback begins before the file is loaded; sound and picture
keep the times that they have in their parts; on any failure nothing is left at `out`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine.command import input_file, input_guard, preamble
from fastpix_server.engine.languages import three_letters
from fastpix_server.engine.run import run
from fastpix_server.engine.sandbox import MIB, Limits

SLOWEST_COPY_BYTES_PER_S = 2 * MIB  # a hundredth of what a laptop does, and the samples are moved twice
MIN_BUDGET_S = 120


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A stream of a file: `stream` is ffmpeg's index in it. `language` is of a sound, BCP 47 or ISO 639."""

    path: Path
    stream: int
    language: str | None = None


async def join(parts: Sequence[Part], out: Path) -> None:
    """Write `out` from one stream of each part, the picture first. Raises SourceFault or ServiceFault."""
    finished = await run(join_command(parts, out), limits=_limits(parts), max_output_bytes=1 * MIB)
    if finished.is_ok and out.exists() and out.stat().st_size > 0:
        return
    out.unlink(missing_ok=True)
    if finished.ended == "wall" or finished.returncode < 0:
        raise ServiceFault("join_timeout", "Writing the file took too long.")
    if b"No space left" in finished.stderr:
        raise ServiceFault("no_space", "There is no space left to write the file.")
    raise SourceFault("join_failed", "The parts of the media cannot be written into one file.")


def join_command(parts: Sequence[Part], out: Path) -> list[str]:
    argv = preamble()
    paths = list(dict.fromkeys(part.path for part in parts))
    for path in paths:
        argv = [*argv, *input_guard(), *input_file(path)]
    maps = [word for part in parts for word in ("-map", f"{paths.index(part.path)}:{part.stream}")]
    return [
        *argv,
        *maps,
        *("-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1"),
        *_languages(parts),
        # Each file would else begin at its own first sample: sound that begins later would be early.
        *(("-copyts",) if len(paths) > 1 else ()),
        *("-max_muxing_queue_size", "4096", "-movflags", "+faststart"),
        *("-f", "ipod" if out.suffix == ".m4a" else "mp4", "-y", f"file:{out.resolve()}"),
    ]


def _languages(parts: Sequence[Part]) -> Iterator[str]:
    """Each sound's language, and the first sound as the one that players begin with."""
    is_first = True
    for k, part in enumerate(parts):
        if part.language is not None:
            yield from (f"-metadata:s:{k}", f"language={three_letters(part.language)}")
            yield from (f"-disposition:{k}", "default" if is_first else "0")
            is_first = False


def _limits(parts: Sequence[Part]) -> Limits:
    size_bytes = sum({part.path: part.path.stat().st_size for part in parts}.values())
    budget_s = MIN_BUDGET_S + 2 * size_bytes // SLOWEST_COPY_BYTES_PER_S
    return Limits(
        cpu_s=budget_s,
        wall_s=float(budget_s),
        memory_bytes=4096 * MIB,
        file_bytes=size_bytes + size_bytes // 4 + 64 * MIB,
    )
