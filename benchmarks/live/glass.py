"""Glass to glass: the clock in the picture against the clock of the machine, read from the players' pixels.

Where we are compared with others, all players sit in one page, are the same bare hls.js with the same settings, and
show the same encode. Our own player page is opened by the soak.
"""

import contextlib
import datetime
import functools
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright
from tests.browser.conftest import FLAGS, chromium

from benchmarks.live import peers, start, streams
from benchmarks.table import Row
from fastpix_server.edge import player, web_build

# Players that join at the very beginning have only one segment to begin with, and so are nearer than they ever will be.
JOIN_AFTER_S = 20.0
_STARTUP_AIM_S = 2.0
WARM_S = 15.0  # until players have found their distance; then we count

# What a player shows, and how late: `keep` goes on for as long as the page lives.
_KEEP = """
window.results = {};
function keep(name, video) {
  const kept = results[name] = {late: [], stalls: 0, jumps: 0, errors: [], firstMs: null, frames: 0};
  const started = performance.now();
  const pen = new OffscreenCanvas(320, 16).getContext('2d', {willReadFrequently: true});
  let last = 0;
  const onFrame = now => {
    if (kept.firstMs === null) kept.firstMs = performance.now() - started;
    kept.frames++;
    if (now - last > 250) {
      last = now;
      pen.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 16, 0, 0, 320, 16);
      const pixels = pen.getImageData(0, 8, 320, 1).data;
      let clock = 0;
      for (let bit = 0; bit < 32; bit++) clock = clock * 2 + (pixels[(bit * 10 + 5) * 4 + 1] > 128 ? 1 : 0);
      const late = (Date.now() % 4294967296 - clock + 4294967296) % 4294967296;
      if (late < 120000) kept.late.push([Math.round(performance.now() - started), late]);
    }
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);
  return kept;
}
function hear(kept, hls) {
  hls.on(Hls.Events.ERROR, (_e, data) => {
    if (data.details === 'bufferStalledError') kept.stalls++;
    if (kept.errors.length < 50) kept.errors.push(data.details);
  });
}
"""

_PAGE = """<!doctype html><meta charset="utf-8"><body><script src="/hls.min.js"></script><script>
%keep%
function watch(name, url) {
  const video = document.createElement('video'); video.muted = true; video.width = 320; document.body.append(video);
  const kept = keep(name, video), hls = new Hls({lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.2});
  hls.config.liveMaxLatencyDurationCount = 8;  // who is far behind leaps; our page comes back from less, too
  hear(kept, hls);
  hls.on(Hls.Events.ERROR, (_e, data) => {
    if (data.fatal) setTimeout(() => { hls.loadSource(url); }, 1000);
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
  hls.loadSource(url); hls.attachMedia(video);
}
</script>""".replace("%keep%", _KEEP)

# The viewer of our own player page.
_OURS = """name => {
  %keep%
  const kept = keep(name, fastpixPlayer.video);
  hear(kept, fastpixPlayer.impl);
  fastpixPlayer.addEventListener('jump', () => { kept.jumps++; });
}""".replace("%keep%", _KEEP)

_TAKE = """name => { const r = results[name], late = r.late.splice(0);
  const {stalls, jumps, firstMs, frames} = r, out = {late, stalls, jumps, firstMs, frames, errors: r.errors.splice(0)};
  return JSON.stringify(out); }"""


@dataclass
class Seen:
    """What one player saw; `late` holds (ms since its start, ms behind)."""

    late: list[tuple[float, float]]
    stalls: int
    jumps: int  # of our page, to the edge
    errors: list[str]
    first_ms: float | None
    frames: int

    def quantile_s(self, share: float) -> float:
        values = sorted(ms for at_ms, ms in self.late if at_ms > WARM_S * 1000)
        if not values:
            raise RuntimeError(f"a player showed nothing: {self.errors[:5]}")
        return values[min(len(values) - 1, int(len(values) * share))] / 1000


class Watching:
    """A browser with players in it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def add(self, name: str, url: str) -> None:
        self.page.evaluate("([name, url]) => watch(name, url)", [name, url])

    def open(self, name: str, url: str) -> None:
        """Our own player page at `url`, in place of the page that compares."""
        self.page.goto(url)
        self.page.wait_for_function("() => window.fastpixPlayer?.impl", timeout=streams.READY_WITHIN_S * 1000)
        self.page.evaluate(_OURS, name)

    def wait(self, seconds: float) -> None:
        self.page.wait_for_timeout(seconds * 1000)

    def take(self, name: str) -> Seen:
        """What was seen since the last time."""
        got: dict[str, Any] = json.loads(self.page.evaluate(_TAKE, name))
        late = [(float(at), float(ms)) for at, ms in got["late"]]
        return Seen(late, got["stalls"], got["jumps"], got["errors"], got["firstMs"], got["frames"])


@contextlib.contextmanager
def watching() -> Iterator[Watching]:
    web_build.build()
    library = (player.WEB / "vendor" / "hls.min.js").read_bytes()
    files = {"/": (_PAGE.encode(), "text/html"), "/hls.min.js": (library, "text/javascript")}
    with _serving(files) as base, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page()
        page.goto(base + "/")
        yield Watching(page)
        browser.close()


def rows(live: streams.Live, nginx: peers.Nginx, *, seconds: float) -> list[Row]:
    """Start-up and latency of all three, side by side."""
    stream = live.create()
    muxed = f"[f=hls:hls_time={peers.SEGMENT_S}:hls_list_size=30:hls_flags=delete_segments]{nginx.muxed}/index.m3u8"
    outputs = [f"[f=flv]{stream.target.rtmp}", f"[f=flv]{nginx.rtmp}/bench", muxed]
    urls = {
        "fastpix": stream.manifest,
        "nginx-rtmp": f"{nginx.http}/hls/bench.m3u8",
        "ffmpeg hls muxer": f"{nginx.http}/muxed/index.m3u8",
    }
    with watching() as browser, streams.one_encode(outputs):
        began_s = time.monotonic()  # the browser takes seconds to start
        began = _first_playable(urls, began_s)
        browser.wait(max(0.0, JOIN_AFTER_S - (time.monotonic() - began_s)))
        for name, url in urls.items():
            browser.add(name, url)
        browser.wait(WARM_S + seconds)
        seen = {name: browser.take(name) for name in urls}
    live.delete(stream)
    return [*_startup_rows(began), *start.rows(live), *_latency_rows(seen)]


@dataclass
class Began:
    """When a first thing could be played: seconds from the publisher's start, the time of day, and its playlist."""

    after_s: float
    wall_s: float
    text: str


def _first_playable(urls: Mapping[str, str], began_s: float) -> dict[str, Began]:
    """When a playlist names something to play: a part with us, a segment else."""
    found: dict[str, Began] = {}
    with httpx.Client(timeout=10) as client:
        while len(found) < len(urls):
            if time.monotonic() - began_s > streams.READY_WITHIN_S:
                raise TimeoutError(f"only {sorted(found)} can be played")
            for name in set(urls) - set(found):
                text = _playable(client, urls[name])
                if text is not None:
                    found[name] = Began(time.monotonic() - began_s, time.time(), text)
            time.sleep(0.02)
    return found


def _playable(client: httpx.Client, url: str) -> str | None:
    """The media playlist, once it has something."""
    answer = client.get(url)
    if answer.status_code != 200:
        return None
    lines = answer.text.splitlines()
    children = [line for line in lines if line and not line.startswith("#") and ".m3u8" in line]
    if children:
        return _playable(client, str(answer.url.join(children[0])))
    return answer.text if any(line.startswith(("#EXTINF", "#EXT-X-PART:")) for line in lines) else None


def _startup_rows(began: Mapping[str, Began]) -> Sequence[Row]:
    """From the start of the publisher's process, and from the first picture that reached us: the others got it at the
    same time, from the same encoder."""
    ours = began["fastpix"]
    first = re.search("#EXT-X-PROGRAM-DATE-TIME:(.+)", ours.text)
    assert first is not None, "our playlists tell the time of day"
    picture_s = datetime.datetime.fromisoformat(first[1]).timestamp()
    made = []
    for name, other in began.items():
        if name != "fastpix":
            what, aim = "publisher's start to the first playable part", f"< {_STARTUP_AIM_S:g} s"
            took_s, theirs_s = ours.after_s, other.after_s
            made.append(_startup(what, took_s, name, theirs_s, aim, took_s < _STARTUP_AIM_S))
            took_s, theirs_s = ours.wall_s - picture_s, other.wall_s - picture_s
            made.append(_startup("first picture received to the first playable part", took_s, name, theirs_s))
    return made


def _startup(what: str, ours_s: float, name: str, theirs_s: float, aim: str = "", is_met: bool | None = None) -> Row:
    return Row(what, f"{ours_s:.2f} s", f"{name} {theirs_s:.2f} s", ours_s / theirs_s, aim, is_met)


def _latency_rows(seen: Mapping[str, Seen]) -> Sequence[Row]:
    ours = seen["fastpix"]
    made = []
    for share, label, limit_s in ((0.5, "p50", 2.0), (0.95, "p95", 2.0)):
        value = ours.quantile_s(share)
        for name, other in seen.items():
            if name != "fastpix":
                theirs = other.quantile_s(share)
                what = f"glass to glass, {label}"
                compared = f"{name} {theirs:.2f} s"
                made.append(Row(what, f"{value:.2f} s", compared, value / theirs, f"< {limit_s:g} s", value < limit_s))
    stalls = ", ".join(f"{name} {other.stalls}" for name, other in seen.items() if name != "fastpix")
    return [*made, Row("stalls while watching", str(ours.stalls), stalls, None, "0", ours.stalls == 0)]


@contextlib.contextmanager
def _serving(files: Mapping[str, tuple[bytes, str]]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, files))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, files: Mapping[str, tuple[bytes, str]], *arguments: Any) -> None:
        self._files = files
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body, media_type = self._files.get(self.path, (b"", ""))
        self.send_response(200 if media_type else 404)
        self.send_header("content-type", media_type or "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return None
