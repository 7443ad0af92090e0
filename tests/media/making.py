"""Plans (by hand, or as the platform makes them), encodes collected in memory, and eyes for what came out."""

import asyncio
import dataclasses
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tests import footage

from fastpix_server.engine.encode import encode_audio, encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import AudioRendition, Plan, Timeline, VideoRendition, make_plan
from fastpix_server.engine.probe import needs_remux, probe
from fastpix_server.engine.remux import remux
from fastpix_server.engine.run import run
from fastpix_server.engine.source import VideoFacts

SMALL = VideoRendition("180p", "encode", 320, 180, 400_000, 250_000, 23, "faster", "avc1.640015")
MIDDLE = VideoRendition("360p", "encode", 640, 360, 800_000, 500_000, 23, "faster", "avc1.64001e")
STEREO = AudioRendition("a0", "encode", 1, 2, 48000, 128_000, "und", "default", "mp4a.40.2")
MONO = dataclasses.replace(STEREO, channels=1, bitrate_bps=64_000)
RUNGS = (MIDDLE, SMALL)


def plan_for(
    path: Path,
    fps: str,
    *,
    segment_s: float = 2.0,
    max_s: float = 1e9,
    at_keyframes: bool = False,
    indexed: bool = True,
    rungs: Sequence[VideoRendition] = RUNGS,
    audio: AudioRendition | None = STEREO,
    **facts: object,
) -> Plan:
    """A plan for a clip of ours: fixed grid, or cuts at the source's own key frames; `indexed=False` hides them."""
    rate = Fraction(fps)
    start_s, end_s, keys, video_index, audio_index = _look(path)
    frames = round(min(end_s, max_s) * rate)
    cuts = _cuts(frames, rate, segment_s, keys if at_keyframes else None)
    timescale = rate.numerator if rate.numerator >= 1000 else rate.numerator * 1000
    ticks = timescale * rate.denominator // rate.numerator
    grid = Timeline(rate, timescale, ticks, cuts, 48000, (0,) * len(cuts))
    sounds = tuple(round(grid.start_s(k) * 48000 / 1024) for k in range(len(cuts)))
    timeline = dataclasses.replace(grid, audio_cuts=sounds)
    seeks = tuple(_seek(keys, float(timeline.start_s(k))) if indexed else None for k in range(len(cuts) - 1))
    video = VideoFacts(
        video_index, "h264", 640, 360, 640, 360, 0, rate, False, frames, "yuv420p", 8, "", False, 0, None
    )
    video = dataclasses.replace(video, **facts)
    audios = () if audio is None or audio_index < 0 else (dataclasses.replace(audio, stream_index=audio_index),)
    return Plan("r", "mp4", start_s, timeline.duration_s, timeline, video, seeks, tuple(rungs), audios)


def cheap(rung: VideoRendition) -> VideoRendition:
    """Half as wide and high and in a hurry: the same frames at the same times, for a quarter of the work."""
    return dataclasses.replace(rung, width=rung.width // 4 * 2, height=rung.height // 4 * 2, preset="veryfast")


async def prepared(kind: str, folder: Path) -> tuple[Plan, Path]:
    """Probe, remux if needed, plan: what the platform does. Of the rungs the largest, and the smallest made cheap."""
    path = footage.make(kind)
    facts = await probe(path, run=run)
    if needs_remux(facts):
        normal = folder / f"{kind}-normal.mp4"
        await remux(path, normal, facts)
        path, facts = normal, await probe(normal, run=run)
    plan = make_plan(facts, copy=None)
    rungs = (*plan.videos[:1], *map(cheap, plan.videos[1:][-1:]))
    return dataclasses.replace(plan, videos=rungs), path


def _look(path: Path) -> tuple[float, float, list[float], int, int]:
    with av.open(str(path)) as container:
        start_s = (container.start_time or 0) / 1_000_000
        video = container.streams.video[0]
        times, keys = [], []
        for packet in container.demux(video):
            if packet.pts is None:
                continue
            time_s = float(packet.pts * video.time_base) - start_s
            times.append(time_s + float((packet.duration or 0) * video.time_base))
            if packet.is_keyframe:
                keys.append(time_s)
        sound = container.streams.audio[0].index if container.streams.audio else -1
        return start_s, max(times), sorted(keys), video.index, sound


def _cuts(frames: int, rate: Fraction, segment_s: float, keys: list[float] | None) -> tuple[int, ...]:
    step = round(segment_s * rate)
    inner = [round(t * rate) for t in keys or ()] if keys else list(range(step, frames, step))
    cuts = [0]
    for frame in inner:
        if frame - cuts[-1] >= step * 0.6 and frames - frame >= step // 2:
            cuts.append(frame)
    return (*cuts, frames)


def _seek(keys: list[float], time_s: float) -> float:
    return max((k for k in keys if k <= time_s + 1e-4), default=0.0)


class Made:
    """What an encode emitted, by rendition and segment."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.segments: dict[tuple[str, int], bytes] = {}
        self.order: list[tuple[str, int]] = []

    async def emit(self, name: str, k: int, data: bytes) -> None:
        assert (name, k) not in self.segments, "a segment was emitted twice"
        self.segments[name, k] = data
        self.order.append((name, k))

    async def write(self, name: str, out: Path, *, first: int = 0) -> Path:
        """Init and all segments, from `first` on, in one file, as a player sees them."""
        rendition = self.plan.rendition(name)
        assert rendition is not None
        count = self.plan.timeline.segment_count
        init = await make_init(self.plan, rendition)
        out.write_bytes(init + b"".join(self.segments[name, k] for k in range(first, count)))
        return out


async def make(
    plan: Plan, source: Path, *, order: Sequence[int] | None = None, fast: bool = False, sound: bool = True
) -> Made:
    """The whole ladder and the sound: in one process (order None), or one process per segment in that order."""
    made = Made(plan)
    ranges = [(0, plan.timeline.segment_count)] if order is None else [(k, k + 1) for k in order]
    for k0, k1 in ranges:
        async with asyncio.timeout(60):
            await encode_video(plan, source, plan.videos, k0, k1, made.emit, fast=fast)
            for audio in plan.audios if sound else ():
                await encode_audio(plan, source, audio, k0, k1, made.emit)
    return made


def source_numbers(path: Path, fps: str) -> np.ndarray:
    """What an ideal player shows on the plan's grid."""
    return footage.frame_numbers("-i", str(path), fps=Fraction(fps))


def packets(path: Path) -> list[av.Packet]:
    """In the order of the file."""
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(container.streams[0]) if packet.size]


def warnings_of(path: Path) -> str:
    command = [footage.FFMPEG, "-nostdin", "-v", "warning", "-i", str(path), "-map", "0", "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stderr.decode()
