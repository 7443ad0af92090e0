"""Every video data call of the official Python SDK, over HTTP, with the analytics role as a process of its own."""

import asyncio
import uuid

import httpx
import msgspec
import pytest
from fastpix_python import errors
from tests.contract.conftest import PASSWORD, USERNAME, Service
from tests.unit.views import sessions
from tests.video_data import view_row

from fastpix_server.views import schema
from fastpix_server.views.clickhouse import ClickHouse

DAY = "24:hours"
CHROME = {
    "given_browser_name": "Chrome",
    "detected_device_type": "Mobile",
    "place": "1\tNet\tAS\tIN\tIndia\tR\tC\t1\t2",
}


@pytest.fixture(scope="module")
def workspace_id(running: Service) -> str:
    answer = httpx.get(f"{running.url}/v1/iam/workspace", auth=(USERNAME, PASSWORD))
    return str(answer.json()["data"]["workspaceId"])


@pytest.fixture(scope="module")
def views(running: Service, workspace_id: str) -> dict[str, str]:
    """Ids of a view that played, one that failed, and one that goes on; and the recorded session of a real player."""
    running.analytics.start()
    ids = {name: str(uuid.uuid4()) for name in ("played", "failed", "going")}
    played = {**CHROME, "has_played": True, "watch_time": 17607, "video_startup_time": 3, "video_title": "Cycle"}
    rows = [
        view_row(workspace_id, ids["played"], **played, given_viewer_id="ann", buffer_count=0, player_width="800"),
        view_row(workspace_id, ids["failed"], has_error=True, error_code="1002", error_message="gone"),
        view_row(workspace_id, ids["going"], **played, is_completed=False, given_viewer_id="bob"),
    ]
    recorded = sessions.recorded_batches()

    async def insert() -> None:
        async with ClickHouse(running.analytics.url) as clickhouse:
            await clickhouse.insert(schema.ROWS, b"\n".join(msgspec.json.encode(row) for row in rows))
            for batch in recorded:
                for table, lines in ((schema.ROWS, batch.rows), (schema.EVENTS, batch.events)):
                    told = b"\n".join(lines).replace(sessions.WORKSPACE_ID.encode(), workspace_id.encode())
                    if told:
                        await clickhouse.insert(table, told)

    asyncio.run(insert())
    return ids


def test_views_are_listed(sdk, views):
    page = sdk.views.list_video_views(timespan=DAY, limit=2, order_by="view_end", sort_order="desc")
    assert (len(page.data), page.pagination.total_records, page.pagination.offset_count) == (2, 3, 2)
    [failed] = sdk.views.list_video_views(timespan=DAY, error_code=1002).data
    assert (failed.view_id, failed.error_message, failed.qoe_score) == (views["failed"], "gone", 0)
    [mine] = sdk.views.list_video_views(timespan=DAY, viewer_id="ann", filterby="browser_name:Chrome").data
    assert (mine.application, mine.country, mine.view_watch_time) == ("Chrome", "IN", 17607)
    assert mine.qoe_score == pytest.approx(0.9998969, abs=1e-7)


def test_a_view_is_read_in_detail(sdk, views, workspace_id):
    view = sdk.views.get_video_view_details(view_id=views["played"]).data
    assert (view.view_id, view.workspace_id, view.sign) == (views["played"], workspace_id, "1")
    assert (view.total_watch_time, view.video_startup_time, view.startup_score) == (
        17607, 3, pytest.approx(0.9996251, abs=1e-7),
    )  # fmt: skip
    assert (view.country_code, view.player_width, view.drm_type) == ("IN", 800, "none")


def test_the_recorded_session_of_a_real_player_is_a_view_with_its_events(sdk, views):
    view = sdk.views.get_video_view_details(view_id=sessions.VIEW_ID).data
    assert (view.video_title, view.video_id, view.viewer_id) == ("T", "vid1", "u1")
    assert (view.total_watch_time, view.video_startup_time, view.view_seeked_duration) == (22155, 29, 52)
    assert view.view_playing_time == 22155 - 29 - 52
    assert (view.jump_latency, view.average_bitrate) == (52, 900_000)
    assert (view.view_start, view.view_end) == ("2026-11-23T07:04:35.299Z", "2026-11-23T07:05:01.368Z")
    assert (view.player_resolution, view.video_resolution) == ("640x584", "360X640")
    assert view.startup_score == pytest.approx(8000 / 8029)
    assert (view.stability_score, view.render_quality_score, view.playback_score) == (1, 1, 1)
    names = [event.event_name for event in view.events]
    assert names[names.index("viewBegin") :][:3] == ["viewBegin", "play", "playing"]
    assert names.count("viewCompleted") == 1


def test_an_unknown_view_raises_view_not_found(sdk, views):
    with pytest.raises(errors.FastpixError) as caught:
        sdk.views.get_video_view_details(view_id=str(uuid.uuid4()))
    assert (caught.value.status_code, caught.value.data.error.message) == (404, "View not found")


def test_top_content_and_dimensions(sdk, views):
    top = sdk.views.list_by_top_content(timespan=DAY, limit=5).data
    assert [(row.video_title, row.views, row.unique_views) for row in top] == [("Cycle", 2, 2), ("null", 1, 0)]
    assert len(sdk.dimensions.list_dimensions().data) == 56
    values = sdk.dimensions.list_filter_values_for_dimension(dimensions_id="browser_name", timespan=DAY).data
    assert [(row.value, row.count, row.unique_count) for row in values] == [("Chrome", 2, 2), ("null", 1, 0)]


def test_metrics_are_broken_down_and_measured(sdk, views):
    page = sdk.metrics.list_breakdown_values(
        metric_id="video_startup_time", timespan=DAY, group_by="device_type", measurement="95th", sort_order="desc"
    )
    assert [(row.field, row.value, row.views) for row in page.data] == [("Mobile", 3, 2), ("null", None, 1)]
    assert (page.data[0].total_watch_time, page.pagination.total_records) == (35214, 2)
    overall = sdk.metrics.list_overall_values(
        metric_id="playback_failure_percentage", timespan=DAY, filterby="!browser_name:Chrome"
    )
    assert (overall.data.value, overall.data.total_views) == (1, 1)
    assert overall.data.global_value == pytest.approx(1 / 3)


def test_metrics_over_time(sdk, views):
    series = sdk.metrics.get_timeseries_data(metric_id="views", timespan="60:minutes", group_by="hour")
    assert sum(point.number_of_views for point in series.data) == 3
    assert series.timespan[1] - series.timespan[0] == 3_600_000


def test_metrics_are_compared(sdk, views):
    tree = sdk.metrics.list_comparison_values(timespan=DAY, dimension="browser_name", value="Chrome").data
    assert [(top.name, top.metric, top.measurement) for top in tree] == [
        ("Views", "views", "count"),
        ("Overall Score", "overall_score", "avg"),
        ("Playback Success Score", "playback_success_score", "avg"),
        ("Startup Time Score", "startup_score", None),
        ("Stability Score", "stability_score", None),
        ("Render Quality Score", "render_quality_score", None),
    ]
    assert (tree[0].value, tree[0].items[0].value, tree[1].items) == (2, 2, None)


def test_errors_are_listed(sdk, views):
    found = sdk.errors.list_errors(timespan=DAY, limit=1).data
    assert [(row.code, row.message, row.count, row.id) for row in found.errors] == [("1002", "gone", 1, "1")]
    assert found.top_errors[0].percentage == pytest.approx(1 / 3)


def test_who_is_watching_now(sdk, views, running, workspace_id):
    async def pulse() -> None:
        async with ClickHouse(running.analytics.url) as clickhouse:
            row = view_row(workspace_id, views["going"], is_completed=False)
            await clickhouse.insert(schema.ROWS, msgspec.json.encode(row))

    asyncio.run(pulse())
    series = sdk.views.get_data_viewlist_current_views_get_timeseries_views()
    assert len(series.data) == 30
    assert max(point.number_of_views for point in series.data) == 3
    assert series.data[0].metric_value is None
    [now] = sdk.views.get_data_viewlist_current_views_filter(dimension="country", limit=10).data
    assert (now.concurrent_viewers, now.dimension_name, now.metric_value) == (1, "IN", 1)
