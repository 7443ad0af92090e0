"""What a newcomer does first, in an environment with nothing of the tests: start it, send a video, watch it, stop it.

Run by `make newcomer` before the test dependencies are installed, so that the platform's own have to be enough. Only
the standard library is used here, and the ffmpeg that the platform brings.
"""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import imageio_ffmpeg

START_S = 120.0
READY_S = 60.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fastpix-newcomer-") as text:
        folder = Path(text)
        ports = {name: _free_port() for name in ("HTTP", "RTMP", "RTMPS", "SRT")}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FASTPIX_")}
        environ |= {f"FASTPIX_{name}_PORT": str(port) for name, port in ports.items()}
        environ["FASTPIX_DATA_DIR"] = str(folder / "data")
        platform = subprocess.Popen([str(Path(sys.executable).with_name("fastpix")), "up"], env=environ, cwd=folder)
        base_url = f"http://127.0.0.1:{ports['HTTP']}"
        try:
            _until(lambda: _status(f"{base_url}/health/ready") == 200, START_S, platform)
            saved = json.loads((folder / "data" / "credentials.json").read_text())
            playback_id = _send(base_url, saved, _video(folder), platform)
            _watch(base_url, playback_id)
        finally:
            platform.send_signal(signal.SIGTERM)
            ended = platform.wait(60)
    if ended:
        sys.exit(f"the platform ended with {ended}")
    print("newcomer: started, sent a video, watched it, stopped")


def _video(folder: Path) -> bytes:
    made = folder / "video.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=25:duration=5", "-pix_fmt", "yuv420p"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, str(made)], check=True)
    return made.read_bytes()


def _send(base_url: str, saved: dict[str, str], video: bytes, platform: "subprocess.Popen[bytes]") -> str:
    """Uploads; the playback id once the media is Ready."""

    def ask(method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(f"{base_url}/v1{path}", method=method)
        word = base64.b64encode(f"{saved['username']}:{saved['password']}".encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, None if body is None else json.dumps(body).encode(), timeout=30) as answer:
            return json.load(answer)["data"]

    settings = {"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public"}}
    upload = ask("POST", "/on-demand/upload", settings)
    urllib.request.urlopen(urllib.request.Request(upload["url"], data=video, method="PUT"), timeout=30).close()
    seen: list[Any] = []

    def is_ready() -> bool:
        seen.append(ask("GET", f"/on-demand/{upload['uploadId']}"))
        return bool(seen[-1]["status"] in ("Ready", "Failed"))

    _until(is_ready, READY_S, platform)
    assert seen[-1]["status"] == "Ready", seen[-1]
    return str(seen[-1]["playbackIds"][0]["id"])


def _watch(base_url: str, playback_id: str) -> None:
    """The player page and its script, the playlists, and bytes of every header and the first segment."""
    assert "<video" in _text(f"{base_url}/play/{playback_id}")
    master = f"{base_url}/{playback_id}.m3u8"
    media_playlist = urljoin(master, _uris(_text(master))[0])
    segment = urljoin(media_playlist, _uris(_text(media_playlist))[0])
    with urllib.request.urlopen(segment, timeout=60) as answer:
        assert b"moof" in answer.read(4096)


def _uris(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


def _text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def _status(url: str) -> int:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return int(answer.status)
    return 0


def _until(done: Any, limit_s: float, platform: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + limit_s
    while not done():
        if platform.poll() is not None or time.monotonic() > deadline:
            sys.exit("the platform ended or took too long")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
