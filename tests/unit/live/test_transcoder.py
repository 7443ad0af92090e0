"""Lower rungs of a running session, made by real encoders."""

import asyncio
import os
import signal
import stat
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from tests import live_samples, playlist_rules
from tests.live_samples import BEEP, FLASH, FakePublisher, Publication, feed_in_time

from fastpix_server.engine import binaries
from fastpix_server.ingest.model import CLOCK_HZ
from fastpix_server.live import transcoder
from fastpix_server.live.broadcast import Broadcast
from fastpix_server.live.model import FinishedSegment, PlaylistQuery, SessionSpec
from fastpix_server.live.transcoder import Transcoder

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not look like a slow encoder; the tests of the limits set their own."""
    monkeypatch.setattr(transcoder, "MAX_LAG_S", 2.0 * PATIENCE_S)
    monkeypatch.setattr(transcoder, "STALL_S", PATIENCE_S)
    monkeypatch.setattr(transcoder, "FIRST_OUTPUT_S", PATIENCE_S)
    monkeypatch.setattr(transcoder, "DRAIN_S", PATIENCE_S)


class Live:
    def __init__(self, max_lines: int = 1080) -> None:
        spec = SessionSpec("session", "0" * 32, "workspace", "rev", "place", max_lines, is_dvr=True, is_recorded=True)
        self.segments: list[FinishedSegment] = []
        self.publisher = FakePublisher()
        self.broadcast = Broadcast(
            spec, on_segment=self.segments.append, on_active=lambda: None, on_end_of_epoch=lambda _: None
        )

    def of(self, rendition: str, epoch: int | None = None) -> list[FinishedSegment]:
        return [s for s in self.segments if s.rendition.name == rendition and epoch in (None, s.epoch)]

    async def publish(self, publication: Publication, speed: float = 2.0) -> None:
        """A whole connection, and everything that comes out of the encoder after it."""
        sink = self.broadcast.begin_epoch(self.publisher)
        await feed_in_time(sink, publication, speed=speed)
        sink.on_end("eof")
        await until(lambda: self.child is None)
        self.broadcast.end()

    @property
    def child(self) -> Transcoder | None:
        return self.broadcast._stage._transcoder

    async def running_child(self) -> Transcoder:
        await until(lambda: self.child is not None and self.child._has_given)
        assert self.child is not None
        return self.child


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.02)


def pictures(segments: list[FinishedSegment]) -> np.ndarray:
    """Every picture, small and grey."""
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-i", "pipe:0", "-fps_mode", "passthrough"]
    argv += ["-vf", "scale=64:36", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]
    data = segments[0].init + b"".join(s.data for s in segments)
    done = subprocess.run(argv, input=data, capture_output=True, check=True)
    assert done.stderr == b""
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 36, 64).astype(int)


def sound(segments: list[FinishedSegment]) -> np.ndarray:
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-i", "pipe:0", "-ac", "1", "-f", "s16le", "pipe:1"]
    data = segments[0].init + b"".join(s.data for s in segments)
    done = subprocess.run(argv, input=data, capture_output=True, check=True)
    assert done.stderr == b""
    return np.frombuffer(done.stdout, np.int16)


async def test_rungs_have_the_source_s_pictures_cut_at_the_same_places():
    live = Live()
    await live.publish(live_samples.publication(seconds=5, size="1280x720", gop=45))
    source, rung = live.of("source"), live.of("480p")
    assert [s.number for s in rung] == [s.number for s in source] == [0, 1, 2, 3]
    assert [s.start_ticks for s in rung] == [s.start_ticks for s in source]
    for a, b in zip(source, rung, strict=True):
        assert abs(a.duration_ticks - b.duration_ticks) <= CLOCK_HZ // 500
    own, lower = pictures(source), pictures(rung)
    assert len(own) == len(lower) == 150
    for k in range(5, 145):  # the picture of the same number is the most alike
        apart = [np.abs(own[k] - lower[k + d]).mean() for d in (-2, 0, 2)]
        assert apart[1] == min(apart), k
    read = playlist_rules.read((await live.broadcast.playlist("480p", PlaylistQuery())).body.decode())
    assert read.is_ended
    assert "854x480" in (await live.broadcast.multivariant({}, "x")).body.decode()
    await live.broadcast.close()


async def test_a_publisher_with_rare_key_frames_is_encoded_from_the_moment_that_shows_it():
    live = Live()
    await live.publish(live_samples.publication(seconds=11, size="320x240", gop=600, b_frames=0))
    assert {s.rendition.name for s in live.segments} == {"source", "a0"}, "whoever watches the source goes on with it"
    copied, encoded = live.of("source", 0), live.of("source", 1)
    assert len(pictures(copied)) + len(pictures(encoded)) == 330, "no picture is lost between them"
    lengths_s = [s.duration_ticks / CLOCK_HZ for s in encoded]
    assert all(round(length_s) <= 2 for length_s in lengths_s)
    read = playlist_rules.read((await live.broadcast.playlist("source", PlaylistQuery())).body.decode())
    assert read.target_s == 4
    assert [s.is_discontinuity for s in read.segments].count(True) == 1
    assert not any(s.is_gap for s in read.segments)
    await live.broadcast.close()


async def test_a_publisher_of_another_size_goes_on_in_every_rendition_that_was_shown():
    live = Live()
    sink = live.broadcast.begin_epoch(live.publisher)
    await feed_in_time(sink, live_samples.publication(seconds=3, size="1280x720"))
    sink.on_end("eof")
    await until(lambda: live.child is None)
    sink = live.broadcast.begin_epoch(live.publisher)
    live_samples.feed(sink, live_samples.publication(seconds=3, size="320x180", gop=30))
    sink.on_end("eof")
    live.broadcast.end()
    for name in ("source", "480p"):
        assert len(pictures(live.of(name, 1))) == 90
        read = playlist_rules.read((await live.broadcast.playlist(name, PlaylistQuery())).body.decode())
        assert [s.is_gap for s in read.segments] == [False] * len(read.segments)
    await live.broadcast.close()


def first_white(shown: np.ndarray) -> list[int]:
    is_white = shown.mean((1, 2)) > 128
    return [k for k in range(1, len(is_white)) if is_white[k] and not is_white[k - 1]]


def first_loud(heard: np.ndarray, rate_hz: int) -> list[float]:
    loud = np.flatnonzero(np.abs(heard.astype(int)) > 4000)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-rate_hz) > rate_hz // 2)]
    return [int(s) / rate_hz for s in starts]


@pytest.mark.parametrize(("audio", "rate_hz"), [("aac", 44_100), ("libopus", 48_000)])
async def test_flash_and_beep_stay_together(audio: str, rate_hz: int):
    published = live_samples.publication(
        seconds=6, size="640x640", audio=audio, rate_hz=rate_hz, picture=FLASH, tone=BEEP
    )
    live = Live()
    await live.publish(published)
    beeps = live.of("a0")
    began_s = beeps[0].start_ticks / beeps[0].rendition.timescale
    heard_s = [began_s + t for t in first_loud(sound(beeps), beeps[0].rendition.sample_rate_hz or rate_hz)]
    for name in ("source", "480p"):
        # Pictures are counted, one each 1/30 s: readers that move them all (negative offsets) do not matter here.
        flashes_s = [k / 30 for k in first_white(pictures(live.of(name)))]
        assert len(flashes_s) == 5, name
        for flash_s in flashes_s:
            apart_s = min((t - flash_s for t in heard_s), key=abs)
            assert abs(apart_s) < 0.025, (name, apart_s)
    await live.broadcast.close()


@pytest.mark.parametrize("late_s", [0.0, 0.009, 0.02])
async def test_what_the_sound_encoder_puts_before_the_first_frame_is_left_out(late_s: float):
    """Its first frame begins up to 1024 samples before what was fed: before the session's zero, there is no time."""
    published = live_samples.publication(seconds=3, size="320x180", audio="libopus")
    moved = sorted(live_samples.shifted(published.samples, late_s, "audio"), key=lambda sample: sample.dts)
    live = Live()
    await live.publish(live_samples.Publication(published.tracks, tuple(moved)))
    sound_s = sum(s.duration_ticks / s.rendition.timescale for s in live.of("a0"))
    assert live.of("a0")[0].start_ticks >= 0
    assert 2.8 < sound_s < 3.1
    assert live.broadcast.health()["encoder_failures"] == 0
    await live.broadcast.close()


async def test_a_source_above_what_the_stream_allows_is_not_offered():
    live = Live(max_lines=480)
    await live.publish(live_samples.publication(seconds=5, size="640x640", fps="15", gop=30))
    assert {s.rendition.name for s in live.segments} == {"480p", "a0"}
    assert len(pictures(live.of("480p"))) == 75
    await live.broadcast.close()


async def test_a_child_that_is_killed_is_followed_by_another_behind_a_discontinuity():
    live = Live()
    sink = live.broadcast.begin_epoch(live.publisher)
    published = live_samples.publication(seconds=12, size="640x640", fps="15", gop=15)
    feeding = asyncio.create_task(feed_in_time(sink, published))
    child = await live.running_child()
    await until(lambda: len(live.of("480p")) > 0)
    assert child._process is not None
    os.killpg(child._process.pid, signal.SIGKILL)
    await feeding
    sink.on_end("eof")
    await until(lambda: live.child is None)
    live.broadcast.end()
    assert {s.epoch for s in live.of("480p")} == {0, 1}
    assert live.broadcast.health()["encoder_failures"] == 1
    for name in ("source", "480p", "a0"):
        read = playlist_rules.read((await live.broadcast.playlist(name, PlaylistQuery(is_dvr=True))).body.decode())
        assert sum(s.is_discontinuity for s in read.segments) == 1
        assert read.last_number == live.of("source")[-1].number
    await live.broadcast.close()


async def test_a_child_that_gives_nothing_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transcoder, "STALL_S", 0.5)
    live = Live()
    sink = live.broadcast.begin_epoch(live.publisher)
    feeding = asyncio.create_task(
        feed_in_time(sink, live_samples.publication(seconds=12, size="640x640", fps="15", gop=15), speed=1)
    )
    child = await live.running_child()
    assert child._process is not None
    os.killpg(child._process.pid, signal.SIGSTOP)
    await until(lambda: live.broadcast.health()["encoder_failures"] == 1)
    feeding.cancel()
    sink.on_end("eof")
    await live.broadcast.close()


async def test_when_the_encoder_is_too_slow_whole_segments_are_left_out(monkeypatch: pytest.MonkeyPatch):
    live = Live()
    published = live_samples.publication(seconds=12, size="640x640", fps="15", gop=30)
    publishing = asyncio.create_task(live.publish(published))
    await until(lambda: len(live.of("480p")) > 0)
    monkeypatch.setattr(transcoder, "MAX_LAG_S", -1.0)
    await until(lambda: live.child is None or live.child.skipped_segments > 0)
    monkeypatch.setattr(transcoder, "MAX_LAG_S", 2.0 * PATIENCE_S)
    await publishing
    assert live.broadcast.health()["encoder_skipped_segments"]
    read = playlist_rules.read((await live.broadcast.playlist("480p", PlaylistQuery())).body.decode())
    source = playlist_rules.read((await live.broadcast.playlist("source", PlaylistQuery())).body.decode())
    assert any(s.is_gap for s in read.segments)
    assert read.last_number == source.last_number
    assert not any(s.is_gap for s in source.segments)
    await live.broadcast.close()


@pytest.fixture
def broken_ffmpeg(tmp_path: Path) -> Iterator[None]:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    binaries.configure(ffmpeg=str(program))
    yield
    binaries.configure()


async def feed_until(live: Live, published: Publication, is_so: Callable[[], bool]) -> None:
    """The publication again and again, as one connection."""
    sink = live.broadcast.begin_epoch(live.publisher)
    waiting: Awaitable[None] = asyncio.create_task(until(is_so))
    for round_number in range(100):
        moved = Publication(published.tracks, tuple(live_samples.shifted(published.samples, round_number * 3)))
        await feed_in_time(sink, moved, speed=3)
        if is_so():
            break
    await waiting


@pytest.mark.usefixtures("broken_ffmpeg")
async def test_without_a_working_encoder_the_source_is_played_alone():
    live = Live()
    published = live_samples.publication(seconds=3, size="640x640", fps="15", gop=8)
    scheme = lambda: live.broadcast._stage.scheme  # noqa: E731
    await feed_until(live, published, lambda: (s := scheme()) is not None and not s.needs_encoder)
    assert live.broadcast.health()["encoder_failures"] == transcoder.MAX_RESTARTS
    assert live.publisher.kicked == []
    await live.broadcast.close()


@pytest.mark.usefixtures("broken_ffmpeg")
async def test_a_publisher_that_nobody_could_play_is_sent_away():
    live = Live()
    published = live_samples.publication(seconds=3, size="320x180", gop=15, audio="libopus")
    await feed_until(live, published, lambda: bool(live.publisher.kicked))
    await live.broadcast.close()


async def test_when_the_only_rung_is_too_slow_the_sound_still_has_segments_of_allowed_lengths(
    monkeypatch: pytest.MonkeyPatch,
):
    live = Live(max_lines=480)
    published = live_samples.publication(seconds=14, size="640x640", fps="15", gop=15)
    publishing = asyncio.create_task(live.publish(published))
    await until(lambda: len(live.of("480p")) > 0)
    monkeypatch.setattr(transcoder, "MAX_LAG_S", -1.0)
    await until(lambda: live.child is None or live.child.skipped_segments > 2)
    monkeypatch.setattr(transcoder, "MAX_LAG_S", 2.0 * PATIENCE_S)
    await publishing
    for name in ("480p", "a0"):
        read = playlist_rules.read((await live.broadcast.playlist(name, PlaylistQuery(is_dvr=True))).body.decode())
        assert [s.number for s in read.segments] == list(range(len(read.segments)))
        assert any(s.is_gap for s in read.segments) is (name == "480p")
        assert sum(s.duration_s for s in read.segments) == pytest.approx(14, abs=0.1)
    await live.broadcast.close()
