"""A session as its viewers, its publisher and its readers see it."""

import asyncio
import dataclasses
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import pytest
from tests import live_samples, playlist_rules
from tests.live_samples import FakePublisher, Publication

from fastpix_server.ingest.model import CLOCK_HZ, Sample, Sink, Track
from fastpix_server.live import broadcast as broadcasts
from fastpix_server.live.broadcast import Broadcast
from fastpix_server.live.model import Answer, FinishedSegment, JournalRow, PlaylistQuery, SessionSpec
from fastpix_server.live.packager import package

SPEC = SessionSpec("session", "0" * 32, "workspace", "rev", "place", 1080, is_dvr=False, is_recorded=True)
NOW_S = 1_700_000_000.0


class Live:
    """A broadcast with a clock that follows the publisher's, and everything that it said."""

    def __init__(
        self, spec: SessionSpec = SPEC, *, restored: Sequence[JournalRow] = (), is_stored: bool = True
    ) -> None:
        self.segments: list[FinishedSegment] = []
        self.said: list[str] = []
        self.now_s = NOW_S
        self.broadcast = Broadcast(
            spec,
            on_segment=self.segments.append,
            on_active=lambda: self.said.append("active"),
            on_end_of_epoch=self.said.append,
            restored=restored,
            load=self.load,
            load_init=self.load_init,
            now_s=lambda: self.now_s,
        )

    async def load(self, rendition: str, number: int) -> bytes | None:
        return next((s.data for s in self.of(rendition) if s.number == number), None)

    async def load_init(self, rendition: str, epoch: int) -> bytes | None:
        return next((s.init for s in self.of(rendition) if s.epoch == epoch), None)

    def of(self, rendition: str) -> list[FinishedSegment]:
        return [s for s in self.segments if s.rendition.name == rendition]

    def connect(self) -> Sink:
        return self.broadcast.begin_epoch(FakePublisher())

    def feed(self, sink: Sink, publication: Publication, until_s: float = 1e9, from_s: float = -1e9) -> None:
        if from_s < 0:
            for track in publication.tracks:
                sink.on_track(track)
        for sample in publication.samples:
            if from_s <= sample.dts / CLOCK_HZ < until_s:
                self.now_s = NOW_S + sample.dts / CLOCK_HZ
                sink.on_sample(sample)

    async def text(self, rendition: str, query: PlaylistQuery = PlaylistQuery()) -> str:  # noqa: B008 - frozen
        answer = await self.broadcast.playlist(rendition, query)
        assert answer.status == 200, answer
        return answer.body.decode()

    async def read(self, rendition: str, query: PlaylistQuery = PlaylistQuery()) -> playlist_rules.Playlist:  # noqa: B008
        return playlist_rules.read(await self.text(rendition, query))


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    session = Live()
    yield session
    await session.broadcast.close()


def publication(seconds: float = 7, **other: object) -> Publication:
    """Too small for a second rung: no encoder takes part."""
    return live_samples.publication(seconds=seconds, **other)  # type: ignore[arg-type]


async def media(live: Live, rendition: str) -> bytes:
    """What a player loads, part by part, from the newest playlist, and the init segment before it."""
    read = await live.read(rendition)
    uris = [p.uri for s in [*read.segments, *([read.open] if read.open else [])] for p in s.parts]
    answers = [await live.broadcast.init(rendition, 0)]
    for uri in uris:
        number, part = uri.removesuffix(".m4s").split(".")
        answers.append(await live.broadcast.part(rendition, int(number), int(part)))
    assert {a.status for a in answers} == {200}
    return b"".join(a.body for a in answers)


def decoded(data: bytes, *arguments: str) -> tuple[bytes, bytes]:
    """(what ffmpeg decodes, what it warns of)."""
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-i", "pipe:0", *arguments, "pipe:1"]
    done = subprocess.run(argv, input=data, capture_output=True, check=True)
    return done.stdout, done.stderr


async def test_every_picture_of_the_parts_is_there_once_and_ffmpeg_warns_of_nothing(live: Live):
    sink = live.connect()
    live.feed(sink, publication())
    sink.on_end("eof")
    frames, warnings = decoded(await media(live, "source"), "-f", "framecrc")
    assert warnings == b""
    lines = [line.split(b",") for line in frames.splitlines() if not line.startswith(b"#")]
    times = [int(line[2]) for line in lines]
    assert times == [times[0] + k for k in range(len(times))]
    assert len(times) == 210
    assert len({line[-1] for line in lines}) == 210, "all pictures of the counter differ"


async def test_the_sound_of_the_parts_has_no_hole_and_no_click(live: Live):
    live.feed(live.connect(), publication())
    sound, warnings = decoded(await media(live, "a0"), "-f", "s16le")
    assert warnings == b""
    assert len(sound) // 4 % 1024 == 0
    assert 6.6 < len(sound) / 4 / 48_000 < 6.75


async def test_playlists_follow_the_rules_at_every_moment(live: Live):
    sink, source = live.connect(), publication(20)
    live.feed(sink, source, until_s=-1)
    last: dict[str, playlist_rules.Playlist] = {}
    for at, sample in enumerate(source.samples):
        live.now_s = NOW_S + sample.dts / CLOCK_HZ
        sink.on_sample(sample)
        if at % 11 or not live.broadcast.is_playable():
            continue
        for name in ("source", "a0"):
            read = await live.read(name)
            if name in last:
                playlist_rules.check_update(last[name], read)
            last[name] = read
            assert set(read.reports) == {"../a0/index.m3u8" if name == "source" else "../source/index.m3u8"}
    assert last["source"].last_number >= 8


async def test_the_hint_names_the_part_that_comes_next(live: Live):
    sink, source = live.connect(), publication(20)
    hinted = known = ""
    live.feed(sink, source, until_s=4.1)
    for tenth in range(41, 190):
        live.feed(sink, source, from_s=tenth / 10, until_s=tenth / 10 + 0.1)
        read = await live.read("source")
        newest = (read.open or read.segments[-1]).parts[-1].uri
        if newest != known:
            assert hinted in ("", newest)
        hinted, known = read.hint, newest


async def test_a_publisher_that_comes_back_continues_the_numbers_behind_a_discontinuity(live: Live):
    sink = live.connect()
    live.feed(sink, publication())
    sink.on_end("eof")
    before = await live.read("source")
    assert sum(s.duration_s for s in before.segments) == pytest.approx(7.0), "the tail is out at once"
    live.feed(live.connect(), publication(size="192x108"))
    read = await live.read("source")
    playlist_rules.check_update(before, read)
    [cut] = [s for s in read.segments if s.is_discontinuity]
    assert cut.number == before.last_number + 1
    assert cut.map_uri == "init-1.mp4"
    starts = [s.start_ticks / s.rendition.timescale for s in live.of("source")]
    # The second epoch begins where the longest rendition (the sound) of the first has ended.
    assert starts == pytest.approx([0, 2, 4, 6, 7, 9, 11], abs=0.03), "the session's clock goes on without a hole"
    assert live.said == ["active", "eof", "active"]
    assert (await live.broadcast.init("source", 1)).body != (await live.broadcast.init("source", 0)).body


async def test_times_of_day_are_those_of_the_earliest_arrival(live: Live):
    sink, source = live.connect(), publication()
    for track in source.tracks:
        sink.on_track(track)
    for at, sample in enumerate(source.samples):
        late_s = 0.3 if at == 0 else 0.05
        live.now_s = NOW_S + sample.dts / CLOCK_HZ + late_s
        sink.on_sample(sample)
    first = live.of("source")[0]
    assert first.pdt_ms in (round((NOW_S + 0.05) * 1000), round((NOW_S + 0.3) * 1000))
    steps = {b.pdt_ms - a.pdt_ms for a, b in zip(live.of("source"), live.of("source")[1:], strict=False)}
    assert steps == {2000}


async def test_a_thousand_blocked_reloads_are_released_by_one_part(live: Live):
    sink, source = live.connect(), publication()
    live.feed(sink, source, until_s=4.2)
    newest = await live.read("source")
    number, part = (int(x) for x in newest.hint.removesuffix(".m4s").split("."))
    query = PlaylistQuery(msn=number, part=part)
    waiting = [asyncio.create_task(live.broadcast.playlist("source", query)) for _ in range(1000)]
    await asyncio.sleep(0)
    assert live.broadcast.health()["waiting_requests"] == 1000
    live.feed(sink, source, from_s=4.2, until_s=4.8)
    answers = await asyncio.gather(*waiting)
    assert {a.status for a in answers} == {200}
    assert len({a.body for a in answers}) == 1
    assert f"{number}.{part}.m4s" in answers[0].body.decode()
    assert live.broadcast.health()["waiting_requests"] == 0


async def test_more_requests_than_may_wait_are_told_to_come_again(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broadcasts, "MAX_WAITERS", 2)
    live.feed(live.connect(), publication())
    tasks = [asyncio.create_task(live.broadcast.playlist("source", PlaylistQuery(msn=4))) for _ in range(3)]
    done, pending = await asyncio.wait(tasks, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert [t.result().status for t in done] == [503]
    assert len(pending) == 2
    live.broadcast.end()
    assert {a.status for a in await asyncio.gather(*pending)} == {200}


async def test_a_blocked_reload_without_news_ends_with_503(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broadcasts, "WAIT_TARGETS", 0.05)
    live.feed(live.connect(), publication())
    assert (await live.broadcast.playlist("source", PlaylistQuery(msn=4))).status == 503


async def test_while_the_publisher_is_away_a_blocked_reload_gets_the_old_playlist(
    live: Live, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(broadcasts, "WAIT_TARGETS", 0.05)
    sink = live.connect()
    live.feed(sink, publication())
    sink.on_end("eof")
    answer = await live.broadcast.playlist("source", PlaylistQuery(msn=4))
    assert (answer.status, answer.max_age_s) == (200, 0)
    assert answer.body.decode() == await live.text("source")


async def test_memory_is_bounded_and_what_has_left_it_comes_from_storage(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(package, "MAX_MEMORY_BYTES", 300_000)
    live.feed(live.connect(), publication(40))
    assert sum(len(s.data) for s in live.segments) > 1_000_000
    biggest = max(len(s.data) for s in live.segments)
    assert live.broadcast.health()["held_bytes"] <= 300_000 + 2 * biggest  # type: ignore[operator]
    read = await live.read("source")
    assert len(read.segments) == 19
    bodies = [(await live.broadcast.segment("source", s.number)).body for s in read.segments]
    assert bodies == [s.data for s in live.of("source")]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (PlaylistQuery(part=0), 400),
        (PlaylistQuery(msn=99), 400),
        (PlaylistQuery(msn=6), 400),
        (PlaylistQuery(msn=3, part=40), 400),
        (PlaylistQuery(msn=0), 200),
        (PlaylistQuery(msn=2, part=9), 200),  # behind the last part of a whole segment: the first of the next
        (PlaylistQuery(msn=3, part=0), 200),
    ],
)
async def test_delivery_directives_are_judged(live: Live, query: PlaylistQuery, status: int):
    live.feed(live.connect(), publication())
    assert (await live.broadcast.playlist("source", query)).status == status


async def test_a_hinted_part_is_waited_for_and_one_that_never_comes_is_not_found(live: Live):
    sink, source = live.connect(), publication()
    live.feed(sink, source, until_s=4.2)
    read = await live.read("source")
    number, part = (int(x) for x in read.hint.removesuffix(".m4s").split("."))
    coming = asyncio.create_task(live.broadcast.part("source", number, part))
    never = asyncio.create_task(live.broadcast.part("source", number, 9))
    await asyncio.sleep(0)
    live.feed(sink, source, from_s=4.2)
    sink.on_end("eof")
    assert (await coming).status == 200
    assert (await never).status == 404
    for number, part in ((0, 7), (99, 0), (-1, 0), (0, -1)):
        assert (await live.broadcast.part("source", number, part)).status == 404


async def test_delta_updates_leave_out_what_the_player_has(live: Live):
    live.feed(live.connect(), publication(40))
    whole, delta = await live.read("source"), await live.read("source", PlaylistQuery(skip=True))
    assert delta.skipped > 1
    kept_s = sum(s.duration_s for s in delta.segments)
    assert kept_s >= 12, "nothing newer than the skip boundary is left out"
    assert [s.uri for s in delta.segments] == [s.uri for s in whole.segments[delta.skipped :]]


async def test_about_a_minute_is_listed_and_older_segments_come_from_storage(live: Live):
    sink, source = live.connect(), publication(100, fps="10", gop=20)
    live.feed(sink, source)
    read = await live.read("source")
    assert 58 <= sum(s.duration_s for s in read.segments) <= 64
    assert live.broadcast.health()["held_bytes"] < sum(len(s.data) for s in live.segments)
    stored = live.of("source")[0]
    assert (await live.broadcast.segment("source", 0)).body == stored.data
    sink.on_end("eof")
    assert (await live.broadcast.init("source", 0)).body == stored.init
    assert (await live.broadcast.segment("source", 10_000)).status == 404


async def test_a_stream_with_dvr_lists_the_whole_session_when_it_is_asked_to():
    live = Live(dataclasses.replace(SPEC, is_dvr=True))
    live.feed(live.connect(), publication(100, fps="10", gop=20))
    whole, edge = await live.read("source", PlaylistQuery(is_dvr=True)), await live.read("source")
    assert whole.kind == "EVENT"
    assert whole.media_sequence == 0
    assert edge.media_sequence > 10
    assert not edge.kind
    text = (await live.broadcast.multivariant({"dvrMode": "true"}, "x")).body.decode()
    assert "x/source/index.m3u8?dvrMode=true" in text
    assert (await live.broadcast.segment("source", 0)).status == 200
    await live.broadcast.close()


async def test_dvr_is_ignored_for_a_stream_without_it(live: Live):
    live.feed(live.connect(), publication())
    assert not (await live.read("source", PlaylistQuery(is_dvr=True))).kind
    assert b"dvrMode" not in (await live.broadcast.multivariant({"dvrMode": "true"}, "x")).body


async def test_the_end_closes_playlists_and_answers_at_once(live: Live):
    live.feed(live.connect(), publication())
    waiting = asyncio.create_task(live.broadcast.playlist("source", PlaylistQuery(msn=4)))
    await asyncio.sleep(0)
    live.broadcast.end()
    assert (await waiting).body.endswith(b"#EXT-X-ENDLIST\n")
    read = await live.read("source", PlaylistQuery(msn=4, part=2))
    assert read.is_ended
    assert sum(s.duration_s for s in read.segments) == pytest.approx(7.0)
    assert live.said == ["active", "session_over"]


async def test_a_session_that_is_only_closed_stays_open_for_whoever_takes_it_over(live: Live):
    live.feed(live.connect(), publication())
    waiting = asyncio.create_task(live.broadcast.playlist("source", PlaylistQuery(msn=4)))
    await asyncio.sleep(0)
    await live.broadcast.close()
    assert (await waiting).status == 503
    assert not (await live.read("source")).is_ended
    assert sum(s.duration_ticks for s in live.of("source")) == 7 * CLOCK_HZ, "the tail went to the recorder"


def rows(live: Live) -> list[JournalRow]:
    return [
        JournalRow(
            rendition=s.rendition.name,
            number=s.number,
            epoch=s.epoch,
            start_ticks=s.start_ticks,
            duration_ticks=s.duration_ticks,
            timescale=s.rendition.timescale,
            pdt_ms=s.pdt_ms,
            size_bytes=len(s.data),
            is_discontinuity=s.is_discontinuity,
        )
        for s in live.segments
    ]


async def test_after_a_restart_playlists_are_there_and_go_on(live: Live):
    sink = live.connect()
    live.feed(sink, publication())
    sink.on_end("eof")
    before = await live.read("source")
    again = Live(restored=rows(live))
    again.segments = list(live.segments)
    assert again.broadcast.is_playable()
    restored = await again.read("source")
    assert [s.uri for s in restored.segments] == [s.uri for s in before.segments]
    multivariant = (await again.broadcast.multivariant({}, "x")).body.decode()
    assert "avc1." in multivariant
    assert "mp4a.40.2" in multivariant
    again.feed(again.connect(), publication())
    read = await again.read("source")
    playlist_rules.check_update(before, read)
    assert [s.number for s in read.segments if s.is_discontinuity] == [4]
    await again.broadcast.close()


async def test_a_number_that_was_not_stored_is_a_gap_after_a_restart(live: Live):
    sink = live.connect()
    live.feed(sink, publication())
    sink.on_end("eof")
    kept = [r for r in rows(live) if (r.rendition, r.number) != ("a0", 1) and r.number != 2]
    again = Live(restored=kept)
    assert [s.is_gap for s in (await again.read("a0")).segments] == [False, True, True, False]
    assert [s.is_gap for s in (await again.read("source")).segments] == [False, False, True, False]
    assert (await again.broadcast.segment("a0", 1)).status == 404


class Reader:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_track(self, track: Track) -> None:
        self.heard.append(track)

    def on_sample(self, sample: Sample) -> None:
        self.heard.append(sample)

    def on_end(self, reason: str) -> None:
        self.heard.append(reason)


async def test_a_reader_gets_tracks_at_once_and_samples_from_a_key_frame(live: Live):
    sink, source = live.connect(), publication()
    live.feed(sink, source, until_s=3)
    reader = Reader()
    undo = live.broadcast.add_reader(reader)
    assert reader.heard == list(source.tracks)
    live.feed(sink, source, from_s=3, until_s=5)
    first = reader.heard[2]
    assert isinstance(first, Sample)
    assert (first.kind, first.is_key) == ("video", True)
    undo()
    count = len(reader.heard)
    live.feed(sink, source, from_s=5)
    live.broadcast.end()
    assert len(reader.heard) == count


async def test_a_reader_that_fails_is_taken_out_and_hurts_nobody(live: Live):
    class Broken(Reader):
        def on_sample(self, sample: Sample) -> None:
            raise RuntimeError("full")

    good = Reader()
    live.broadcast.add_reader(Broken())
    live.broadcast.add_reader(good)
    live.feed(live.connect(), publication())
    assert live.broadcast.health()["readers"] == 1
    assert len(good.heard) == 2 + len(publication().samples)
    live.broadcast.end()
    assert good.heard[-1] == "session_over"


async def test_the_newest_picture_can_be_decoded(live: Live, tmp_path: Path):
    assert live.broadcast.newest_picture() is None
    live.feed(live.connect(), publication())
    newest = live.broadcast.newest_picture()
    assert newest is not None
    pictures, _ = decoded(b"".join(newest), "-frames:v", "1", "-f", "image2", "-c:v", "png")
    assert pictures.startswith(b"\x89PNG")


async def test_before_anything_is_there_the_stream_is_not_ready(live: Live):
    async def statuses() -> list[int]:
        answers: list[Answer] = [
            await live.broadcast.multivariant({}, "x"),
            await live.broadcast.dash({}, "x"),
            await live.broadcast.playlist("source", PlaylistQuery()),
            await live.broadcast.segment("source", 0),
            await live.broadcast.init("source", 0),
            await live.broadcast.part("source", 0, 0),
        ]
        return [a.status for a in answers]

    assert await statuses() == [400, 400, 404, 404, 404, 404]
    live.feed(live.connect(), publication(), until_s=1.5)
    assert (await live.broadcast.multivariant({}, "x")).status == 400
    assert live.said == []


async def test_sound_alone_is_a_stream(live: Live):
    live.feed(live.connect(), publication(video=""))
    read = await live.read("a0")
    assert [round(s.duration_s, 1) for s in read.segments] == [1.0, 2.0, 2.0, 2.0]
    text = (await live.broadcast.multivariant({}, "x")).body.decode()
    assert 'CODECS="mp4a.40.2"' in text
    assert "RESOLUTION" not in text


async def test_pictures_alone_are_a_stream_and_a_second_connection_with_sound_has_it(live: Live):
    sink = live.connect()
    live.feed(sink, publication(audio=""))
    sink.on_end("eof")
    assert {s.rendition.name for s in live.segments} == {"source"}
    live.feed(live.connect(), publication())
    read = await live.read("a0")
    assert read.media_sequence == 4
    assert read.segments[0].is_discontinuity
    assert b'AUDIO="audio"' in (await live.broadcast.multivariant({}, "x")).body


async def test_a_connection_without_sound_is_silent_where_the_one_before_had_sound(live: Live):
    sink = live.connect()
    live.feed(sink, publication())
    sink.on_end("eof")
    sink = live.connect()
    live.feed(sink, publication(audio=""))
    sink.on_end("eof")
    [*_, last] = live.of("a0")
    assert last.epoch == 1
    seconds = [sum(s.duration_ticks / s.rendition.timescale for s in live.of(name)) for name in ("source", "a0")]
    assert seconds[1] == pytest.approx(seconds[0], abs=0.1)


@pytest.mark.parametrize("is_reconnect", [False, True])
async def test_sound_alone_after_pictures_leaves_no_gap_and_every_player_can_show_it(live: Live, is_reconnect: bool):
    whole = publication(12)
    heard = Publication((whole.track("audio"),), tuple(whole.of("audio")))
    sink = live.connect()
    live.feed(sink, whole, until_s=4)
    if is_reconnect:
        sink.on_end("eof")
        sink = live.connect()
        live.feed(sink, heard)
    else:
        live.feed(sink, heard, from_s=4)
    sink.on_end("eof")
    seconds = {name: sum(s.duration_ticks / s.rendition.timescale for s in live.of(name)) for name in ("source", "a0")}
    assert seconds["source"] > (15 if is_reconnect else 11)
    assert seconds["a0"] == pytest.approx(seconds["source"], abs=0.1)
    assert not any(s.is_gap for s in (await live.read("source")).segments)
    last = live.of("source")[-1]
    frames, warnings = decoded(last.init + last.data, "-f", "framecrc")
    assert warnings == b""
    assert len({line.split(b",")[-1] for line in frames.splitlines() if not line.startswith(b"#")}) == 1, "it stands"


async def test_pictures_of_another_size_within_a_connection_are_another_epoch(live: Live):
    sink = live.connect()
    live.feed(sink, publication())
    other = publication(size="192x108")
    sink.on_track(other.track("video"))
    for sample in live_samples.shifted(other.samples, 7):
        sink.on_sample(sample)
    sink.on_end("eof")
    assert [s.epoch for s in live.of("source")] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (live.of("source")[-1].rendition.width, live.of("source")[0].rendition.width) == (192, 320)
    assert live.said == ["active", "eof"]


@pytest.mark.parametrize(("allowed", "epochs"), [(3, {0}), (1, {0, 1})])
async def test_a_publisher_that_can_be_asked_for_key_frames_may_be_late_with_some(
    live: Live, monkeypatch: pytest.MonkeyPatch, allowed: int, epochs: set[int]
):
    monkeypatch.setattr(broadcasts, "LATE_KEYS_MAX", allowed)
    publisher = FakePublisher(has_keys_on_demand=True)
    sink = live.broadcast.begin_epoch(publisher)
    published = publication(seconds=11, gop=150)  # a key frame each 5 s
    for from_s in range(11):
        live.feed(sink, published, from_s=from_s - (from_s == 0), until_s=from_s + 1)
        await asyncio.sleep(0)
    assert publisher.asked == 2
    assert live.broadcast._package.target_duration_s == 4, "its first segment says nothing of the next"
    assert set(range(live.broadcast._package.epoch + 1)) == epochs
