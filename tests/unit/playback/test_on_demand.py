"""Segments on demand with real workers and real encoders: each one made once, for whoever waits, in time."""

import asyncio
import collections
import contextlib
import dataclasses
import io
import time

import httpx
import psutil
import pytest
from PIL import Image
from sqlalchemy import text
from tests import footage
from tests.planned import planned
from tests.playing import Playing, Published, until

from fastpix_server.base import ids
from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine.plan import Plan
from fastpix_server.playback import ledger, maker, runner, store, worker
from fastpix_server.playback.model import Measured

Key = tuple[str, int]


class Encodes:
    """What the foreground encoders of this process emitted, and how many ran at once."""

    def __init__(self) -> None:
        self.emitted: collections.Counter[Key] = collections.Counter()
        self.starts: list[Key] = []
        self.running = 0
        self.most_running = 0

    def wrap(self, encode):  # type: ignore[no-untyped-def]
        async def counted(plan, source, renditions, k0, k1, emit, **options):  # type: ignore[no-untyped-def]
            name = renditions.name if hasattr(renditions, "name") else renditions[0].name
            self.starts.append((name, k0))
            self.running += 1
            self.most_running = max(self.most_running, self.running)

            async def counting(rendition: str, k: int, data: bytes) -> None:
                self.emitted[rendition, k] += 1
                await emit(rendition, k, data)

            try:
                await encode(plan, source, renditions, k0, k1, counting, **options)
            finally:
                self.running -= 1

        return counted


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch) -> Encodes:
    found = Encodes()
    monkeypatch.setattr(maker, "encode_video", found.wrap(maker.encode_video))
    monkeypatch.setattr(maker, "encode_audio", found.wrap(maker.encode_audio))
    return found


async def one_rung() -> Plan:
    """The trailer (28 segments of 2 s) with its smallest rung and its sound only."""
    plan = await planned(footage.calm_film())
    return dataclasses.replace(plan, videos=plan.videos[-1:])


@pytest.fixture
async def film(stage: Playing) -> Published:
    return await stage.publish(footage.calm_film(), await one_rung())


RUNG = "270p"


async def test_a_crowd_on_two_edges_and_two_workers_makes_each_segment_once(
    stage: Playing, film: Published, encodes: Encodes
) -> None:
    edges = [await stage.edge(), await stage.edge()]
    for _ in range(2):
        await stage.maker()
    wanted = [(name, k) for name in (RUNG, "a0") for k in (0, 1, 2, 20)]
    answers = await asyncio.gather(
        *(edge.get(film.url(name, f"{k}.m4s")) for _ in range(8) for edge in edges for name, k in wanted)
    )
    assert {a.status_code for a in answers} == {200}
    assert all(encodes.emitted[key] == 1 for key in wanted)
    assert max(encodes.emitted.values()) == 1
    bodies = collections.defaultdict(set)
    for answer in answers:
        bodies[str(answer.url)].add(answer.content)
    assert len(bodies) == len(wanted)
    assert all(len(same) == 1 for same in bodies.values())


async def test_a_segment_that_is_made_while_a_wish_for_it_is_looked_at_is_not_made_again(
    stage: Playing, film: Published, encodes: Encodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, late = stage.storage.objects, f"/{RUNG}/1.fast.m4s"
    look = objects.size
    looks = []

    async def slow_look(key: str) -> int | None:
        """What a busy disk does: the answer is old when it comes."""
        found = await look(key)
        if key.endswith(late) and found is None and not looks:
            looks.append(key)
            await until(lambda: look(key))
            await asyncio.sleep(0.2)
        return found

    edge = await stage.edge()
    await stage.maker()
    monkeypatch.setattr(objects, "size", slow_look)
    async with stage.db.unit() as tx:  # the maker alone looks for it
        await ledger.want(tx, film.media_id, f"{RUNG}/1")
    await until(lambda: looks)
    assert (await edge.get(film.url(RUNG, "0.m4s"))).status_code == 200
    await until(lambda: encodes.emitted[RUNG, maker.AHEAD_VIDEO] == 1)
    assert (await edge.get(film.url(RUNG, f"{maker.AHEAD_VIDEO}.m4s"))).status_code == 200
    await until(lambda: encodes.emitted[RUNG, 2 * maker.AHEAD_VIDEO] == 1)
    assert max(encodes.emitted.values()) == 1
    async with stage.db.unit() as tx:
        assert (await tx.execute(text("select count(*) from playback_demands"))).scalar_one() == 0


async def test_viewers_at_both_ends_of_one_rung_are_both_served(
    stage: Playing, film: Published, encodes: Encodes
) -> None:
    edge = await stage.edge()
    await stage.maker()

    async def watch(first: int) -> None:
        for k in range(first, first + 5):
            assert (await edge.get(film.url(RUNG, f"{k}.m4s"))).status_code == 200

    await asyncio.gather(watch(0), watch(20))
    assert {k for name, k in encodes.starts if name == RUNG} >= {0, 20}
    assert max(encodes.emitted.values()) == 1


async def test_an_encoder_stays_a_few_segments_ahead_and_follows_its_viewer(
    stage: Playing, film: Published, encodes: Encodes
) -> None:
    edge = await stage.edge()
    await stage.maker()
    await edge.get(film.url(RUNG, "0.m4s"))
    ahead = maker.AHEAD_VIDEO
    await until(lambda: encodes.emitted[RUNG, ahead] == 1)
    await asyncio.sleep(0.5)
    assert encodes.emitted[RUNG, ahead + 1] == 0
    await edge.get(film.url(RUNG, f"{ahead}.m4s"))  # from storage: only a hint reaches the worker
    await until(lambda: encodes.emitted[RUNG, 2 * ahead] == 1)
    await asyncio.sleep(0.5)
    assert encodes.emitted[RUNG, 2 * ahead + 1] == 0
    assert encodes.starts == [(RUNG, 0)]


async def test_an_encoder_that_nobody_needs_ends(
    stage: Playing, film: Published, encodes: Encodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "IDLE_S", 0.5)
    edge = await stage.edge()
    await stage.maker()
    await edge.get(film.url(RUNG, "0.m4s"))
    await until(lambda: encodes.emitted[RUNG, maker.AHEAD_VIDEO] == 1)
    await until(lambda: encodes.running == 0)


async def test_encoders_are_bounded_and_every_viewer_is_served_in_turn(
    stage: Playing, film: Published, encodes: Encodes
) -> None:
    edge = await stage.edge()
    await stage.maker(max_runners=1)
    answers = await asyncio.gather(*(edge.get(film.url(RUNG, f"{k}.m4s")) for k in (0, 9, 18, 26)))
    assert {a.status_code for a in answers} == {200}
    assert encodes.most_running == 1
    assert max(encodes.emitted.values()) == 1


async def test_an_encoder_that_is_killed_is_replaced_before_the_viewer_notices(
    stage: Playing, film: Published, encodes: Encodes
) -> None:
    edge = await stage.edge()
    await stage.maker()
    request = asyncio.create_task(edge.get(film.url(RUNG, "10.m4s")))
    await until(lambda: encodes.running == 1)
    await asyncio.sleep(0.1)
    for child in psutil.Process().children(recursive=True):
        if "ffmpeg" in child.name():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    assert (await request).status_code == 200
    assert encodes.emitted[RUNG, 10] == 1


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    async def __call__(self, *_: object, **__: object) -> None:
        self.calls += 1
        raise self.error


async def test_our_failure_is_told_promptly_after_one_more_try(
    stage: Playing, film: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(ServiceFault("encode_failed", "The encoder stopped too early."))
    monkeypatch.setattr(maker, "encode_video", failing)
    edge = await stage.edge()
    await stage.maker()
    started_s = time.monotonic()
    answers = await asyncio.gather(*(edge.get(film.url(RUNG, "5.m4s")) for _ in range(10)))
    assert time.monotonic() - started_s < 60  # the edge would wait for 100
    assert {a.status_code for a in answers} == {503}
    assert answers[0].headers["retry-after"] == "2"
    assert answers[0].json()["error"]["description"] == "The encoder stopped too early."
    assert failing.calls == maker.MAX_ATTEMPTS
    await edge.get(film.url(RUNG, "5.m4s"))
    assert failing.calls == maker.MAX_ATTEMPTS  # answered from memory


async def test_a_fault_of_the_source_is_final_and_no_server_error(
    stage: Playing, film: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(SourceFault("video_unreadable", "The video stream cannot be decoded."))
    monkeypatch.setattr(maker, "encode_video", failing)
    edge = await stage.edge()
    await stage.maker()
    for _ in range(2):
        answer = await edge.get(film.url(RUNG, "5.m4s"))
        assert answer.status_code == 404
        assert answer.json()["error"]["description"] == "The video stream cannot be decoded."
    assert failing.calls == 1


async def test_a_failed_segment_is_tried_again_when_its_pause_is_over(
    stage: Playing, film: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = maker.encode_video
    monkeypatch.setattr(maker, "encode_video", Failing(ServiceFault("disk_full", "There is no room.")))
    edge = await stage.edge()
    await stage.maker()
    assert (await edge.get(film.url(RUNG, "0.m4s"))).status_code == 503
    monkeypatch.setattr(maker, "encode_video", real)
    assert (await edge.get(film.url(RUNG, "0.m4s"))).status_code == 503
    async with stage.db.unit() as tx:
        await tx.execute(text("update playback_demands set refused_until = now() - interval '1 s'"))
    assert (await edge.get(film.url(RUNG, "0.m4s"))).status_code == 200
    async with stage.db.unit() as tx:
        assert (await tx.execute(text("select count(*) from playback_demands"))).scalar_one() == 0


async def test_a_missing_source_is_an_answer_and_no_hang(stage: Playing, film: Published) -> None:
    await stage.storage.objects.delete(f"sources/{film.media_id}/original")
    edge = await stage.edge()
    await stage.maker()
    started_s = time.monotonic()
    assert (await edge.get(film.url(RUNG, "3.m4s"))).status_code == 503
    assert time.monotonic() - started_s < 60  # the edge would wait for 100


async def test_a_dead_workers_rung_is_taken_over_when_its_lease_runs_out(stage: Playing, film: Published) -> None:
    edge = await stage.edge()
    await stage.maker()
    started_s = time.monotonic()
    async with stage.db.unit() as tx:
        assert await ledger.take_lease(tx, film.media_id, RUNG, ids.new_uuid())
        await tx.execute(text("update playback_leases set expires_at = now() + interval '1.5 s'"))
    assert (await edge.get(film.url(RUNG, "0.m4s"))).status_code == 200
    assert time.monotonic() - started_s > 1.4


async def test_a_wish_whose_notification_was_lost_is_found(stage: Playing, film: Published) -> None:
    await stage.maker()
    async with stage.db.unit() as tx:
        await tx.execute(
            text("insert into playback_demands (target_id, artifact) values (:id, :artifact)"),
            {"id": film.media_id, "artifact": f"{RUNG}/4"},
        )

    async def is_made() -> bool:
        return f"{RUNG}/4.fast.m4s" in await stage.stored(film)

    await until(is_made)


async def test_leases_are_given_back_when_a_worker_stops(stage: Playing, film: Published) -> None:
    edge = await stage.edge()
    await stage.maker()
    await edge.get(film.url(RUNG, "0.m4s"))
    await stage.close()
    async with stage.db.unit() as tx:
        assert (await tx.execute(text("select count(*) from playback_leases"))).scalar_one() == 0
    assert not [c for c in psutil.Process().children(recursive=True) if "ffmpeg" in c.name()]


async def test_nonsense_on_the_wire_does_not_disturb_a_worker(stage: Playing, film: Published) -> None:
    edge = await stage.edge()
    await stage.maker()
    async with stage.db.unit() as tx:
        known, unknown = film.media_id, ids.new_uuid()
        for payload in ("", "x", f"{known} ../../x", f"{known} {RUNG}/999999", f"{unknown} {RUNG}/0", f"{known} +"):
            await tx.execute(text("select pg_notify('segment_wanted', :payload)"), {"payload": payload})
            await tx.execute(text("select pg_notify('segment_made', :payload)"), {"payload": payload})
    assert (await edge.get(film.url(RUNG, "0.m4s"))).status_code == 200


@pytest.fixture
async def pictures(stage: Playing) -> tuple[httpx.AsyncClient, Published]:
    source = footage.bikes()
    published = await stage.publish(source, await planned(source))
    await stage.maker()
    return await stage.edge(), published


async def test_a_thumbnail_is_made_once_for_everybody_and_kept(
    stage: Playing, pictures: tuple[httpx.AsyncClient, Published], monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, published = pictures
    calls = []
    real = worker.picture

    async def counted(*args: object, **options: object) -> bytes:
        calls.append(options)
        return await real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "picture", counted)
    url = f"/{published.playback_id}/thumbnail.jpg?time=2&width=200&height=200"
    answers = await asyncio.gather(*(edge.get(url) for _ in range(10)))
    assert {a.status_code for a in answers} == {200}
    assert answers[0].headers["content-type"] == "image/jpeg"
    assert len(calls) == 1
    assert (await edge.get(url)).content == answers[0].content
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("form", "query", "size"),
    [
        ("jpg", "", (640, 272)),
        ("png", "width=200&height=200", (200, 84)),
        ("jpg", "width=200&height=200&fit_mode=stretch", (200, 200)),
        ("webp", "width=200&height=200&fit_mode=crop", (200, 200)),
        ("png", "width=200&height=200&fit_mode=pad", (200, 200)),
        ("webp", "width=320", (320, 136)),
    ],
)
async def test_a_thumbnail_has_the_size_that_was_asked(
    pictures: tuple[httpx.AsyncClient, Published], form: str, query: str, size: tuple[int, int]
) -> None:
    edge, published = pictures
    answer = await edge.get(f"/{published.playback_id}/thumbnail.{form}?{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}[form]
    image = Image.open(io.BytesIO(answer.content))
    assert abs(image.width - size[0]) <= 2
    assert abs(image.height - size[1]) <= 2


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("width=4097", ["width"]),
        ("width=0&height=-1", ["width", "height"]),
        ("time=-1", ["time"]),
        ("time=10.5", ["time"]),
        ("time=nan", ["time"]),
        ("width=1.5", ["width"]),
        ("fit_mode=zoom", ["fit_mode"]),
        ("time=x&width=x&height=x&fit_mode=x", ["time", "width", "height", "fit_mode"]),
    ],
)
async def test_bad_picture_parameters_name_their_fields(
    pictures: tuple[httpx.AsyncClient, Published], query: str, fields: list[str]
) -> None:
    edge, published = pictures
    answer = await edge.get(f"/{published.playback_id}/thumbnail.jpg?{query}")
    assert answer.status_code == 422
    assert [f["field"] for f in answer.json()["error"]["fields"]] == fields


async def test_reading_a_manifest_starts_what_the_player_wants_next(
    stage: Playing, film: Published, encodes: Encodes
) -> None:
    edge = await stage.edge()
    await stage.maker()
    head = await edge.head(f"/{film.playback_id}.m3u8")
    await asyncio.sleep(0.3)
    assert (head.status_code, encodes.starts) == (200, []), "to look whether it exists is no wish to see it"
    assert (await edge.get(f"/{film.playback_id}.m3u8")).status_code == 200
    await until(lambda: encodes.emitted[RUNG, 0] == 1 and encodes.emitted["a0", 0] == 1)
    assert set(encodes.starts) == {(RUNG, 0), ("a0", 0)}
    assert (await edge.get(film.url(RUNG, "0.m4s"))).status_code == 200
    assert encodes.emitted[RUNG, 0] == 1


async def test_a_manifest_starts_the_first_segments_again_when_the_cache_has_dropped_them(
    stage: Playing, film: Published, encodes: Encodes
) -> None:
    """A media whose fill was done has rates; that says nothing about what is stored now."""
    edge = await stage.edge()
    await stage.maker()
    rates = {name: Measured(2_000_000, 1_000_000) for name in (RUNG, "a0")}
    async with stage.db.unit() as tx:
        await store.save_measured(tx, film.media_id, film.plan.revision, rates)
    assert (await edge.get(f"/{film.playback_id}.m3u8")).status_code == 200
    await until(lambda: encodes.emitted[RUNG, 0] == 1 and encodes.emitted["a0", 0] == 1)
