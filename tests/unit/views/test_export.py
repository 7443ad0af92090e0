"""Exports hold exactly the views that are over, whatever the size of the pieces."""

import asyncio
import csv
import io
import random
import uuid
from typing import Any

import pytest
from tests.unit.views import test_realtime
from tests.video_data import Engine

from fastpix_server.base import errors
from fastpix_server.views import filters, schema, spans
from fastpix_server.views.queries import export
from fastpix_server.views.queries.selection import Selection

NOW_S = test_realtime.NOW_S
SPAN = spans.last(6 * 3600, NOW_S)


def view(engine: Engine, workspace: str, last: float, **more: Any) -> str:
    more = {"is_completed": True, **more}
    return test_realtime.view(engine, viewer="ann", began=last + 60, last=last, workspace=workspace, **more)


async def rows(engine: Engine, selection: Selection) -> list[dict[str, str]]:
    data = b"".join([piece async for piece in export.csv_pieces(engine, selection)])
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


async def test_every_view_that_is_over_is_a_line_with_its_values(engine: Engine) -> None:
    workspace = str(uuid.uuid4())
    title = schema.pack_last(1, 'A "film", or\nnot')
    told = view(engine, workspace, 100, video_title=title, watch_time=4000, video_startup_time=500, buffer_fill=100)
    formula = view(engine, workspace, 90, video_title=schema.pack_last(1, "=cmd()"), has_error=True)
    view(engine, workspace, 7 * 3600)  # ended before the span
    view(engine, str(uuid.uuid4()), 100)  # somebody else's
    found = await rows(engine, Selection(workspace, SPAN))
    assert [row["view_id"] for row in found] == [told, formula]
    assert tuple(found[0]) == export.HEADER
    first = found[0]
    assert (first["video_title"], first["watch_time"], first["playing_time"]) == ('A "film", or\nnot', "4000", "3400")
    assert first["view_end"] == test_realtime.at(100).replace(" ", "T") + "Z"
    assert (first["playback_failed"], found[1]["playback_failed"]) == ("false", "true")
    assert found[1]["video_title"] == "'=cmd()"
    assert found[1]["seeked_count"] == ""
    only = await rows(engine, Selection(workspace, SPAN, filters.parse(["playback_failed:true"])))
    assert [row["view_id"] for row in only] == [formula]


async def test_pieces_and_windows_lose_and_repeat_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIECE_VIEWS", 3)
    workspace, chance = str(uuid.uuid4()), random.Random(7)
    # Some at one and the same moment, more in an hour than a piece holds, and hours with none.
    lasts = [100.0] * 7 + [chance.uniform(50, 3 * 3600) for _ in range(15)] + [5 * 3600.0]
    made = {view(engine, workspace, last): last for last in lasts}
    found = [row["view_id"] for row in await rows(engine, Selection(workspace, SPAN))]
    assert sorted(found) == sorted(made)
    assert [made[view_id] for view_id in found] == sorted(made.values(), reverse=True)


async def test_a_view_that_goes_on_is_left_for_the_next_export(engine: Engine) -> None:
    workspace = str(uuid.uuid4())
    now = spans.last(3600, (await engine.rows("SELECT toUnixTimestamp(now()) AS now"))[0]["now"])
    row = {"workspace_id": workspace, "view_id": str(uuid.uuid4())}
    [times] = await engine.rows(
        "SELECT toString(now64(3) - 60) AS began, toString(now64(3)) AS last, toString(toStartOfHour(now())) AS hour"
    )
    engine.insert(schema.ROWS, [{**row, "hour": times["hour"], "view_start": times["began"],
                                 "last_event_at": times["last"], "received_last_at": times["last"]}])  # fmt: skip
    assert await rows(engine, Selection(workspace, now)) == []


async def test_too_many_views_are_refused_before_the_first_byte(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "CSV_MAX_VIEWS", 1)
    monkeypatch.setattr(export, "PARQUET_MAX_VIEWS", 1)
    workspace = str(uuid.uuid4())
    for last in (100, 200):
        view(engine, workspace, last)
    with pytest.raises(errors.Invalid):
        await rows(engine, Selection(workspace, SPAN))
    with pytest.raises(errors.Invalid):
        await export.parquet(engine, Selection(workspace, SPAN))


async def test_parquet_holds_the_same_views(engine: Engine, tmp_path: Any) -> None:
    workspace = str(uuid.uuid4())
    told = view(engine, workspace, 100, video_title=schema.pack_last(1, "A film"), watch_time=4000)
    data = await export.parquet(engine, Selection(workspace, SPAN))
    assert data[:4] == data[-4:] == b"PAR1"
    path = tmp_path / "views.parquet"
    await asyncio.to_thread(path.write_bytes, data)
    [row] = await engine.rows(f"SELECT * FROM file('{path}', 'Parquet')")
    assert tuple(row) == export.HEADER
    assert (row["view_id"], row["video_title"], row["watch_time"]) == (told, "A film", 4000)
