"""The DASH manifest of a session: the same segments at the same times as in HLS."""

import asyncio
import datetime
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import imageio_ffmpeg
import pytest
from tests import live_samples
from tests.live_samples import FakePublisher

from fastpix_server.ingest.model import CLOCK_HZ
from fastpix_server.live.broadcast import Broadcast
from fastpix_server.live.model import FinishedSegment, SessionSpec

NS = {"d": "urn:mpeg:dash:schema:mpd:2011"}
SPEC = SessionSpec("session", "0" * 32, "workspace", "rev", "place", 1080, is_dvr=True, is_recorded=True)
NOW_S = 1_700_000_000.0
PAUSE_S = 30


class Live:
    def __init__(self) -> None:
        self.segments: list[FinishedSegment] = []
        self.now_s = NOW_S
        self.broadcast = Broadcast(
            SPEC,
            on_segment=self.segments.append,
            on_active=lambda: None,
            on_end_of_epoch=lambda _: None,
            now_s=lambda: self.now_s,
        )

    def connect(self, publication: live_samples.Publication) -> None:
        began_s, sink = self.now_s, self.broadcast.begin_epoch(FakePublisher())
        for track in publication.tracks:
            sink.on_track(track)
        for sample in publication.samples:
            self.now_s = began_s + sample.dts / CLOCK_HZ
            sink.on_sample(sample)
        sink.on_end("eof")

    async def manifest(self, **params: str) -> ET.Element:
        answer = await self.broadcast.dash(params, "x")
        assert (answer.status, answer.media_type) == (200, "application/dash+xml")
        return ET.fromstring(answer.body)


def seconds(text: str | None) -> float:
    match = re.fullmatch(r"PT([0-9.]+)S", text or "")
    assert match, text
    return float(match[1])


def times(representation: ET.Element) -> list[tuple[int, float, float]]:
    """(number, time within the Period, duration) of every segment."""
    template = representation.find("d:SegmentTemplate", NS)
    assert template is not None
    scale, offset = int(template.attrib["timescale"]), int(template.attrib["presentationTimeOffset"])
    number, at = int(template.attrib["startNumber"]), 0
    found = []
    for run in template.iterfind("d:SegmentTimeline/d:S", NS):
        at = int(run.get("t", at))
        for _ in range(int(run.get("r", 0)) + 1):
            found.append((number, (at - offset) / scale, int(run.attrib["d"]) / scale))
            number, at = number + 1, at + int(run.attrib["d"])
    return found


async def test_a_running_session_has_one_period_per_connection_at_its_time_of_day():
    live = Live()
    live.connect(live_samples.publication(seconds=7))
    live.now_s += PAUSE_S
    live.connect(live_samples.publication(seconds=7, size="192x108", rate_hz=44_100))
    mpd = await live.manifest()
    assert mpd.attrib["type"] == "dynamic"
    origin = datetime.datetime.fromisoformat(mpd.attrib["availabilityStartTime"])
    assert origin.timestamp() == pytest.approx(NOW_S, abs=0.2)
    first, second = mpd.findall("d:Period", NS)
    assert seconds(first.get("start")) == 0
    assert seconds(second.get("start")) == pytest.approx(7 + PAUSE_S, abs=0.3)
    assert seconds(first.get("duration")) == pytest.approx(7, abs=0.05)
    for period, numbers in ((first, [0, 1, 2, 3]), (second, [4, 5, 6, 7])):
        for representation in period.iterfind(".//d:Representation", NS):
            shown = times(representation)
            assert [n for n, _, _ in shown] == numbers
            assert [t for _, t, _ in shown] == pytest.approx([0, 2, 4, 6], abs=0.05)
    templates = [t.attrib["initialization"] for t in second.iterfind(".//d:SegmentTemplate", NS)]
    assert templates == ["x/source/init-1.mp4", "x/a0/init-1.mp4"]
    await live.broadcast.close()


async def test_the_segments_of_the_manifest_are_those_that_were_finished():
    live = Live()
    live.connect(live_samples.publication(seconds=7))
    period = (await live.manifest()).find("d:Period", NS)
    assert period is not None
    for representation in period.iterfind(".//d:Representation", NS):
        own = [s for s in live.segments if s.rendition.name == representation.attrib["id"]]
        told = [(n, round(d * s.rendition.timescale)) for (n, _, d), s in zip(times(representation), own, strict=True)]
        assert told == [(s.number, s.duration_ticks) for s in own]
        assert representation.attrib["codecs"] == own[0].rendition.codec
    await live.broadcast.close()


async def test_only_a_minute_is_listed_unless_the_whole_session_is_asked_for():
    live = Live()
    live.connect(live_samples.publication(seconds=100, fps="10", gop=20))
    edge, whole = await live.manifest(), await live.manifest(dvrMode="true")
    assert len(times(next(edge.iterfind(".//d:Representation", NS)))) <= 32
    assert len(times(next(whole.iterfind(".//d:Representation", NS)))) == 50
    assert seconds(edge.get("timeShiftBufferDepth")) == 60
    assert seconds(whole.get("timeShiftBufferDepth")) >= 100
    await live.broadcast.close()


async def test_an_ended_session_is_a_static_presentation_without_pauses():
    live = Live()
    live.connect(live_samples.publication(seconds=7))
    live.now_s += PAUSE_S
    live.connect(live_samples.publication(seconds=7))
    live.broadcast.end()
    mpd = await live.manifest()
    assert mpd.attrib["type"] == "static"
    assert seconds(mpd.get("mediaPresentationDuration")) == pytest.approx(14, abs=0.1)
    first, second = mpd.findall("d:Period", NS)
    assert seconds(second.get("start")) == pytest.approx(seconds(first.get("duration")), abs=0.001)
    assert times(next(second.iterfind(".//d:Representation", NS)))[0][1] == pytest.approx(0, abs=0.03)


async def test_ffmpeg_reads_every_picture_of_an_ended_session_through_the_manifest(tmp_path: Path):
    live = Live()
    live.connect(live_samples.publication(seconds=7))
    live.broadcast.end()
    (tmp_path / "x.mpd").write_bytes((await live.broadcast.dash({}, "x")).body)
    for segment in live.segments:
        folder = tmp_path / "x" / segment.rendition.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"init-{segment.epoch}.mp4").write_bytes(segment.init)
        (folder / f"{segment.number}.m4s").write_bytes(segment.data)
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "x.mpd"), "-map", "0:v"]
    argv += ["-fps_mode", "passthrough", "-f", "framecrc", "-"]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    lines = [line for line in done.stdout.splitlines() if not line.startswith(b"#")]
    assert len({line.split(b",")[-1] for line in lines}) == 210
