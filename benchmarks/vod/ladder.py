"""CPU to fill the whole ladder in chunks, as the background does, against one whole-file ffmpeg of the same ladder."""

import asyncio
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.table import Row
from benchmarks.vod.footage import FFMPEG
from fastpix_server.engine.encode import encode_audio, encode_video
from fastpix_server.engine.plan import Plan, VideoRendition

CHUNK_SEGMENTS = 5
ROUNDS = 3


def _cpu_s() -> float:
    """CPU of finished children plus our own: the fill's Python is part of its price."""
    children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return children.ru_utime + children.ru_stime + own.ru_utime + own.ru_stime


def encoded_rungs(plan: Plan) -> list[VideoRendition]:
    return [r for r in plan.videos if r.kind == "encode"]


async def _fill(plan: Plan, source: Path) -> None:
    async def drop(_name: str, _k: int, _data: bytes) -> None:
        return None

    count = plan.timeline.segment_count
    for k0 in range(0, count, CHUNK_SEGMENTS):
        await encode_video(plan, source, encoded_rungs(plan), k0, min(k0 + CHUNK_SEGMENTS, count), drop)
    for audio in plan.audios:
        if audio.kind == "encode":
            await encode_audio(plan, source, audio, 0, count, drop)


def _whole_file(plan: Plan, source: Path, folder: Path) -> None:
    rungs = encoded_rungs(plan)
    gop = round(2 * plan.timeline.fps)
    graph = f"[0:v:0]split={len(rungs)}" + "".join(f"[s{i}]" for i in range(len(rungs)))
    for i, rung in enumerate(rungs):
        graph += f";[s{i}]scale={rung.width}:{rung.height}:flags=bicubic,format=yuv420p[o{i}]"
    argv = [FFMPEG, "-nostdin", "-v", "error", "-y", "-i", str(source), "-filter_complex", graph]
    for i, rung in enumerate(rungs):
        argv += [
            "-map",
            f"[o{i}]",
            "-c:v",
            "libx264",
            "-preset",
            rung.preset,
            "-crf",
            str(rung.crf),
            "-bf",
            "3",
            "-g",
            str(gop),
            "-keyint_min",
            str(gop),
            "-maxrate",
            str(rung.max_bitrate_bps),
            "-bufsize",
            str(2 * rung.max_bitrate_bps),
            str(folder / f"{i}.mp4"),
        ]
    if any(a.kind == "encode" for a in plan.audios):
        argv += ["-map", "0:a:0", "-c:a", "aac", "-b:a", "128k", str(folder / "a.mp4")]
    subprocess.run(argv, check=True)


def rows(plan: Plan, source: Path) -> list[Row]:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        before = _cpu_s()
        asyncio.run(_fill(plan, source))
        ours.append(_cpu_s() - before)
        with tempfile.TemporaryDirectory() as folder:
            before = _cpu_s()
            _whole_file(plan, source, Path(folder))
            theirs.append(_cpu_s() - before)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    names = ", ".join(r.name for r in encoded_rungs(plan))
    return [
        Row(
            f"CPU to fill the ladder ({names}) of {plan.duration_s:.0f} s, chunks of {CHUNK_SEGMENTS}",
            f"{statistics.median(ours):.1f} CPU s",
            f"one whole-file ffmpeg {statistics.median(theirs):.1f} CPU s",
            ratio,
            "<= 1.05x",
            ratio <= 1.05,
        )
    ]
