"""The moves of a media's life: the allowed ones happen once, the others never."""

import asyncio

import pytest

from fastpix_server.media import service, states
from fastpix_server.media.states import MOVES, Status


@pytest.mark.parametrize("to", list(MOVES))
async def test_a_move_begins_only_where_the_table_allows(house, to):
    media = await house.create()
    for start in Status:
        await house.put_status(media.id, start)
        async with house.db.unit() as tx:
            moved = await states.move(tx, media.id, to)
        assert moved is (start in MOVES[to][0])
        assert (await house.find(media.id)).status == (to if moved else start)


def test_the_final_states_are_left_by_no_move_and_every_move_has_a_cause():
    for allowed, cause in MOVES.values():
        assert Status.READY not in allowed
        assert Status.FAILED not in allowed
        assert cause
    assert set(MOVES) == set(Status) - {Status.CREATED}


async def test_of_many_workers_with_one_job_exactly_one_moves(house):
    media = await house.create()

    async def try_to_move():
        async with house.db.unit() as tx:
            return await states.move(tx, media.id, Status.DOWNLOADING)

    assert sorted(await asyncio.gather(*(try_to_move() for _ in range(5)))) == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("start", "advanced", "then"),
    [
        (Status.DOWNLOADED, True, Status.VALIDATING),
        (Status.CREATED, True, Status.VALIDATING),
        (Status.VALIDATING, True, Status.VALIDATING),
        (Status.PROCESSING, True, Status.PROCESSING),
        (Status.DOWNLOADING, False, Status.DOWNLOADING),
        (Status.READY, False, Status.READY),
        (Status.FAILED, False, Status.FAILED),
    ],
)
async def test_a_job_that_runs_again_goes_on_from_where_the_media_is(house, start, advanced, then):
    media = await house.create()
    await house.put_status(media.id, start)
    async with house.db.unit() as tx:
        assert await states.advance(tx, media.id, Status.VALIDATING) is advanced
    assert (await house.find(media.id)).status == then


async def test_a_media_that_is_gone_moves_nowhere(house):
    media = await house.create()
    async with house.db.unit() as tx:
        await service.delete(tx, house.workspace_id, media.id)
        assert not await states.move(tx, media.id, Status.DOWNLOADING)
        assert not await states.advance(tx, media.id, Status.VALIDATING)
        assert not await service.fail(tx, media.id, "x", "y")
        assert await service.begin_download(tx, media.id) is None
        assert not await service.downloaded(tx, media.id, size_bytes=1)


async def test_a_download_begins_once_more_after_a_crash_but_not_after_its_end(house):
    media = await house.create()
    async with house.db.unit() as tx:
        assert (await service.begin_download(tx, media.id)).status == "Downloading"
        assert (await service.begin_download(tx, media.id)).status == "Downloading"
        assert await service.downloaded(tx, media.id, size_bytes=42)
        assert await service.begin_download(tx, media.id) is None
        assert not await service.downloaded(tx, media.id, size_bytes=42)
    assert (await house.find(media.id)).size_bytes == 42
    assert await house.jobs() == ["media.fetch", "media.prepare"]


async def test_a_failure_says_why_once_and_is_final(house):
    media = await house.create()
    async with house.db.unit() as tx:
        assert await service.fail(tx, media.id, "url_unreachable", "The URL could not be reached.")
        assert not await service.fail(tx, media.id, "other", "Later.")
    failed = await house.find(media.id)
    assert (failed.status, failed.failure_code) == ("Failed", "url_unreachable")
    assert await house.events(media.id) == [
        ("video.media.created", "media_created"),
        ("video.media.failed", "media_failed"),
    ]
