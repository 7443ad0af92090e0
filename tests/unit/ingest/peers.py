"""Both sides of an ingest test: a door and sinks that remember, footage, and publishers that are real programs."""

import asyncio
import dataclasses
import json
import subprocess
from pathlib import Path

from tests.footage import FFMPEG, FFPROBE

from fastpix_server.ingest.model import Publisher, PublishRequest, Refused, Sample, Sink, Track

WAIT_S = 40.0  # generous: the machine may be busy


class Memory:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.samples: list[Sample] = []
        self.ends: list[str] = []
        self.ended = asyncio.Event()

    def on_track(self, track: Track) -> None:
        self.tracks.append(track)

    def on_sample(self, sample: Sample) -> None:
        assert any(track.kind == sample.kind for track in self.tracks)
        assert not self.ends
        self.samples.append(sample)

    def on_end(self, reason: str) -> None:
        self.ends.append(reason)
        self.ended.set()

    def of(self, kind: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.kind == kind]


@dataclasses.dataclass
class OpenDoor:
    """Lets everybody in once per key, unless a refusal is set for the key."""

    refusals: dict[str, Refused] = dataclasses.field(default_factory=dict)
    requests: list[PublishRequest] = dataclasses.field(default_factory=list)
    sinks: dict[str, Memory] = dataclasses.field(default_factory=dict)
    publishers: dict[str, Publisher] = dataclasses.field(default_factory=dict)

    async def __call__(self, request: PublishRequest, publisher: Publisher) -> Sink | Refused:
        self.requests.append(request)
        if request.stream_key in self.refusals:
            return self.refusals[request.stream_key]
        running = self.sinks.get(request.stream_key)
        if running and not running.ends:
            return Refused("already_publishing")
        sink = self.sinks[request.stream_key] = Memory()
        self.publishers[request.stream_key] = publisher
        return sink


async def until(condition: object, what: str = "a condition") -> None:
    """Waits until `condition()` is true."""
    assert callable(condition)
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what} never came"
        await asyncio.sleep(0.02)


def footage(folder: Path, name: str, *args: str, seconds: float = 3) -> Path:
    """A clip of 25 pictures a second and a tone, 320x180, made by ffmpeg; `args` come after the inputs."""
    path = folder / name
    sources = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=1000:sample_rate=48000"]
    run = [FFMPEG, "-v", "error", "-y", *sources, "-t", str(seconds), *args, str(path)]
    subprocess.run(run, check=True, timeout=WAIT_S)
    return path


_YUV = ("-pix_fmt", "yuv420p")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", *_YUV)  # with B-frames, as HEVC is
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=2:keyint=25", *_YUV)
AAC = ("-c:a", "aac", "-ac", "2", "-ar", "48000")


def packets(path: Path, kind: str) -> list[dict[str, str]]:
    """What ffprobe says of every packet of the first video (v) or audio (a) stream."""
    command = [FFPROBE, "-v", "error", "-select_streams", f"{kind}:0", "-show_packets", "-of", "json", str(path)]
    shown = subprocess.run(command, check=True, capture_output=True, timeout=WAIT_S)
    return list(json.loads(shown.stdout)["packets"])


async def run(*argv: str) -> tuple[int, str]:
    """A program to its end: exit code and what it said."""
    child = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(child.communicate(), WAIT_S)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return child.returncode, said.decode(errors="replace")


async def push(source: Path, url: str, *args: str, container: str = "flv") -> tuple[int, str]:
    """ffmpeg sends the file as it is, as fast as it is taken."""
    return await run(FFMPEG, "-v", "error", "-i", str(source), *(args or ("-c", "copy")), "-f", container, url)
