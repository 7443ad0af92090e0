"""The picture of now: the newest key frame, made once in two seconds per size for however many viewers."""

import asyncio
import datetime
import io
import struct
import uuid

import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request
from tests import footage, live_segments

from fastpix_server.base import errors
from fastpix_server.edge import now_pictures
from fastpix_server.edge.now_pictures import NowPictures
from fastpix_server.playback.admission import LivePlayable
from fastpix_server.playback.model import PlaybackId
from fastpix_server.playback.targets import LiveSession, LiveTarget

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def playable() -> LivePlayable:
    session_id, stream_id, workspace_id = str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4())
    session = LiveSession(session_id, session_id[:8], f"live/{session_id}", "http://127.0.0.1:9", False, True, NOW)
    named = PlaybackId(str(uuid.uuid4()), workspace_id, stream_id, "public", {}, None, NOW)
    return LivePlayable(
        playback_id=named,
        revision=session.revision,
        passes=None,
        target=LiveTarget(stream_id, workspace_id, session),
        session=session,
        origin="http://127.0.0.1:9",
    )


def request(query: str = "") -> Request:
    return Request({"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": query.encode()})


class Stream:
    """What an origin answers; `number` is the segment that is the newest."""

    def __init__(self) -> None:
        self.number = 0
        self.asked = 0

    async def newest(self, _playable: LivePlayable) -> bytes | None:
        self.asked += 1
        await asyncio.sleep(0.05)
        if self.number < 0:
            return None
        found = [s for s in live_segments.session() if s.rendition.name == "source"][self.number]
        return struct.pack(">I", len(found.init)) + found.init + found.data


def shown(data: bytes) -> tuple[int, tuple[int, int]]:
    picture = Image.open(io.BytesIO(data))
    gray = np.asarray(picture.convert("L").resize((64, 36), Image.Resampling.BOX))
    return int(footage._numbers(gray[None])[0]), picture.size


async def test_it_shows_the_newest_key_frame_at_the_size_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, live = Stream(), playable()
    pictures = NowPictures(stream.newest)
    answer = await pictures.answer(request("width=320&time=5"), live, "png")
    assert shown(answer.body) == (0, (320, 180))
    assert answer.headers["cache-control"] == "public, max-age=2"
    monkeypatch.setattr(now_pictures, "FRESH_S", 0.0)
    stream.number = 2
    assert shown((await pictures.answer(request(), live, "png")).body) == (120, (640, 360))


async def test_a_thousand_viewers_are_one_picture() -> None:
    stream, live = Stream(), playable()
    pictures = NowPictures(stream.newest)
    answers = await asyncio.gather(*(pictures.answer(request("width=64"), live, "jpg") for _ in range(1000)))
    assert stream.asked == 1
    assert len({bytes(answer.body) for answer in answers}) == 1


async def test_many_sizes_wait_for_their_turn_and_too_many_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now_pictures, "MAX_WAITING", 3)
    stream, live = Stream(), playable()
    pictures = NowPictures(stream.newest)
    answers = await asyncio.gather(
        *(pictures.answer(request(f"width={64 + 2 * k}"), live, "jpg") for k in range(6)), return_exceptions=True
    )
    assert sum(isinstance(answer, errors.Unavailable) for answer in answers) == 3
    assert not pictures._making


async def test_before_the_first_picture_it_is_not_ready() -> None:
    stream = Stream()
    stream.number = -1
    with pytest.raises(errors.BadState) as refused:
        await NowPictures(stream.newest).answer(request(), playable(), "jpg")
    assert "ready" in refused.value.message


async def test_a_bad_size_is_refused_with_its_fields() -> None:
    with pytest.raises(errors.Invalid) as refused:
        await NowPictures(Stream().newest).answer(request("width=0&fit_mode=cut"), playable(), "jpg")
    assert {f.field for f in refused.value.fields} == {"width", "fit_mode"}
