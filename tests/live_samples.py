"""Real samples of live publications: encoded by ffmpeg once, handed over as an ingest protocol would."""

import asyncio
import dataclasses
import functools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import av
import imageio_ffmpeg

from fastpix_server.ingest.model import CLOCK_HZ, Sample, Sink, Track

_CODECS = {"h264": "h264", "hevc": "hevc", "av1": "av1", "libdav1d": "av1", "aac": "aac", "opus": "opus"}


@dataclasses.dataclass(frozen=True)
class Publication:
    """Tracks, and samples in the order in which a multiplexer sends them."""

    tracks: tuple[Track, ...]
    samples: tuple[Sample, ...]

    def of(self, kind: str) -> list[Sample]:
        return [s for s in self.samples if s.kind == kind]

    def track(self, kind: str) -> Track:
        return next(t for t in self.tracks if t.kind == kind)


@functools.cache
def publication(
    *,
    seconds: float = 7,
    fps: str = "30",
    size: str = "320x180",
    gop: int = 60,
    b_frames: int = 2,
    video: str = "libx264",
    audio: str = "aac",
    rate_hz: int = 48_000,
    picture: str = "testsrc2=s={size}:r={fps}",
    tone: str = "sine=f=440:r={rate}",
) -> Publication:
    """A counter of frames on a moving picture, and a tone. `audio` may be empty, and `video` as well."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    if video:
        command += ["-f", "lavfi", "-t", str(seconds), "-i", picture.format(size=size, fps=fps)]
    if audio:
        command += ["-f", "lavfi", "-t", str(seconds), "-i", tone.format(rate=rate_hz)]
    if video:
        command += ["-c:v", video, "-preset", "ultrafast" if video != "libsvtav1" else "12", "-g", str(gop)]
        command += ["-pix_fmt", "yuv420p", "-b:v", "300k"]
        if video == "libx264":
            command += ["-keyint_min", str(gop), "-sc_threshold", "0", "-bf", str(b_frames)]
        if video == "libx265":
            command += ["-tag:v", "hvc1", "-x265-params", f"log-level=none:keyint={gop}:min-keyint={gop}:scenecut=0"]
    if audio:
        command += ["-c:a", audio, "-ac", "2", "-b:a", "64k"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.mp4"
        subprocess.run([*command, str(path)], check=True)
        return read(path)


def read(path: Path) -> Publication:
    """Demuxes an MP4 file. Times begin where the file's do."""
    with av.open(str(path)) as container:
        tracks = tuple(_track(stream) for stream in container.streams)
        samples = []
        for packet in container.demux():
            if packet.dts is None or packet.pts is None:
                continue
            base = packet.time_base
            dts, pts = (round(t * base * CLOCK_HZ) for t in (packet.dts, packet.pts))
            kind = packet.stream.type
            samples.append(Sample(kind, dts, pts - dts, bool(packet.is_keyframe) or kind == "audio", bytes(packet)))
    samples.sort(key=lambda s: s.dts)
    return Publication(tracks, tuple(samples))


def _track(stream: av.stream.Stream) -> Track:
    context = stream.codec_context
    codec = _CODECS[context.name]
    config = bytes(context.extradata or b"")
    if stream.type == "video":
        return Track(codec, config, width=context.width, height=context.height)
    if codec == "opus":
        # ffmpeg shows an OpusHead; the box of MP4 has other byte orders and no magic (Opus in ISOBMFF, 4.3.2).
        head = config[8:]
        config = bytes((0, head[1])) + head[2:4][::-1] + head[4:8][::-1] + head[8:10][::-1] + head[10:]
    return Track(codec, config, sample_rate_hz=context.sample_rate, channels=context.layout.nb_channels)


def feed(sink: Sink, publication: Publication, samples: Iterable[Sample] | None = None) -> None:
    """Tracks first, then the samples."""
    for track in publication.tracks:
        sink.on_track(track)
    for sample in publication.samples if samples is None else samples:
        sink.on_sample(sample)


def shifted(samples: Iterable[Sample], seconds: float, kind: str = "") -> Iterator[Sample]:
    """The same samples at other times; only those of `kind` when one is named."""
    for sample in samples:
        is_meant = kind in ("", sample.kind)
        yield dataclasses.replace(sample, dts=sample.dts + round(seconds * CLOCK_HZ)) if is_meant else sample


# Each second begins with a white picture and a beep of 50 ms.
FLASH = "color=c=black:s={size}:r={fps},drawbox=c=white:t=fill:enable='lt(mod(t,1),0.03)'"
BEEP = "aevalsrc='0.8*sin(2*PI*1000*t)*lt(mod(t,1),0.05)':s={rate}"


async def feed_in_time(sink: Sink, publication: Publication, *, speed: float = 2.0) -> None:
    """As an encoder sends it, `speed` times as fast."""
    loop = asyncio.get_running_loop()
    began, first = loop.time(), publication.samples[0].dts
    for track in publication.tracks:
        sink.on_track(track)
    for sample in publication.samples:
        ahead_s = (sample.dts - first) / CLOCK_HZ / speed - (loop.time() - began)
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)
        sink.on_sample(sample)


class FakePublisher:
    """The transport's side of a connection: remembers that it was kicked, and what it was asked for."""

    def __init__(self, *, has_keys_on_demand: bool = False) -> None:
        self.has_keys_on_demand = has_keys_on_demand
        self.kicked: list[str] = []
        self.asked = 0

    def ask_for_key_frame(self) -> None:
        self.asked += 1

    def kick(self, reason: str) -> None:
        self.kicked.append(reason)

    def stats(self) -> Mapping[str, float]:
        return {"received_bytes": 0.0}
