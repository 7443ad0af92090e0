"""Whatever a publisher sends, what viewers get keeps its promises: numbers, durations, clocks, playlists."""

import asyncio
import dataclasses

import hypothesis.strategies as st
from hypothesis import given
from tests import live_samples, playlist_rules

from fastpix_server.engine import boxes
from fastpix_server.ingest.model import CLOCK_HZ, Sample
from fastpix_server.live.broadcast import Broadcast
from fastpix_server.live.model import FinishedSegment, PlaylistQuery, SessionSpec
from fastpix_server.live.packager.segments import PART_MAX_S

SPEC = SessionSpec("session", "0" * 32, "workspace", "rev", "place", 1080, is_dvr=False, is_recorded=True)
SOURCE = live_samples.publication(seconds=1)
OTHER = live_samples.publication(seconds=1, size="192x108", rate_hz=44_100)
FRAME = CLOCK_HZ // 30
SOUND = 1920  # 1024 samples at 48 kHz


@dataclasses.dataclass(frozen=True)
class Act:
    """`count` pictures with their sound, and what goes wrong before them."""

    count: int
    gop: int
    video_jump_s: float = 0.0
    audio_jump_s: float = 0.0
    without: str = ""
    change: str = ""


jumps = st.one_of(st.just(0.0), st.floats(-5, 5), st.sampled_from([-47721.0, 0.6, 0.5, -0.1, 0.04, 1e6, -1e6]))
acts = st.builds(
    Act,
    count=st.integers(1, 120),
    gop=st.sampled_from([1, 7, 30, 48, 60, 150]),
    video_jump_s=jumps,
    audio_jump_s=jumps,
    without=st.sampled_from(["", "", "", "audio", "video"]),
    change=st.sampled_from(["", "", "", "video", "audio", "reconnect"]),
)


class Session:
    """A broadcast, and everything that came out of it."""

    def __init__(self) -> None:
        self.segments: dict[str, list[FinishedSegment]] = {}
        self.playlists: dict[str, playlist_rules.Playlist] = {}
        self.now_s = 1_700_000_000.0
        self.broadcast = Broadcast(
            SPEC,
            on_segment=lambda s: self.segments.setdefault(s.rendition.name, []).append(s),
            on_active=lambda: None,
            on_end_of_epoch=lambda _: None,
            now_s=lambda: self.now_s,
        )
        self.sink = self.broadcast.begin_epoch(live_samples.FakePublisher())
        self.publication = SOURCE
        self.video_dts = self.audio_dts = 0
        self.pictures = 0

    def announce(self, publication: live_samples.Publication, kinds: tuple[str, ...] = ("video", "audio")) -> None:
        for kind in kinds:
            self.sink.on_track(publication.track(kind))

    async def act(self, act: Act) -> None:
        if act.change == "reconnect":
            self.sink.on_end("eof")
            self.now_s += 7
            self.sink = self.broadcast.begin_epoch(live_samples.FakePublisher())
            self.announce(self.publication)
        elif act.change:
            self.publication = OTHER if self.publication is SOURCE else SOURCE
            self.announce(self.publication, (act.change,))
        self.video_dts += round(act.video_jump_s * CLOCK_HZ)
        self.audio_dts += round(act.audio_jump_s * CLOCK_HZ)
        began, audio_began = self.video_dts, self.audio_dts
        for k in range(act.count):
            self.now_s += 1 / 30
            self.video_dts += FRAME
            if act.without != "video":
                self.sink.on_sample(Sample("video", self.video_dts, 2 * FRAME, k % act.gop == 0, b"\0\0\0\1\x09" * 9))
            while self.audio_dts - audio_began < self.video_dts - began:
                if act.without != "audio":
                    self.sink.on_sample(Sample("audio", self.audio_dts, 0, True, b"\x21" * 30))
                self.audio_dts += SOUND
            if k % 15 == 14:
                await self.look()

    async def look(self) -> None:
        for name in [*self.segments]:
            answer = await self.broadcast.playlist(name, PlaylistQuery())
            if answer.status == 200:
                read = playlist_rules.read(answer.body.decode(), is_steady=False)
                if name in self.playlists:
                    playlist_rules.check_update(self.playlists[name], read)
                self.playlists[name] = read
                delta = await self.broadcast.playlist(name, PlaylistQuery(skip=True))
                assert playlist_rules.read(delta.body.decode(), is_steady=False).last_number == read.last_number


def check_media(segments: list[FinishedSegment]) -> None:
    """The bytes say what the records say, and each part begins where the one before has ended."""
    end_of: dict[int, int] = {}
    for segment in segments:
        parts = [b for b in boxes.walk(segment.data) if b.kind == b"moof"]
        total = 0
        for at, moof in enumerate(parts):
            data = segment.data[moof.start : moof.end]
            start = boxes.decode_time(data)
            duration = boxes.fragment_totals(data).duration_ticks
            assert start == (segment.start_ticks if at == 0 else end_of[segment.epoch])
            if at == 0 and segment.epoch in end_of:
                assert start == end_of[segment.epoch], "a hole within an epoch"
            assert duration <= PART_MAX_S * segment.rendition.timescale
            end_of[segment.epoch] = start + duration
            total += duration
        assert total == segment.duration_ticks


def check_records(by_name: dict[str, list[FinishedSegment]]) -> None:
    for segments in by_name.values():
        numbers = [s.number for s in segments]
        assert numbers == sorted(set(numbers))
        starts = [s.start_ticks / s.rendition.timescale for s in segments]
        assert starts == sorted(starts)
        for segment in segments:
            assert segment.init
            assert segment.start_ticks >= 0
        check_media(segments)
        first_of_epoch = {s.epoch: s for s in reversed(segments)}
        for segment in segments:
            if segment.is_discontinuity:
                assert segment is first_of_epoch[segment.epoch]
    for a in by_name.get("source", []):
        for b in by_name.get("a0", []):
            if a.number == b.number:  # the same number is the same time, within a frame of sound and a missing end
                apart_s = a.start_ticks / a.rendition.timescale - b.start_ticks / b.rendition.timescale
                assert a.epoch == b.epoch
                assert abs(apart_s) < 0.05 or b.is_discontinuity or b.number == 0, (a.number, apart_s)


@given(st.lists(acts, min_size=1, max_size=6))
def test_promises_are_kept_in_any_order_of_jumps_gaps_and_changes(acts: list[Act]):
    async def run() -> Session:
        session = Session()
        session.announce(SOURCE)
        for act in acts:
            await session.act(act)
        session.sink.on_end("eof")
        session.broadcast.end()
        await session.look()
        await session.broadcast.close()
        return session

    session = asyncio.run(run())
    check_records(session.segments)
