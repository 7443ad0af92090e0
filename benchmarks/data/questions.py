"""The ten questions of a dashboard: ours as the API asks them, and what says the same in PostgreSQL."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastpix_server.views import metrics
from fastpix_server.views.metrics import Measurement
from fastpix_server.views.queries.breakdown import Paging, breakdown
from fastpix_server.views.queries.comparison import comparison
from fastpix_server.views.queries.filter_values import filter_values
from fastpix_server.views.queries.overall import overall
from fastpix_server.views.queries.playback_errors import playback_errors
from fastpix_server.views.queries.realtime import realtime, window
from fastpix_server.views.queries.selection import Rows, Selection
from fastpix_server.views.queries.timeseries import timeseries
from fastpix_server.views.queries.top_content import top_content
from fastpix_server.views.queries.view_list import view_list

Question = Callable[[Rows, Selection], Awaitable[Any]]

_BY_VIEWS = Paging("views", True, 10, 1)
_LATEST = Paging("view_end", True, 10, 1)


async def _now(asking: Rows, selection: Selection) -> Any:
    now_s = selection.span.before_s - 1
    inside = Selection(selection.workspace_id, window(10, now_s), selection.filters)
    return await realtime(asking, inside, 10, now_s)


QUESTIONS: Mapping[str, Question] = {
    "overall score": lambda a, s: overall(a, s, metrics.BY_ID["quality_of_experience_score"], Measurement.AVERAGE),
    "overall startup, 95th": lambda a, s: overall(a, s, metrics.BY_ID["video_startup_time"], Measurement.P95),
    "views by browser": lambda a, s: breakdown(
        a, s, metrics.BY_ID["views"], Measurement.AVERAGE, "browser_name", _BY_VIEWS
    ),
    "rebuffering by country": lambda a, s: breakdown(
        a, s, metrics.BY_ID["buffer_ratio"], Measurement.AVERAGE, "country", _BY_VIEWS
    ),
    "views by the hour": lambda a, s: timeseries(a, s, metrics.BY_ID["views"], Measurement.AVERAGE, "hour"),
    "top content": lambda a, s: top_content(a, s, 10),
    "latest views": lambda a, s: view_list(a, s, _LATEST),
    "values of a filter": lambda a, s: filter_values(a, s, "video_title"),
    "errors": lambda a, s: playback_errors(a, s, 10),
    "comparison": comparison,
    "realtime": _now,
}

_OF = "from views where workspace_id = %(w)s and view_end >= %(a)s and view_end < %(b)s"
# One statement per question over one row per view: what an upsert per beacon would have left there.
POSTGRES: Mapping[str, str] = {
    "overall score": f"""select avg(quality_of_experience_score), sum(watch_time), sum(playing_time), count(*),
        count(distinct viewer_id) {_OF}""",
    "overall startup, 95th": f"""select percentile_cont(0.95) within group (order by video_startup_time),
        sum(watch_time), sum(playing_time), count(*), count(distinct viewer_id) {_OF}""",
    "views by browser": f"""select browser_name, count(*) as views, sum(watch_time), sum(playing_time),
        count(*) over () {_OF} group by browser_name order by views desc limit 10""",
    "rebuffering by country": f"""select country, count(*) as views, avg(buffer_ratio), sum(watch_time),
        sum(playing_time), count(*) over () {_OF} group by country order by views desc limit 10""",
    "views by the hour": f"select date_trunc('hour', view_end) as slot, count(*) {_OF} group by slot order by slot",
    "top content": f"""select video_title, count(*) as views, count(distinct viewer_id) {_OF}
        group by video_title order by views desc limit 10""",
    "latest views": f"""select view_id, os_name, browser_name, view_start, view_end, video_title, error_code,
        error_message, country, watch_time, quality_of_experience_score, (select count(*) {_OF}) {_OF}
        order by view_end desc limit 10""",
    "values of a filter": f"""select video_title, count(*), count(distinct viewer_id) {_OF}
        group by video_title order by 2 desc limit 1000""",
    "errors": f"""select error_code, error_message, count(*), count(distinct viewer_id), max(view_end),
        (select count(*) {_OF}) {_OF} and playback_failed = 'true' group by 1, 2 order by 3 desc limit 10""",
    "comparison": f"""select count(*), count(distinct viewer_id), sum(playing_time), avg(playing_time),
        percentile_cont(array[0.5, 0.95]) within group (order by playing_time),
        percentile_cont(array[0.5, 0.95]) within group (order by video_startup_time),
        percentile_cont(array[0.5, 0.95]) within group (order by player_init_time),
        percentile_cont(array[0.5, 0.95]) within group (order by page_load_time),
        percentile_cont(array[0.5, 0.95]) within group (order by total_startup_time),
        percentile_cont(array[0.5, 0.95]) within group (order by buffer_fill),
        percentile_cont(array[0.5, 0.95]) within group (order by buffer_count),
        percentile_cont(array[0.5, 0.95]) within group (order by average_bitrate),
        percentile_cont(array[0.5, 0.95]) within group (order by max_upscaling),
        percentile_cont(array[0.5, 0.95]) within group (order by max_downscaling),
        percentile_cont(array[0.5, 0.95]) within group (order by avg_upscaling),
        avg(quality_of_experience_score), avg(jump_latency), avg(buffer_ratio), avg(buffer_frequency) {_OF}""",
}
