"""The kinds of targets: what admission answers for a live stream, a recording, and a stream whose session is over."""

import asyncio
import datetime
import uuid
from collections.abc import AsyncIterator

import pytest
from tests.playing import Playing

from fastpix_server.base import errors
from fastpix_server.db.notify import Listener
from fastpix_server.playback import service, store
from fastpix_server.playback.admission import Admission, AnyPlayable, LivePlayable, RecordedPlayable
from fastpix_server.playback.gate import Viewer
from fastpix_server.playback.recording import Facts, Recording, Stretch, Track, from_json, to_json, words
from fastpix_server.playback.service import LiveSession
from fastpix_server.playback.signed_path import PathKeys

PICTURE = Facts("source", "video", "copy", "avc1.64001f", 90_000, 1280, 720, 30.0, 0, 0, 3_000_000)
SOUND = Facts("a0", "audio", "copy", "mp4a.40.2", 48_000, 0, 0, 0.0, 2, 48_000, 128_000)
EVERYBODY = Viewer()


def recording() -> Recording:
    """Two connections of the publisher: three segments, and two after a break."""
    return Recording(
        [
            Stretch(
                0,
                0,
                1_700_000_000_000,
                (
                    Track(PICTURE, 0, words([180_000] * 3), words([500_000, 400_000, 450_000])),
                    Track(SOUND, 0, words([96_256, 95_232, 96_256]), words([32_000] * 3)),
                ),
            ),
            Stretch(
                1,
                3,
                1_700_000_020_000,
                (
                    Track(PICTURE, 540_000, words([180_000, 93_000]), words([500_000, 200_000])),
                    Track(SOUND, 288_000, words([96_256, 49_152]), words([32_000, 0])),
                ),
            ),
        ]
    )


def session(session_id: str, *, origin: str | None) -> LiveSession:
    return LiveSession(
        id=session_id,
        revision=session_id.replace("-", "")[:12],
        place=f"media/{session_id}/live",
        origin=origin,
        is_dvr=False,
        is_running=origin is not None,
        started_at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )


def test_a_recording_survives_its_way_through_json() -> None:
    once = to_json(recording())
    assert to_json(from_json(once)) == once
    assert float(from_json(once).duration_s) == pytest.approx(9.0333333)


async def _stream(stage: Playing) -> tuple[str, str, str]:
    workspace_id, stream_id = str(uuid.uuid4()), str(uuid.uuid4())
    async with stage.db.unit() as tx:
        named = await service.create_id(tx, workspace_id=workspace_id, target_id=stream_id, access_policy="public")
        await service.publish_live(tx, target_id=stream_id, workspace_id=workspace_id, session=None)
    return workspace_id, stream_id, named.id


@pytest.fixture
async def door(stage: Playing) -> AsyncIterator[Admission]:
    listener = Listener(stage.url)
    made = Admission(stage.db, listener, path_keys=PathKeys.random())
    await listener.start()
    yield made
    await listener.close()


async def _admitted(door: Admission, playback_id: str) -> AnyPlayable:
    """Once the door has heard of the last change."""
    for _ in range(600):
        try:
            return await door.admit(playback_id, EVERYBODY)
        except errors.BadState:
            await asyncio.sleep(0.1)
    return await door.admit(playback_id, EVERYBODY)


async def test_a_stream_without_a_session_is_not_ready(stage: Playing, door: Admission) -> None:
    _, _, playback_id = await _stream(stage)
    with pytest.raises(errors.BadState) as refused:
        await door.admit(playback_id, EVERYBODY)
    assert "ready" in refused.value.message


async def test_a_running_session_is_played_from_its_origin(stage: Playing, door: Admission) -> None:
    workspace_id, stream_id, playback_id = await _stream(stage)
    running = session(str(uuid.uuid4()), origin="http://127.0.0.1:4321")
    async with stage.db.unit() as tx:
        await service.publish_live(tx, target_id=stream_id, workspace_id=workspace_id, session=running)
    admitted = await _admitted(door, playback_id)
    assert isinstance(admitted, LivePlayable)
    assert (admitted.session, admitted.origin) == (running, "http://127.0.0.1:4321")
    assert admitted.folder == f"{playback_id}/{running.revision}"


async def test_a_session_that_no_process_has_any_more_is_played_from_its_recording(
    stage: Playing, door: Admission
) -> None:
    workspace_id, stream_id, playback_id = await _stream(stage)
    ended = session(str(uuid.uuid4()), origin=None)
    async with stage.db.unit() as tx:
        await service.publish_live(tx, target_id=stream_id, workspace_id=workspace_id, session=ended)
    with pytest.raises(errors.BadState) as refused:
        await door.admit(playback_id, EVERYBODY)
    assert "ready" in refused.value.message
    async with stage.db.unit() as tx:
        await service.publish_recording(
            tx,
            target_id=ended.id,
            workspace_id=workspace_id,
            place=ended.place,
            revision=ended.revision,
            recording=recording(),
        )
    admitted = await _admitted(door, playback_id)
    assert isinstance(admitted, RecordedPlayable)
    assert admitted.target.id == ended.id
    assert admitted.folder == f"{playback_id}/{ended.revision}"


async def test_what_is_not_planned_is_no_planned_target(stage: Playing) -> None:
    _, stream_id, _ = await _stream(stage)
    async with stage.db.unit() as tx:
        assert await store.find_target(tx, stream_id) is None
        await service.unpublish(tx, stream_id)
        assert await store.find_any(tx, stream_id) is None
