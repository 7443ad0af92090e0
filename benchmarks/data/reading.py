"""How long the questions of a dashboard take over a million and over ten million views, and the disk of a view."""

import asyncio
import contextlib
import enum
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.data import population
from benchmarks.data.engine import analytics
from benchmarks.data.postgres import Twin
from benchmarks.data.questions import POSTGRES, QUESTIONS
from benchmarks.table import Row
from fastpix_server.base import errors
from fastpix_server.views import schema, spans
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.queries.selection import Selection
from fastpix_server.views.spans import Span

TIMES = 10
# A question that takes so long is asked once: its figure needs no more digits.
LONG_S = 4.0
AIM_MS = 300.0
DAY_S = 86_400


class Size(enum.Enum):
    MILLION = "1M"
    TEN_MILLION = "10M"

    @property
    def views(self) -> int:
        return int(os.environ.get("BENCH_VIEWS", "1000000" if self is Size.MILLION else "10000000"))


@contextlib.asynccontextmanager
async def filled(size: Size) -> AsyncIterator[tuple[ClickHouse, Path, int]]:
    """The engine with its views, where else they are, and when they end. BENCH_FOLDER keeps all of it, so that another
    run begins with the questions; without it everything is made anew and thrown away."""
    with contextlib.ExitStack() as stack:
        kept = os.environ.get("BENCH_FOLDER")
        top = Path(kept) if kept else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastpix-bench-")))
        folder = top / size.value
        done = folder / "filled"
        async with analytics(folder) as clickhouse:
            if not done.exists():
                end_s = int(time.time())
                await population.fill(clickhouse, size.views, end_s, copies=20)
                _say("filled")
                await population.merge(clickhouse)
                _say("merged")
                if size is Size.MILLION:
                    with Twin(folder) as twin:
                        await _copy_to(twin, clickhouse, end_s)
                    _say("copied to PostgreSQL")
                done.write_text(str(end_s))
            yield clickhouse, folder, int(done.read_text())


def fill(size: Size) -> list[Row]:
    async def run() -> list[Row]:
        begin = time.perf_counter()
        async with filled(size):
            return [Row(f"fill of {size.views:,} views", f"{time.perf_counter() - begin:.0f} s")]

    return asyncio.run(run())


def million() -> list[Row]:
    """Against PostgreSQL over the same views, in the same run."""
    return asyncio.run(_million())


def ten_million() -> list[Row]:
    return asyncio.run(_ten_million())


async def _copy_to(twin: Twin, clickhouse: ClickHouse, end_s: int) -> None:
    for workspace in await _workspaces(clickhouse):
        # Such pieces of a million views stay well under the largest answer.
        days = 2 if workspace == population.LARGEST else 6
        await twin.take(clickhouse, (Selection(workspace, span) for span in _pieces(end_s, days)))
    twin.settle()


async def _million() -> list[Row]:
    async with filled(Size.MILLION) as (clickhouse, folder, end_s):
        with Twin(folder) as twin:
            month = await _measure(clickhouse, end_s, 30)
            selection = Selection(population.LARGEST, _days(end_s, 30))
            rows = []
            for name, took in month.items():
                theirs = twin.seconds(name, selection, 3) if name in POSTGRES else []
                rows.append(_row(f"{name}, 30 days", took, theirs))
            disk, views = await _disk_bytes(clickhouse), Size.MILLION.views
            rows.append(
                Row(
                    "disk per view",
                    f"{disk / views:.0f} B",
                    f"PostgreSQL {twin.size_bytes() / views:.0f} B",
                    disk / twin.size_bytes(),
                )
            )
    return rows


async def _ten_million() -> list[Row]:
    async with filled(Size.TEN_MILLION) as (clickhouse, _folder, end_s):
        rows = []
        for days in (1, 30):
            measured = await _measure(clickhouse, end_s, days)
            selection = await _selection(end_s, days).located(clickhouse)
            [counted] = await clickhouse.rows(f"SELECT count() AS n FROM ({selection.views([])})", selection.parameters)
            rows += [_row(f"{name}, {_name(days)} ({counted['n']:,} views)", took) for name, took in measured.items()]
        rows.append(Row("disk per view", f"{await _disk_bytes(clickhouse) / Size.TEN_MILLION.views:.0f} B"))
    return rows


async def _measure(clickhouse: ClickHouse, end_s: int, days: int) -> dict[str, list[float]]:
    selection = _selection(end_s, days)
    found: dict[str, list[float]] = {}
    for name, ask in QUESTIONS.items():
        took = []
        for _ in range(TIMES + 1):
            begin = time.perf_counter()
            try:
                await ask(clickhouse, selection)
            except errors.FastpixError as fault:
                _say(f"{name}: {fault.description[:300]}")
                took = [float("inf")]
                break
            took.append(time.perf_counter() - begin)
            if took[-1] > LONG_S:
                break
        found[name] = took[1:] or took  # the first one reads the files
        _say(f"{name}: {statistics.median(found[name]) * 1000:.0f} ms")
    return found


def _selection(end_s: int, days: int) -> Selection:
    return Selection(population.LARGEST, _days(end_s, days))


def _days(end_s: int, days: int) -> Span:
    return spans.last(days * DAY_S, end_s)


def _pieces(end_s: int, days: int) -> list[Span]:
    """The whole time, in spans of `days`."""
    return [
        Span(end_s - (day + days) * DAY_S, end_s - day * DAY_S + (1 if day == 0 else 0))
        for day in range(0, population.DAYS, days)
    ]


def _name(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


async def _workspaces(clickhouse: ClickHouse) -> list[str]:
    rows = await clickhouse.rows(f"SELECT DISTINCT toString(workspace_id) AS id FROM {schema.FINISHED}")
    return [row["id"] for row in rows]


async def _disk_bytes(clickhouse: ClickHouse) -> int:
    [row] = await clickhouse.rows(
        f"SELECT sum(bytes_on_disk) AS size FROM system.parts WHERE active"
        f" AND table IN ('{schema.ROWS}', '{schema.FINISHED}')"
    )
    return int(row["size"])


def _row(what: str, took: list[float], theirs: list[float] | None = None) -> Row:
    middle_ms = statistics.median(took) * 1000
    worst_ms = sorted(took)[min(len(took) - 1, round(0.95 * len(took)))] * 1000
    text = f"p50 {middle_ms:.0f} ms, p95 {worst_ms:.0f} ms"
    their_ms = statistics.median(theirs) * 1000 if theirs else 0.0
    compared = f"PostgreSQL {their_ms:.0f} ms" if theirs else ""
    return Row(
        what, text, compared, middle_ms / their_ms if their_ms else None, f"< {AIM_MS:.0f} ms", worst_ms < AIM_MS
    )


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
