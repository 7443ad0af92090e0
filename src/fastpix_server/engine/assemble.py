"""Fragmented tracks, stretch by stretch, become one ordinary MP4 with exact times: packets are copied.

Invariants: sound stays where it is against its picture (times are those of the fragments); stretches follow each other
without a hole; the result is indexed, so it is a source like any other.
"""

from collections.abc import Sequence
from pathlib import Path

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine.command import input_file, input_guard, preamble
from fastpix_server.engine.run import Finished, run
from fastpix_server.engine.sandbox import MIB, Limits

SLOWEST_COPY_BYTES_PER_S = 2 * MIB  # a hundredth of what a laptop does
MIN_BUDGET_S = 120
MAX_STRETCHES = 500  # reconnects of one live session


async def assemble(stretches: Sequence[Sequence[Path]], folder: Path) -> Path:
    """`stretches[i]` are the files of its tracks, the same tracks in each. Writes only below `folder`.

    Raises SourceFault when the stretches cannot be one file, ServiceFault when the copy failed.
    """
    if len(stretches) > MAX_STRETCHES:
        raise SourceFault("too_many_stretches", f"The recording has more than {MAX_STRETCHES} parts.")
    parts = []
    for i, tracks in enumerate(stretches):
        out = folder / f"part-{i}.mp4"
        await _copied(stretch_command(tracks, out), tracks)
        parts.append(out)
    if len(parts) == 1:
        return parts[0]
    joined, script = folder / "joined.mp4", folder / "parts.txt"
    script.write_text("".join(f"file '{part.name}'\n" for part in parts))
    await _copied(joining_command(script, joined), parts)
    return joined


def stretch_command(tracks: Sequence[Path], out: Path) -> list[str]:
    """-copyts: by default every input would begin at zero by itself, and sound would move against its picture."""
    inputs: list[str] = []
    maps: list[str] = []
    for i, track in enumerate(tracks):
        inputs += [*input_guard(), *input_file(track)]
        maps += ["-map", f"{i}:0"]
    return [
        *preamble(),
        "-copyts",
        *inputs,
        *maps,
        *("-c", "copy", "-map_metadata", "-1", "-avoid_negative_ts", "make_zero"),
        *("-f", "mp4", "-y", f"file:{out.resolve()}"),
    ]


def joining_command(script: Path, out: Path) -> list[str]:
    """`script` is ours and names files of ours beside it; nothing of a user's is in it."""
    return [
        *preamble(),
        *("-protocol_whitelist", "file", "-format_whitelist", "concat,mov", "-f", "concat", "-safe", "0"),
        *("-i", f"file:{script.resolve()}", "-map", "0", "-c", "copy", "-map_metadata", "-1"),
        *("-f", "mp4", "-y", f"file:{out.resolve()}"),
    ]


async def _copied(argv: list[str], inputs: Sequence[Path]) -> Finished:
    size_bytes = sum(path.stat().st_size for path in inputs)
    budget_s = MIN_BUDGET_S + size_bytes // SLOWEST_COPY_BYTES_PER_S
    limits = Limits(
        cpu_s=budget_s,
        wall_s=float(budget_s),
        memory_bytes=4096 * MIB,
        file_bytes=size_bytes + size_bytes // 4 + 64 * MIB,
    )
    finished = await run(argv, limits=limits, max_output_bytes=1 * MIB)
    if not finished.is_ok:
        raise ServiceFault("assemble_failed", "The stored parts could not be put together.")
    return finished
