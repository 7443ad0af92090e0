"""Who is watching now and what fails, by hand: views with known starts, last beacons and errors."""

import datetime
import uuid
from typing import Any

from tests.video_data import Engine

from fastpix_server.views import filters, schema
from fastpix_server.views.queries.realtime import realtime, window
from fastpix_server.views.queries.selection import Selection

NOW_S = 1_795_000_050  # 30 s into its minute
WORKSPACE = str(uuid.uuid4())


def at(seconds_ago: float) -> str:
    moment = datetime.datetime.fromtimestamp(NOW_S - seconds_ago, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def view(engine: Engine, *, viewer: str, began: float, last: float, workspace: str = WORKSPACE, **more: Any) -> str:
    view_id = str(uuid.uuid4())
    hour = at(last)[:13] + ":00:00"
    row = {
        "workspace_id": workspace, "view_id": view_id, "hour": hour, "view_start": at(began), "last_event_at": at(last),
        "received_last_at": at(last), "given_viewer_id": viewer, "has_played": True, **more,
    }  # fmt: skip
    engine.insert(schema.ROWS, [row])
    return view_id


def error(engine: Engine, view_id: str, seconds_ago: float, *, sequence: int = 9, workspace: str = WORKSPACE) -> None:
    event = {"workspace_id": workspace, "view_id": view_id, "sequence": sequence, "name": "error",
             "at": at(seconds_ago), "playhead_ms": 0, "detail": "", "received_at": at(seconds_ago)}  # fmt: skip
    engine.insert(schema.EVENTS, [event, event])  # as a beacon that was sent twice


async def ask(engine: Engine, *texts: str, workspace: str = WORKSPACE) -> dict[str, Any]:
    selection = Selection(workspace, window(5, NOW_S), filters.parse(texts))
    return await realtime(engine, selection, 5, NOW_S)


async def test_viewers_and_errors_of_the_last_minutes(engine: Engine) -> None:
    code = {"error_code": schema.pack_last(9, "networkError"), "has_error": True}
    film, show = {"given_video_id": "film", "video_title": schema.pack_last(1, "A film")}, {"given_video_id": "show"}
    view(engine, viewer="ann", began=400, last=5, **film)
    view(engine, viewer="ann", began=100, last=10, **film)  # two tabs of one viewer
    view(engine, viewer="bob", began=100, last=20, **show)
    view(engine, viewer="cat", began=200, last=40, is_completed=True, **film)  # has left
    view(engine, viewer="dan", began=250, last=130, **film)  # silent for too long
    failed = view(engine, viewer="eve", began=170, last=25, is_completed=True, **code)
    error(engine, failed, 149)
    error(engine, failed, 140, sequence=10)
    long_ago = view(engine, viewer="fay", began=9000, last=8000, **code)
    error(engine, long_ago, 8000)
    other = str(uuid.uuid4())
    theirs = view(engine, viewer="gus", began=100, last=5, workspace=other, **code)
    error(engine, theirs, 20, workspace=other)

    found = await ask(engine)
    assert (found["concurrentViews"], found["concurrentViewers"]) == (3, 2)
    assert found["errors"] == 2
    # The minutes began 270, 210, 150, 90 and 30 s ago.
    assert [point["concurrentViewers"] for point in found["series"]] == [2, 4, 5, 4, 3]
    assert [point["errors"] for point in found["series"]] == [0, 0, 2, 0, 0]
    assert found["series"][-1]["intervalTime"].endswith(":00Z")
    assert found["topVideos"] == [
        {"videoId": "film", "videoTitle": "A film", "concurrentViews": 2, "concurrentViewers": 1},
        {"videoId": "show", "videoTitle": None, "concurrentViews": 1, "concurrentViewers": 1},
    ]
    assert found["topErrors"] == [{"code": "networkError", "errors": 2}]

    only = await ask(engine, "video_id:show")
    assert (only["concurrentViewers"], only["errors"]) == (1, 0)
    theirs_alone = await ask(engine, workspace=other)
    assert (theirs_alone["concurrentViewers"], theirs_alone["errors"]) == (1, 1)


async def test_a_workspace_without_views_has_nobody_and_nothing(engine: Engine) -> None:
    found = await ask(engine, workspace=str(uuid.uuid4()))
    assert (found["concurrentViewers"], found["errors"], found["topVideos"]) == (0, 0, [])
    assert len(found["series"]) == 5
