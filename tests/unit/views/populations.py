"""Views whose every column is known, and the rows in which edges could have told them: split, doubled, shuffled."""

import asyncio
import dataclasses
import random
import time
import uuid
from typing import Any

from hypothesis import strategies as st
from tests.video_data import Engine, stamp

from fastpix_server.views import schema
from fastpix_server.views.finishing import Finishing
from fastpix_server.views.schema import Merge
from fastpix_server.views.tables import SLOT_S, TableOptions

# Everything happens in the day before this moment, but for views that still go on.
NOW_S = int(time.time())
AFTER_S, BEFORE_S = NOW_S - 30 * 3600, NOW_S + 60

BROWSERS = ["", "Chrome", "Firefox", "o'Brien \\ {x:String}"]
COUNTRIES = ["", "IN", "DE"]
TITLES = ["", "Cycle", "Tour; DROP TABLE view_rows", "Ünï 🎬"]
VIEWERS = ["", "ann", "bob", "eve"]
ERRORS = [("networkError", "gone"), ("networkError", "slow"), ("", "")]


@dataclasses.dataclass(frozen=True)
class View:
    """One view as it is. `columns` are the values of COLUMNS by name; what is absent was never said."""

    view_id: str
    start_ms: int
    end_ms: int
    columns: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        value = self.columns.get(name)
        return default if value is None else value

    @property
    def is_ended(self) -> bool:
        return bool(self.get("is_completed")) or self.end_ms < (NOW_S - 3600) * 1000


def _some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


_MS = st.integers(0, 60_000)
_COUNT = st.integers(0, 5)
_SCALE = st.sampled_from([0.0, 0.25, 1.5])
_COLUMNS = st.fixed_dictionaries(
    {
        "is_completed": _some(st.booleans()),
        "has_played": _some(st.just(True)),
        "has_error": _some(st.sampled_from([True, False, False])),
        "has_ad": _some(st.booleans()),
        "given_viewer_id": st.sampled_from(VIEWERS),
        "fp_viewer_id": st.sampled_from(["", "anon-1"]),
        "given_browser_name": st.sampled_from(BROWSERS),
        "detected_browser_name": st.sampled_from(["", "Safari"]),
        "detected_device_type": st.sampled_from(["Mobile", "Desktop"]),
        "detected_os_name": st.sampled_from(["", "macOS"]),
        "place": st.sampled_from(["", *(f"64496\tNet\tEU\t{code}\tLand\tRegion\tCity\t1\t2" for code in COUNTRIES)]),
        "video_title": st.sampled_from(TITLES),
        "given_video_id": st.sampled_from(["", "v1"]),
        "media_id": st.sampled_from(["", "m1"]),
        "custom_1": st.sampled_from(["", "a:b", "!x"]),
        "player_autoplay_on": _some(st.booleans()),
        "watch_time": _some(_MS),
        "video_startup_time": _some(_MS),
        "page_load_time": _some(_MS),
        "player_init_time": _some(_MS),
        "buffer_count": _some(_COUNT),
        "buffer_fill": _some(_MS),
        "seeked_count": _some(_COUNT),
        "seeked_duration": _some(_MS),
        "live_stream_latency": _some(_MS),
        "total_content_playback_time": _some(_MS),
        "max_upscaling": _some(_SCALE),
        "max_downscaling": _some(_SCALE),
        "total_upscaling": _some(st.sampled_from([0.0, 500.0])),
        "total_downscaling": _some(st.sampled_from([0.0, 500.0])),
    }
)


@st.composite
def views(draw: st.DrawFn) -> View:
    columns = draw(_COLUMNS)
    # A quarter of an hour ago it goes on unless it is completed; two hours ago and more, silence has ended it.
    end_ms = NOW_S * 1000 - draw(st.sampled_from([900_000, 2 * 3600_000, 9 * 3600_000, 26 * 3600_000]))
    end_ms -= draw(st.integers(0, 3_000_000))
    start_ms = end_ms - draw(st.integers(0, 5 * 3600_000))
    if columns["has_error"]:
        columns["error_code"], columns["error_message"] = draw(st.sampled_from(ERRORS))
    moments = draw(st.lists(st.integers(start_ms, end_ms), max_size=3, unique=True))
    columns["bitrates"] = [(at, draw(st.sampled_from([900_000, 2_500_000]))) for at in moments]
    return View(str(uuid.UUID(int=draw(st.integers(0, 2**128 - 1)))), start_ms, end_ms, columns)


populations = st.lists(views(), max_size=9, unique_by=lambda view: view.view_id)


def insert(engine: Engine, workspace_id: str, population: list[View], dice: random.Random) -> None:
    """In two inserts, some time ago; some rows come twice. What is over may be finished after the first."""
    rows = [row for view in population for row in rows_of(workspace_id, view, dice)]
    rows += dice.sample(rows, len(rows) // 3)
    dice.shuffle(rows)
    half = dice.randint(0, len(rows))
    slot = (NOW_S // SLOT_S - dice.choice([0, 2, 6, 7])) * SLOT_S
    engine.insert(schema.ROWS, [{**row, "slot": slot} for row in rows[:half]])
    if dice.random() < 0.12:
        finish(engine, dice.choice([1, 3, 9]))
    engine.insert(schema.ROWS, rows[half:])


def finish(engine: Engine, steps: int) -> None:
    """As the job would, ended after so many steps."""
    finishing = Finishing(engine, TableOptions(), settle_s=0, gap_s=0)  # type: ignore[arg-type]

    async def run() -> None:
        left = steps
        for slot in await finishing.due():
            while left and await finishing.advance(slot):
                left -= 1
            if not left:
                return
            await finishing.take_away(slot)

    asyncio.run(run())


def rows_of(workspace_id: str, view: View, dice: random.Random) -> list[dict[str, Any]]:
    """One to four rows. Each value is complete in one of them at least; others know less, or nothing."""
    count = dice.randint(1, 4)
    moments = [view.start_ms, *(dice.randint(view.start_ms, view.end_ms) for _ in range(count - 1))]
    made: list[dict[str, Any]] = [
        {
            "workspace_id": workspace_id,
            "view_id": view.view_id,
            "hour": moment // 3_600_000 * 3600,
            "last_event_at": stamp(moment),
            "received_last_at": stamp(moment),
        }
        for moment in moments
    ]
    made[0]["view_start"] = stamp(view.start_ms)
    last = dice.choice(made)
    last["last_event_at"], last["hour"] = stamp(view.end_ms), view.end_ms // 3_600_000 * 3600
    for name, value in view.columns.items():
        if value is not None:
            _tell(made, schema.BY_NAME[name], value, dice)
    return made


def _tell(made: list[dict[str, Any]], column: schema.Column, value: Any, dice: random.Random) -> None:
    knowing = dice.sample(made, dice.randint(1, len(made)))
    if column.merge is Merge.UNION:
        for point in value:
            row = dice.choice(made)
            row.setdefault(column.name, []).append([stamp(point[0]), point[1]])
    elif column.merge is Merge.LAST:
        for age, row in enumerate(reversed(knowing)):
            row[column.name] = schema.pack_last(100 - age, value if age == 0 else "older")
    else:
        is_growing = not isinstance(value, bool | str) and column.merge is Merge.LARGEST
        for place, row in enumerate(knowing):
            row[column.name] = value if place == 0 or not is_growing else type(value)(value / 2)
