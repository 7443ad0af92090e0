"""Real publishers, started and stopped: ffmpeg, GStreamer, srt-live-transmit, Chromium, with a clock in the picture.

All send the picture of tests/clock_picture.py and a tick each second. `start` returns when the children run, not when
somebody takes their stream; `stop` says goodbye as each program does; `kill` is the cable pulled. The pictures are
small, because tests share two cores.

    with publisher("rtmp", Target(rtmp="rtmp://127.0.0.1:1935/live/KEY")) as publishing: ...
"""

import contextlib
import dataclasses
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from fastpix_server.engine import binaries

Kind = Literal["rtmp", "rtmps", "srt", "whip", "ffmpeg-whip", "gst-rtmp", "gst-rtmp2", "gst-srt", "srt-live-transmit"]
KINDS: tuple[Kind, ...] = (
    *("rtmp", "rtmps", "srt", "whip", "ffmpeg-whip", "gst-rtmp", "gst-rtmp2", "gst-srt", "srt-live-transmit"),
)

_GOODBYE_S = 15.0
_FEED = Path(__file__).parent / "clock_picture.py"
_CHROMIUM_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run", "--mute-audio"),
    *("--autoplay-policy=no-user-gesture-required", "--disable-background-timer-throttling"),
)


@dataclasses.dataclass(frozen=True)
class Target:
    """Where to publish; a publisher needs the field of its protocol only. `rtmp` and `rtmps` end in the stream key."""

    rtmp: str = ""
    rtmps: str = ""
    whip: str = ""
    srt_address: str = ""  # host:port
    srt_stream_id: str = ""
    srt_passphrase: str = ""

    @property
    def srt(self) -> str:
        query = f"mode=caller&streamid={self.srt_stream_id}&pkt_size=1316"
        return f"srt://{self.srt_address}?{query}" + (
            f"&passphrase={self.srt_passphrase}" if self.srt_passphrase else ""
        )


@dataclasses.dataclass(frozen=True)
class Picture:
    width: int = 640
    height: int = 360
    fps: int = 25
    bitrate_bps: int = 800_000
    key_every_s: float = 2.0

    @property
    def group(self) -> int:
        return round(self.fps * self.key_every_s)


class Publishing:
    """Children that publish: a feed of pictures, and whoever encodes and sends them."""

    def __init__(
        self, feed: Sequence[str], sender: Sequence[str], goodbye: int | None, relay: Sequence[str] = ()
    ) -> None:
        """`goodbye`: the signal that makes the sender end well; None: it does at the end of its input."""
        self._commands = (list(feed), list(sender), list(relay))
        self._goodbye = goodbye
        self._folder = Path(tempfile.mkdtemp(prefix="fastpix-publisher-"))
        self._feed: subprocess.Popen[bytes] | None = None
        self._sender: subprocess.Popen[bytes] | None = None
        self._relay: subprocess.Popen[bytes] | None = None

    def start(self) -> "Publishing":
        feed, sender, relay = self._commands
        with (self._folder / "log").open("wb") as log:
            self._feed = subprocess.Popen(feed, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
            out = subprocess.PIPE if relay else log
            self._sender = subprocess.Popen(sender, stdin=self._feed.stdout, stdout=out, stderr=log)
            if relay:
                self._relay = subprocess.Popen(relay, stdin=self._sender.stdout, stdout=log, stderr=log)
        for pipe in (self._feed.stdout, self._sender.stdout):
            if pipe is not None:
                pipe.close()  # ours; the children have theirs
        return self

    @property
    def last(self) -> "subprocess.Popen[bytes]":
        """The child that speaks to the platform."""
        child = self._relay or self._sender
        assert child is not None, "start() comes first"
        return child

    @property
    def is_running(self) -> bool:
        return self.last.poll() is None

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def wait(self, timeout_s: float) -> int:
        """The exit code of a publisher that ends by itself, as one that was refused does."""
        return self.last.wait(timeout_s)

    def stop(self) -> None:
        if self._sender is not None and self._sender.poll() is None:
            if self._goodbye is None and self._feed is not None:
                self._feed.terminate()
            elif self._goodbye is not None:
                self._sender.send_signal(self._goodbye)
            for child in (self._sender, self._relay):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    if child is not None:
                        child.wait(_GOODBYE_S)
        self.kill()

    def kill(self) -> None:
        """No goodbye. The kernel closes TCP connections at once; UDP falls silent."""
        for child in (self._relay, self._sender, self._feed):
            if child is not None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                child.wait(10)

    def __enter__(self) -> "Publishing":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class ChromiumPublishing:
    """A browser that publishes a canvas and a tick by WHIP. `state` is what its page has told."""

    def __init__(self, url: str, picture: Picture, *, token: str = "") -> None:
        browser = chromium()
        assert browser is not None, "no Chromium"
        self._folder = Path(tempfile.mkdtemp(prefix="fastpix-chromium-"))
        self._page = _Page(_whip_page(url, token, picture))
        flags = [*_CHROMIUM_FLAGS, f"--user-data-dir={self._folder / 'profile'}", "--remote-debugging-port=0"]
        self._command = [browser, *flags, self._page.url]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Mapping[str, Any]:
        return self._page.state

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def log(self) -> str:
        return f"{self.state} {(self._folder / 'log').read_text(errors='replace')[-2000:]}"

    def start(self) -> "ChromiumPublishing":
        self._page.start()
        with (self._folder / "log").open("wb") as log:
            # A group of its own: a browser is many processes.
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def stop(self) -> None:
        """The page ends its session, then the browser is closed."""
        if self.is_running and self.state.get("status") == 201:
            self._page.order = "end"
            deadline = time.monotonic() + _GOODBYE_S
            while "ended" not in self.state and time.monotonic() < deadline:
                time.sleep(0.05)
        self.kill()

    def kill(self) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait(10)

    def __enter__(self) -> "ChromiumPublishing":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._page.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def publisher(kind: Kind, target: Target, picture: Picture | None = None) -> Publishing | ChromiumPublishing:
    """A publisher that was not started yet."""
    picture = picture or Picture()
    if kind == "whip":
        return ChromiumPublishing(target.whip, picture)
    feed = [sys.executable, str(_FEED), str(picture.width), str(picture.height), str(picture.fps)]
    if kind == "srt-live-transmit":
        relay = ["srt-live-transmit", "-q", "file://con", target.srt]
        return Publishing(feed, _ffmpeg(picture, "-f", "mpegts", "pipe:1"), None, relay)
    if kind.startswith("gst-"):
        return Publishing(feed, _gstreamer(kind, target, picture), signal.SIGINT)
    outputs: Mapping[str, Callable[[], list[str]]] = {
        "rtmp": lambda: ["-f", "flv", target.rtmp],
        # The certificate of a test is nobody's.
        "rtmps": lambda: ["-tls_verify", "0", "-f", "flv", target.rtmps],
        "srt": lambda: ["-f", "mpegts", target.srt],
        "ffmpeg-whip": lambda: ["-profile:v", "baseline", "-c:a", "libopus", "-f", "whip", target.whip],
    }
    return Publishing(feed, _ffmpeg(picture, *outputs[kind]()), None)


def missing(kind: Kind) -> str:
    """What this machine lacks for a publisher of `kind`; empty when it can run."""
    if kind == "whip":
        return "" if chromium() else "Chromium"
    program = {"gst": "gst-launch-1.0", "srt-live": "srt-live-transmit"}
    needed = next((name for start, name in program.items() if kind.startswith(start)), "")
    return "" if not needed or shutil.which(needed) else needed


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def _ffmpeg(picture: Picture, *output: str) -> list[str]:
    rate = str(picture.bitrate_bps)
    return [
        *(binaries.ffmpeg(), "-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *("-s", f"{picture.width}x{picture.height}", "-r", str(picture.fps), "-i", "pipe:0"),
        *("-f", "lavfi", "-i", "sine=frequency=220:beep_factor=4:sample_rate=48000:samples_per_frame=1024"),
        *("-map", "0:v", "-map", "1:a", "-shortest", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"),
        *("-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-g", str(picture.group), "-sc_threshold", "0"),
        *("-c:a", "aac", "-b:a", "96k", "-ac", "2", "-flush_packets", "1", *output),
    ]


def _gstreamer(kind: Kind, target: Target, picture: Picture) -> list[str]:
    muxer, sink = {
        "gst-rtmp": ("flvmux streamable=true", f"rtmpsink location={target.rtmp}"),
        "gst-rtmp2": ("flvmux streamable=true", f"rtmp2sink location={target.rtmp}"),
        "gst-srt": ("mpegtsmux alignment=7", f'srtsink wait-for-connection=false uri="{target.srt}"'),
    }[kind]
    pipeline = (
        f"fdsrc fd=0 do-timestamp=true blocksize={picture.width * picture.height * 3 // 2}"
        f" ! rawvideoparse format=i420 width={picture.width} height={picture.height} framerate={picture.fps}/1"
        f" ! queue ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={picture.group}"
        f" bitrate={picture.bitrate_bps // 1000} ! video/x-h264,profile=constrained-baseline ! h264parse ! m."
        " audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! m."
        f" {muxer} name=m ! queue ! {sink}"
    )
    return ["gst-launch-1.0", "-q", "-e", *pipeline.split()]


class _Page:
    """Serves one page to one browser, and hears from it."""

    def __init__(self, text: str) -> None:
        self.state: dict[str, Any] = {}
        self.order = ""
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(text.encode(), "text/html; charset=utf-8")

            def do_POST(self) -> None:
                page.state.update(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self._answer(page.order.encode(), "text/plain")

            def _answer(self, body: bytes, media_type: str) -> None:
                self.send_response(200)
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return None

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _whip_page(url: str, token: str, picture: Picture) -> str:
    given = json.dumps(
        {"url": url, "token": token, "width": picture.width, "height": picture.height, "fps": picture.fps}
        | {"bitrate": picture.bitrate_bps}
    )
    return _PAGE.replace("%given%", given)


_PAGE = """<!doctype html><meta charset="utf-8"><title>publish</title><canvas id="c"></canvas><script>
const given = %given%, state = {}, canvas = document.getElementById("c"), pen = canvas.getContext("2d");
canvas.width = given.width; canvas.height = given.height;
let number = 0, location_ = null;
function row(index, value) {
  const high = given.height / 16, wide = given.width / 32;
  for (let bit = 0; bit < 32; bit++) {
    pen.fillStyle = value >>> (31 - bit) & 1 ? "#fff" : "#000";
    pen.fillRect(Math.round(wide * bit), Math.round(high * index), Math.ceil(wide), Math.ceil(high));
  }
}
function draw() {
  pen.fillStyle = `hsl(${number * 3 % 360} 40% 50%)`; pen.fillRect(0, 0, given.width, given.height);
  pen.fillStyle = "#eee"; pen.fillRect(number * 7 % given.width, given.height / 2, given.width / 8, given.height / 8);
  row(0, Date.now() % 4294967296); row(1, number++);
}
function ticks() {
  const audio = new AudioContext(), out = audio.createMediaStreamDestination(), gain = audio.createGain();
  const tone = audio.createOscillator(); tone.frequency.value = 880; gain.gain.value = 0.02;
  tone.connect(gain).connect(out); tone.start();
  setInterval(() => { gain.gain.setValueAtTime(0.6, audio.currentTime);
                      gain.gain.setValueAtTime(0.02, audio.currentTime + 0.06); }, 1000);
  return out.stream.getAudioTracks()[0];
}
async function publish() {
  setInterval(draw, 1000 / given.fps); draw();
  const stream = canvas.captureStream(given.fps); stream.addTrack(ticks());
  const peer = new RTCPeerConnection();
  peer.onconnectionstatechange = () => { state.connection = peer.connectionState; };
  for (const track of stream.getTracks()) peer.addTransceiver(track, {direction: "sendonly", streams: [stream]});
  await peer.setLocalDescription(await peer.createOffer());
  const headers = {"content-type": "application/sdp"};
  if (given.token) headers.authorization = "Bearer " + given.token;
  const answer = await fetch(given.url, {method: "POST", headers, body: peer.localDescription.sdp});
  state.status = answer.status;
  if (answer.status !== 201) { state.error = await answer.text(); return; }
  location_ = new URL(answer.headers.get("location"), given.url);
  await peer.setRemoteDescription({type: "answer", sdp: await answer.text()});
  const sender = peer.getSenders().find(s => s.track.kind === "video"), set = sender.getParameters();
  set.encodings[0].maxBitrate = given.bitrate; await sender.setParameters(set);
}
setInterval(async () => {
  state.frames = number;
  const order = await (await fetch("/state", {method: "POST", body: JSON.stringify(state)})).text();
  if (order === "end" && location_) {
    const url = location_; location_ = null;
    state.ended = (await fetch(url, {method: "DELETE"})).status;
  }
}, 200);
publish().catch(error => { state.error = String(error); });
</script>"""
