"""Live streams of a platform under test, and publishers for them."""

import contextlib
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.publishers import Picture, Target

from benchmarks.running import Running, free_port
from fastpix_server.engine import binaries

FEED = Path(__file__).parents[2] / "tests" / "clock_picture.py"
READY_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Ports:
    rtmp: int
    srt: int

    @classmethod
    def free(cls) -> "Ports":
        return cls(free_port(), free_port())

    def settings(self) -> dict[str, str]:
        return {"FASTPIX_RTMP_PORT": str(self.rtmp), "FASTPIX_SRT_PORT": str(self.srt)}


@dataclass(frozen=True, slots=True)
class Stream:
    stream_id: str
    playback_id: str
    target: Target
    manifest: str
    page: str


class Live:
    """The live side of a running platform, over its public API."""

    def __init__(self, running: Running, ports: Ports) -> None:
        self.running = running
        self._ports = ports
        self._api = httpx.Client(base_url=running.base_url, auth=running.auth, timeout=60)

    def create(self) -> Stream:
        body = {
            "playbackSettings": {"accessPolicy": "public"},
            "inputMediaSettings": {"maxResolution": "1080p", "reconnectWindow": 60, "mediaPolicy": "public"},
        }
        made = self._api.post("/v1/live/streams", json=body).raise_for_status().json()["data"]
        playback_id = made["playbackIds"][0]["id"]
        base = self.running.base_url
        target = Target(
            rtmp=f"rtmp://127.0.0.1:{self._ports.rtmp}/live/{made['streamKey']}",
            whip=f"{base}/whip/{made['streamKey']}",
            srt_address=f"127.0.0.1:{self._ports.srt}",
            srt_stream_id=made["streamKey"],
            srt_passphrase=made["srtSecret"],
        )
        return Stream(
            made["streamId"], playback_id, target, f"{base}/{playback_id}.m3u8", f"{base}/play/{playback_id}?autoplay=1"
        )

    def get(self, stream: Stream) -> dict[str, Any]:
        return dict(self._api.get(f"/v1/live/streams/{stream.stream_id}").raise_for_status().json()["data"])

    def finish(self, stream: Stream) -> None:
        self._api.put(f"/v1/live/streams/{stream.stream_id}/finish").raise_for_status()

    def delete(self, stream: Stream) -> None:
        self._api.delete(f"/v1/live/streams/{stream.stream_id}").raise_for_status()

    def media_ready_s(self, stream: Stream, since_s: float) -> float:
        """Seconds from `since_s` (monotonic) until the stream's recording is Ready."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            for media_id in self.get(stream).get("mediaIds") or []:
                found = self._api.get(f"/v1/on-demand/{media_id}")
                if found.status_code == 200 and found.json()["data"]["status"] == "Ready":
                    return time.monotonic() - since_s
            time.sleep(0.05)
        raise TimeoutError("the recording did not become Ready")

    def wait_playable(self, stream: Stream, timeout_s: float = READY_WITHIN_S) -> None:
        deadline = time.monotonic() + timeout_s
        while httpx.get(stream.manifest, timeout=30).status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{stream.manifest} did not become playable")
            time.sleep(0.05)

    def ingest(self) -> psutil.Process:
        """The process of the role `ingest`; its children are encoders."""
        for child in psutil.Process(self.running.process.pid).children():
            if child.cmdline()[-1:] == ["ingest"]:
                return child
        raise LookupError("no ingest process")

    def close(self) -> None:
        self._api.close()


@functools.cache
def five_megabits() -> Path:
    """20 s of 854x480 at 5 Mb/s, key frames each 2 s: a picture that we copy without an encoder."""
    path = Path(tempfile.mkdtemp(prefix="fastpix-bench-")) / "five.flv"
    rate = "4900k"
    subprocess.run(
        [
            *(
                binaries.ffmpeg(),
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=854x480:rate=30,noise=alls=40:allf=t",
            ),
            *("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-t", "20", "-pix_fmt", "yuv420p"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-b:v", rate, "-maxrate", rate, "-bufsize", rate),
            *("-nal-hrd", "cbr", "-g", "60", "-c:a", "aac", "-b:a", "96k", "-f", "flv", str(path)),
        ],
        check=True,
    )
    return path


@contextlib.contextmanager
def looping(urls: Sequence[str]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """One ffmpeg per URL that sends the 5 Mb/s file again and again, without encoding."""
    path = str(five_megabits())
    command = [
        binaries.ffmpeg(),
        "-nostdin",
        "-v",
        "error",
        "-re",
        "-stream_loop",
        "-1",
        "-i",
        path,
        "-c",
        "copy",
        "-f",
        "flv",
    ]
    senders = [subprocess.Popen([*command, url], stderr=subprocess.DEVNULL) for url in urls]
    try:
        yield senders
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()


@contextlib.contextmanager
def one_encode(outputs: Sequence[str], picture: Picture | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """One clock, one encoder, several outputs in the form of ffmpeg's tee muxer: a fair race."""
    picture = picture or Picture(fps=30)
    rate = str(picture.bitrate_bps)
    feed = subprocess.Popen(
        [sys.executable, str(FEED), str(picture.width), str(picture.height), str(picture.fps)], stdout=subprocess.PIPE
    )
    command = [
        *(binaries.ffmpeg(), "-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *("-s", f"{picture.width}x{picture.height}", "-r", str(picture.fps), "-i", "pipe:0"),
        *("-f", "lavfi", "-i", "sine=frequency=220:beep_factor=4:sample_rate=48000:samples_per_frame=1024"),
        *("-map", "0:v", "-map", "1:a", "-shortest", "-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency"),
        *("-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-g", str(picture.group), "-sc_threshold", "0"),
        *("-c:a", "aac", "-b:a", "96k", "-ac", "2", "-flags", "+global_header", "-f", "tee", "|".join(outputs)),
    ]
    sender = subprocess.Popen(command, stdin=feed.stdout)
    assert feed.stdout is not None
    feed.stdout.close()
    try:
        yield sender
    finally:
        feed.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            sender.wait(10)
        sender.kill()
        sender.wait()
        feed.wait()
