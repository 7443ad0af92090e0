"""Finished or open or both: whatever came, in whatever order it came and moved, questions are answered the same."""

import asyncio
import random
import uuid
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.views.populations import AFTER_S, BEFORE_S, NOW_S, View, populations, rows_of
from tests.video_data import Engine, stamp

from fastpix_server.views import finished, reading, schema, store, tables
from fastpix_server.views.finishing import Finishing
from fastpix_server.views.tables import SLOT_S, TableOptions

# Every row that ever came, which nobody ever moves; read as if nothing were finished.
ALL, NONE = "all_rows", "none_finished"
# What populations say, of each kind of merge, and what is computed of it.
NAMES = [
    "is_completed", "has_error", "given_viewer_id", "video_title", "watch_time", "max_upscaling", "custom_1",
    "is_ended", "viewer_hash", "browser_name", "country_code", "media_id", "playing_time", "average_bitrate",
    "error_code", "quality_of_experience_score", "exit_before_video_start",
]  # fmt: skip
SPAN = {"after": f"{AFTER_S}.000", "before": f"{BEFORE_S}.000"}


class Past(Finishing):
    """At a time of the test's choice. Rows settle at once, and nobody else is asking."""

    def __init__(self, engine: Engine, clock_s: int = NOW_S) -> None:
        super().__init__(engine, TableOptions(), settle_s=0, gap_s=0)  # type: ignore[arg-type]
        self.clock_s = clock_s

    async def now_s(self) -> int:
        return self.clock_s


def views_of(engine: Engine, workspace_id: str, *, moved: bool) -> dict[str, dict[str, Any]]:
    def of(sql: str) -> str:
        return sql if moved else sql.replace(schema.ROWS, ALL).replace(schema.FINISHED, NONE)

    parameters = {"workspace_id": workspace_id, **SPAN}
    [open_] = engine.ask(of(reading.FIRST_OPEN), parameters)
    named = reading.Opened.found(open_)
    answers = []
    # Open views by name, and as if they were too many for that.
    for opened in (named, reading.Opened(named.first_ms))[: 2 if moved else 1]:
        views = of(reading.merged_views([*NAMES, "bitrates"], opened, AFTER_S))
        sql = f"SELECT * EXCEPT bitrates, arraySort(bitrates) AS points FROM ({views})"
        rows = engine.ask(sql, {**parameters, **opened.parameters})
        found = {row["view_id"]: row for row in rows}
        assert len(found) == len(rows), "a view counts twice"
        answers.append(found)
    assert answers[0] == answers[-1]
    if moved:  # and a few of them, as a page of the list asks for
        expected = [{**row, "points": None} for row in [*found.values()][:3]]
        sql = f"SELECT *, NULL AS points FROM ({reading.chosen_views([*NAMES, 'view_end'])}) ORDER BY toString(view_id)"
        ids = [row["view_id"] for row in expected]
        assert engine.ask(sql, {**parameters, "ids": ids}) == sorted(expected, key=lambda row: str(row["view_id"]))
    return found


class World:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.workspace_id = str(uuid.uuid4())
        for name, like in ((ALL, schema.ROWS), (NONE, schema.FINISHED)):
            engine.run(f"CREATE TABLE IF NOT EXISTS {name} AS {like}")

    def insert(self, rows: list[dict[str, Any]], slots_ago: int) -> None:
        for table in (schema.ROWS, ALL):
            slot = (NOW_S // SLOT_S - slots_ago) * SLOT_S
            self.engine.insert(table, [{**row, "slot": slot} for row in rows])

    def check(self) -> None:
        truth = views_of(self.engine, self.workspace_id, moved=False)
        assert views_of(self.engine, self.workspace_id, moved=True) == truth

    def count(self, table: str) -> int:
        [row] = self.engine.ask(
            f"SELECT count() AS rows FROM {table} WHERE workspace_id = {{workspace_id:UUID}}",
            {"workspace_id": self.workspace_id},
        )
        return int(row["rows"])


async def finish_all(engine: Engine, clock_s: int = NOW_S) -> None:
    finishing = Past(engine, clock_s)
    for slot in await finishing.due():
        while await finishing.advance(slot):
            pass
        assert await finishing.take_away(slot)


@settings(max_examples=3, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(population=populations.filter(bool), dice=st.randoms(use_true_random=False))
def test_any_interleaving_of_rows_and_steps_is_the_same_to_who_asks(engine, population, dice):
    world = World(engine)
    rows = [row for view in population for row in rows_of(world.workspace_id, view, dice)]
    rows += dice.sample(rows, len(rows) // 3)
    dice.shuffle(rows)
    finishing = Past(engine, NOW_S - 3 * 3600)
    while rows:
        some = dice.randint(-(-len(rows) // 3), len(rows))
        world.insert(rows[:some], (NOW_S - finishing.clock_s) // SLOT_S)
        rows = rows[some:]
        finishing.clock_s = min(NOW_S, finishing.clock_s + dice.choice([900, 3600, 5400]))
        for _ in range(dice.randint(0, 2)):
            asyncio.run(step(finishing, dice))
            world.check()
    asyncio.run(finish_all(engine))
    world.check()


async def step(finishing: Finishing, dice: random.Random) -> None:
    """One statement or two of a run that may end after any of them."""
    slots = await finishing.due()
    if slots:
        await dice.choice([finishing.advance, finishing.take_away])(dice.choice(slots[:2]))


def ended(hours_ago: int, **columns: Any) -> View:
    end_ms = (NOW_S - hours_ago * 3600) * 1000
    return View(str(uuid.uuid4()), end_ms - 60_000, end_ms, columns)


def row_of(world: World, view: View, **columns: Any) -> dict[str, Any]:
    end_ms = columns.pop("end_ms", view.end_ms)
    return {
        "workspace_id": world.workspace_id,
        "view_id": view.view_id,
        "hour": end_ms // 3_600_000 * 3600,
        "last_event_at": stamp(end_ms),
        "received_last_at": stamp(end_ms),
        **columns,
    }


def test_a_late_beacon_changes_a_finished_view_at_once_and_for_good(engine: Engine) -> None:
    world, view = World(engine), ended(5)
    title = {"video_title": schema.pack_last(3, "Old")}
    world.insert([row_of(world, view, view_start=stamp(view.start_ms), watch_time=10, **title)], 19)
    asyncio.run(finish_all(engine, NOW_S - 7200))
    assert (world.count(schema.ROWS), world.count(schema.FINISHED)) == (0, 1)
    # The end moves by half an hour: the finished row's key changes.
    late = {"video_title": schema.pack_last(9, "New"), "watch_time": 99, "end_ms": view.end_ms + 1_800_000}
    world.insert([row_of(world, view, **late)], 5)
    for is_finished in (False, True):
        if is_finished:
            asyncio.run(finish_all(engine))
            assert (world.count(schema.ROWS), world.count(schema.FINISHED)) == (0, 1)
        world.check()
        [found] = views_of(engine, world.workspace_id, moved=True).values()
        assert (found["video_title"], found["watch_time"]) == ("New", 99)
        assert found["view_end"] == stamp(view.end_ms + 1_800_000)


def test_a_view_that_goes_on_is_carried_until_it_is_over(engine: Engine) -> None:
    world = World(engine)
    view = View(str(uuid.uuid4()), (NOW_S - 7200) * 1000, (NOW_S - 600) * 1000, {})
    world.insert([row_of(world, view, end_ms=view.start_ms, view_start=stamp(view.start_ms), watch_time=7)], 8)
    world.insert([row_of(world, view)], 0)
    asyncio.run(finish_all(engine))
    assert (world.count(schema.ROWS), world.count(schema.FINISHED)) == (2, 0)
    world.check()
    [found] = views_of(engine, world.workspace_id, moved=True).values()
    assert (found["watch_time"], bool(found["is_ended"])) == (7, False)


def test_rows_of_no_view_yet_wait_in_the_finished_table_for_its_beginning(engine: Engine) -> None:
    world, view = World(engine), ended(6)
    world.insert([row_of(world, view, watch_time=5)], 9)
    asyncio.run(finish_all(engine))
    assert (world.count(schema.ROWS), world.count(schema.FINISHED)) == (0, 1)
    assert views_of(engine, world.workspace_id, moved=True) == {}
    world.insert([row_of(world, view, view_start=stamp(view.start_ms))], 0)
    [found] = views_of(engine, world.workspace_id, moved=True).values()
    assert found["watch_time"] == 5
    detail = engine.ask(
        reading.merged_view(["watch_time"]), {"workspace_id": world.workspace_id, "view_id": view.view_id}
    )
    assert [row["watch_time"] for row in detail] == [5]


def test_a_view_that_two_processes_finished_is_one_again_after_the_next_run(engine: Engine) -> None:
    world, view = World(engine), ended(4)
    world.insert([row_of(world, view, view_start=stamp(view.start_ms))], 8)

    async def twice() -> None:
        finishing = Past(engine)
        [slot] = [slot for slot in await finishing.due() if slot.begin_s == (NOW_S // SLOT_S - 8) * SLOT_S]
        look = store.Look(slot, NOW_S, NOW_S - SLOT_S)
        at_once = [store.finish(engine, look, 0, 1) for _ in range(2)]  # type: ignore[arg-type]
        await asyncio.gather(*at_once)
        world.check()
        await finishing.run()

    asyncio.run(twice())
    assert (world.count(schema.ROWS), world.count(schema.FINISHED)) == (0, 1)
    world.check()


def test_what_is_finished_holds_every_column_as_it_was_said(engine: Engine) -> None:
    """Finishing and taking back (`state`) loses nothing: a second merge of it gives the same."""
    world, view = World(engine), ended(3)
    said: dict[str, Any] = {}
    for place, column in enumerate(schema.COLUMNS):
        if column.name in ("view_start", "last_event_at", "received_first_at", "received_last_at"):
            continue
        if column.merge is schema.Merge.LAST:
            said[column.name] = schema.pack_last(place, "2.5" if column.type == "Float64" else f"a {column.name}")
        elif column.merge is schema.Merge.UNION:
            said[column.name] = [[stamp(view.start_ms), 900_000]]
        elif "Bool" in column.type:
            said[column.name] = True
        else:
            said[column.name] = place if "Int64" in column.type or "Float64" in column.type else f"a {column.name}"
    world.insert([row_of(world, view, view_start=stamp(view.start_ms), **said)], 7)
    asyncio.run(finish_all(engine))
    states = ", ".join(f"{finished.state(column)} AS s_{column.name}" for column in schema.COLUMNS)
    [row] = engine.ask(
        f"SELECT {states} FROM {schema.FINISHED} AS f WHERE workspace_id = {{workspace_id:UUID}}",
        {"workspace_id": world.workspace_id},
    )
    assert {name: row[f"s_{name}"] for name in said} == said
    world.check()


def test_views_that_an_older_version_finished_have_what_this_one_keeps(engine: Engine) -> None:
    """Its table lacks some columns and packs others otherwise."""
    world, view = World(engine), ended(3)
    said = {
        "watch_time": 90_000,
        "video_startup_time": 500,
        "buffer_fill": 3_000,
        "total_content_playback_time": 80_000,
    }
    said |= {"total_upscaling": 16_000.0, "total_downscaling": 0.0}
    world.insert([row_of(world, view, view_start=stamp(view.start_ms), **said)], 7)
    asyncio.run(finish_all(engine))
    names = ("playing_time", "buffer_ratio", "avg_upscaling", "avg_downscaling", "watch_time")
    asked = f"SELECT {', '.join(names)} FROM {schema.FINISHED} WHERE workspace_id = {{workspace_id:UUID}}"
    now = engine.ask(asked, {"workspace_id": world.workspace_id})
    assert now == [dict(zip(names, (86_500, 3_000 / 90_000, 0.2, 0, 90_000), strict=True))]
    older = [f"DROP COLUMN {name}" for name in names[:-1]]
    engine.run(f"ALTER TABLE {schema.FINISHED} {', '.join(older)}, MODIFY COLUMN watch_time REMOVE CODEC")
    asyncio.run(tables.ensure(engine, TableOptions()))  # type: ignore[arg-type]
    for _ in range(2):
        assert engine.ask(asked, {"workspace_id": world.workspace_id}) == now
        engine.merge()
    columns = engine.ask(
        "SELECT name, compression_codec AS codec FROM system.columns WHERE table = {table:String}",
        {"table": schema.FINISHED},
    )
    assert tables.codec_changes_ddl({row["name"]: row["codec"] for row in columns}, TableOptions()) == ()
