"""The video data operations: what parameters mean, how answers are spelled, and that no parameter is ever SQL."""

import base64
import dataclasses
import time
import uuid
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.unit.api.conftest import PASSWORD, USERNAME

from fastpix_server.api.app import create_api
from fastpix_server.views import dimensions, metrics, schema

NOW_S = int(time.time())
WIDE = f"timespan[]={NOW_S - 7200}&timespan[]={NOW_S + 3600}"
PLAYED = {"has_played": True, "video_startup_time": 3, "watch_time": 1000}


@pytest.fixture
async def context(context, engine):
    return dataclasses.replace(context, video_data=engine)


@pytest.fixture
def watch(api, engine):
    """Makes a view of the caller's workspace and answers with its id."""

    def made(**columns: Any) -> str:
        view_id = str(uuid.uuid4())
        engine.watch(api.workspace_id, view_id, **{**PLAYED, **columns})
        return view_id

    return made


async def data(api, path: str) -> Any:
    answer = await api.http.get(f"/data/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def refused(api, path: str, status: int) -> dict[str, Any]:
    answer = await api.http.get(f"/data/{path}")
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


async def count(api, query: str) -> int:
    return (await data(api, f"metrics/views/overall?{query}"))["value"]


# Spans


@pytest.mark.parametrize("key", ["timespan[]", "timespan%5B%5D", "TimeSpan[]", "timespan"])
async def test_a_span_is_read_however_its_key_is_written(api, watch, key):
    watch(end_ms=(NOW_S - 5 * 3600) * 1000)
    assert await count(api, f"{key}=6:hours") == 1
    assert await count(api, f"{key}=60:minutes") == 0


async def test_the_default_span_is_a_day_and_is_told(api):
    answer = (await api.http.get("/data/viewlist")).json()
    after_s, before_s = answer["timespan"]
    assert before_s - after_s == 86400
    assert abs(before_s - time.time()) < 60


async def test_two_epochs_are_a_span_that_ends_before_its_end(api, watch):
    watch(end_ms=(NOW_S - 100) * 1000)
    assert await count(api, f"timespan[]={NOW_S - 100}&timespan[]={NOW_S - 99}") == 1
    assert await count(api, f"timespan[]={NOW_S - 200}&timespan[]={NOW_S - 100}") == 0


ODD_SPANS = [
    "timespan[0]=24:hours",
    "timespan[]=25:hours",
    "timespan[]=",
    "timespan[]=1",
    "timespan[]=1700000000",
    "timespan[]=1700000100&timespan[]=1700000000",
    "timespan[]=1700000000&timespan[]=1700000000",
    "timespan[]=1600000000&timespan[]=1700000000",
    "timespan[]=1700000000000&timespan[]=1700000001000",
    "timespan[]=24:hours&timespan[]=6:hours",
    "timespan[]=-1&timespan[]=1700000000",
    "timespan[]=1700000000&timespan[]=1700000001&timespan[]=1700000002",
    "timespan[]=١٧٠٠٠٠٠٠٠٠&timespan[]=١٧٠٠٠٠٠٠٠١",
]


async def test_an_odd_span_is_refused_in_the_services_words(api):
    for query in ODD_SPANS:
        error = await refused(api, f"viewlist?{query}", 422)
        assert error["message"] == "payload validation failed"
        assert error["fields"][0]["field"] == "timespan[]"
        assert error["fields"][0]["message"].startswith("Invalid timespan value")


async def test_a_timeseries_tells_its_span_in_milliseconds(api):
    answer = (await api.http.get(f"/data/metrics/views/timeseries?{WIDE}")).json()
    assert answer["timespan"] == [(NOW_S - 7200) * 1000, (NOW_S + 3600) * 1000]
    assert answer["metadata"] == {"granularity": "minute", "aggregation": "view_end"}


# Filters


async def test_values_of_one_dimension_are_alternatives_and_dimensions_must_agree(api, watch):
    watch(given_browser_name="Chrome", given_os_name="macOS")
    watch(given_browser_name="Firefox", given_os_name="macOS")
    watch(given_browser_name="Firefox", given_os_name="Windows")
    watch(given_browser_name="Safari", given_os_name="iOS")
    chrome_or_firefox = "filterby[]=browser_name:Chrome&filterby[]=browser_name:Firefox"
    assert await count(api, f"{WIDE}&{chrome_or_firefox}") == 3
    assert await count(api, f"{WIDE}&{chrome_or_firefox}&filterby[]=os_name:macOS") == 2
    assert await count(api, f"{WIDE}&filterBy[]=browser_name:Chrome") == 1
    assert await count(api, f"{WIDE}&filterby%5B%5D=browser_name%3AChrome") == 1
    assert await count(api, f"{WIDE}&filterby[]=browser_name:chrome") == 0


@pytest.mark.parametrize("spelling", ["!browser_name:Chrome", "browser_name:!Chrome"])
async def test_what_is_excluded_stays_out_in_both_spellings(api, watch, spelling):
    watch(given_browser_name="Chrome")
    watch(given_browser_name="Firefox")
    watch()
    assert await count(api, f"{WIDE}&filterby[]={spelling}") == 2
    assert await count(api, f"{WIDE}&filterby[]={spelling}&filterby[]=!browser_name:null") == 1


async def test_a_value_may_hold_colons_and_what_is_missing_is_null(api, watch):
    watch(video_title="a:b")
    watch()
    assert await count(api, f"{WIDE}&filterby[]=video_title:a:b") == 1
    assert await count(api, f"{WIDE}&filterby[]=video_title:null") == 1
    assert await count(api, f"{WIDE}&filterby[]=video_title:") == 1


async def test_yes_and_no_are_words(api, watch):
    watch(has_error=True)
    watch(player_autoplay_on=True)
    assert await count(api, f"{WIDE}&filterby[]=playback_failed:true") == 1
    assert await count(api, f"{WIDE}&filterby[]=player_autoplay_on:null") == 1


ODD_FILTERS = [
    "filterby[]=shoe_size:44",
    "filterby[]=browser_name",
    "filterby[]=",
    "filterby[0]=browser_name:Chrome",
    "filterby[]=workspace_id:x",
    "filterby[]=browser_name:" + "x" * 3000,
    "&".join(["filterby[]=custom_1:x"] * 101),
    "viewerId=" + "x" * 3000,
]


async def test_a_filter_that_cannot_be_understood_is_a_bad_request(api):
    for query in ODD_FILTERS:
        assert (await refused(api, f"viewlist?{query}", 400))["message"] == "Bad Request"


async def test_every_dimension_can_be_filtered_and_grouped_by(api, watch):
    watch()
    assert await data(api, "dimensions") == list(dimensions.DIMENSIONS)
    assert len(dimensions.DIMENSIONS) == 56
    shown = {}
    for name in dimensions.DIMENSIONS:
        [row] = await data(api, f"metrics/views/breakdown?{WIDE}&groupBy={name}")
        shown[name] = row["field"]
    # All its values together let the view in; that it must not have one of them (every fourth is tried) keeps it out.
    assert await count(api, "&".join([WIDE, *(f"filterby[]={name}:{value}" for name, value in shown.items())])) == 1
    for name, value in [*shown.items()][::4]:
        assert await count(api, f"{WIDE}&filterby[]=!{name}:{value}") == 0, name
    for name in dimensions.CURRENT_DIMENSIONS:
        await data(api, f"viewlist/current-views/filter?dimension={name}")


async def test_viewer_and_error_code_are_parameters_of_their_own(api, watch):
    mine = watch(given_viewer_id="ann")
    watch(given_viewer_id="bob", has_error=True, error_code="1002")
    assert [row["viewId"] for row in await data(api, f"viewlist?{WIDE}&viewerId=ann")] == [mine]
    assert [row["errorCode"] for row in await data(api, f"viewlist?{WIDE}&errorCode=1002")] == ["1002"]
    assert len(await data(api, f"viewlist?{WIDE}&viewerId=&errorCode=")) == 2


# Spellings


async def test_the_captured_overall_score_counts_failures_and_the_comparison_leaves_them_out(api, watch):
    # Ten views, two failed, the others started in about 3.63 ms: 0.79990 over all, 0.999875 without the failures.
    for _ in range(4):
        watch(video_startup_time=3)
        watch(video_startup_time=4)
    watch(has_error=True)
    watch(has_error=True)
    overall = await data(api, f"metrics/quality_of_experience_score/overall?{WIDE}")
    tree = {row["metric"]: row for row in await data(api, f"metrics/comparison?{WIDE}")}
    assert tree["overall_score"]["value"] == pytest.approx(0.99988, abs=5e-6)
    assert overall["value"] == pytest.approx(tree["overall_score"]["value"] * 8 / 10)
    assert tree["playback_success_score"]["value"] == 1
    assert tree["playback_success_score"]["items"][0] == {
        "value": 0.2,
        "type": "percentage",
        "name": "Playback Failure Percentage",
        "metric": "playback_failure_percentage",
        "measurement": None,
        "items": None,
    }


async def test_the_comparison_of_nothing_is_zeros_and_never_null(api):
    tree = await data(api, f"metrics/comparison?{WIDE}&dimension=browser_name&value=Nobody's")
    assert [row["metric"] for row in tree] == [
        "views", "overall_score", "playback_success_score", "startup_score", "stability_score",
        "render_quality_score",
    ]  # fmt: skip
    lines = [line for top in tree for line in (top, *(top["items"] or ()))]
    assert {line["value"] for line in lines} == {0}
    by_name = {line["name"]: (line["type"], line["metric"], line["measurement"]) for line in lines}
    assert by_name["Video Startup Time (95th percentile)"] == ("milliseconds", "video_startup_time", "95th")
    assert by_name["Average Bitrate (median)"] == ("mbps", "average_bitrate", "median")
    assert by_name["Playing Time (total)"] == ("milliseconds", "playing_time", "sum")
    assert tree[1]["items"] is None


@pytest.mark.parametrize("query", ["dimension=browser_name", "value=Chrome"])
async def test_a_comparison_needs_dimension_and_value_together(api, query):
    assert (await refused(api, f"metrics/comparison?{query}", 422))["fields"][0]["message"] == "must not be null"


async def test_a_row_of_the_list_has_the_services_keys_times_and_nulls(api, watch):
    view_id = watch(end_ms=1_779_270_642_361, given_os_name="Android")
    [row] = await data(api, "viewlist?timespan[]=1779270000&timespan[]=1779271000")
    assert row == {
        "viewId": view_id,
        "operatingSystem": "Android",
        "application": None,
        "viewStartTime": "2026-05-20T09:50:32.361",
        "viewEndTime": "2026-05-20T09:50:42.361",
        "videoTitle": None,
        "errorCode": None,
        "errorMessage": None,
        "errorId": None,
        "country": None,
        "viewWatchTime": 1000,
        "QoeScore": pytest.approx(0.725 + 0.275 * 8000 / 8003),
    }


async def test_a_view_that_goes_on_has_no_end_yet(api, watch):
    view_id = watch(is_completed=False)
    [row] = await data(api, f"viewlist?{WIDE}")
    assert row["viewEndTime"] is None
    assert (await data(api, f"viewlist/{view_id}"))["viewEnd"] is None


async def test_an_hour_of_silence_ends_a_view(api, watch):
    watch(is_completed=False, end_ms=(int(time.time()) - 3601) * 1000)
    watch(is_completed=False, end_ms=(int(time.time()) - 3000) * 1000)
    rows = await data(api, f"viewlist?{WIDE}")
    assert [row["viewEndTime"] is None for row in rows] == [False, True]


async def test_a_view_is_found_by_its_id_in_any_case_and_by_a_text_that_is_no_uuid(api, watch, engine):
    view_id = watch(custom_1="a", fp_embed=True, video_source_width="1920", video_source_height="1080")
    detail = await data(api, f"viewlist/{view_id.upper()}")
    assert (detail["viewId"], detail["custom"], detail["custom1"], detail["sign"]) == (view_id, {}, "a", "1")
    assert (detail["videoResolution"], detail["playerSourceHeight"]) == ("1080X1920", 1080)
    engine.watch(api.workspace_id, str(schema.view_uuid("a view of a home-made player")))
    assert (await data(api, "viewlist/a%20view%20of%20a%20home-made%20player"))["viewHasError"] is False
    assert (await refused(api, f"viewlist/{uuid.uuid4()}", 404))["message"] == "View not found"
    assert (await refused(api, "viewlist/" + "x" * 300, 404))["message"] == "View not found"


async def test_events_are_in_order_once_each_with_their_details(api, watch, engine):
    view_id = watch()
    event = {"workspace_id": api.workspace_id, "view_id": view_id, "at": "2026-11-23 07:04:35.299", "playhead_ms": 9}
    later = {**event, "sequence": 16, "name": "variantChanged", "detail": msgspec.json.encode({"br": 900}).decode()}
    for _ in range(2):
        engine.insert(schema.EVENTS, [later, {**event, "sequence": 15, "name": "viewBegin"}])
    assert (await data(api, f"viewlist/{view_id}"))["events"] == [
        {"pt": 9, "e": "viewBegin", "vt": 1795417475299},
        {"pt": 9, "e": "variantChanged", "vt": 1795417475299, "d": {"br": 900}},
    ]


async def test_an_error_is_told_with_its_share_and_when_it_was_seen(api, watch):
    told = {"has_error": True, "error_code": "networkError", "error_message": "gone", "error_context": "player"}
    watch(given_viewer_id="ann", end_ms=1_779_270_936_020, **told)
    for viewer in ("ann", "bob", "eve"):
        watch(given_viewer_id=viewer, end_ms=1_779_270_936_000)
    answer = await data(api, "errors?timespan[]=1779270000&timespan[]=1779271000")
    common = {
        "percentage": 0.25,
        "notes": "",
        "message": "gone",
        "lastSeen": "2026-05-20 09:55:36.02",
        "count": 1,
        "code": "networkError",
    }
    assert answer["errors"] == [{**common, "id": "1", "description": "player"}]
    assert answer["topErrors"] == [{**common, "uniqueViewersEffectedPercentage": pytest.approx(1 / 3)}]


async def test_pages_past_the_end_are_empty_and_still_count(api, watch):
    for title in ("a", "b", "c"):
        watch(video_title=title)
    for path in ("viewlist", "metrics/views/breakdown"):
        answer = (await api.http.get(f"/data/{path}?{WIDE}&groupBy=video_title&limit=2&offset=9")).json()
        assert answer["data"] == []
        assert answer["pagination"] == {"totalRecords": 3, "currentOffset": 9, "offsetCount": 2}


async def test_comparison_ids_are_metrics_too(api, watch):
    watch(max_upscaling=0.5)
    assert (await data(api, f"metrics/max_upscale_percentage/overall?{WIDE}"))["value"] == 0.5
    assert (await data(api, f"metrics/overall_score/overall?{WIDE}"))["value"] > 0.99


BAD_PARAMETERS = [
    ("metrics/shoe_size/overall", 404, "metric not found"),
    ("dimensions/shoe_size", 404, "dimension not found"),
    ("metrics/views/breakdown?groupBy=shoe_size", 400, "Bad Request"),
    ("metrics/comparison?dimension=shoe_size&value=44", 400, "Bad Request"),
    ("viewlist/current-views/filter?dimension=viewer_id", 400, "Bad Request"),
    ("viewlist?limit=51", 422, "payload validation failed"),
    ("viewlist?limit=0", 422, "payload validation failed"),
    ("viewlist?offset=0", 422, "payload validation failed"),
    ("viewlist?orderBy=views", 422, "payload validation failed"),
    ("viewlist?sortOrder=up", 422, "payload validation failed"),
    ("metrics/views/overall?measurement=best", 422, "payload validation failed"),
    ("metrics/views/timeseries?groupBy=week", 422, "payload validation failed"),
    (
        f"metrics/views/timeseries?timespan[]={NOW_S - 90 * 86400}&timespan[]={NOW_S}",
        422,
        "payload validation failed",
    ),
]


async def test_bad_parameters_are_refused(api):
    for path, status, message in BAD_PARAMETERS:
        assert (await refused(api, path, status))["message"] == message


async def test_without_an_analytics_database_the_answer_is_try_again(api):
    object.__setattr__(api.context, "video_data", None)
    answer = await api.http.get("/data/viewlist")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


# Hostile texts

HOSTILE = [
    "' OR 1=1 --",
    "') UNION ALL SELECT * FROM view_rows; DROP TABLE view_rows; --",
    "\\",
    "'\\''",
    "{workspace_id:UUID} {x:String}",
    "`view_id`",
    "\0",
    "\n\r\t\x08\x1b 🎬\u202e\ufeff",
    "[]",
    "NULL",
    "x" * 10_000,
]
PLACES = [
    "viewlist?{wide}&filterby[]=video_title:{text}",
    "viewlist?{wide}&filterby[]={text}",
    "viewlist?{wide}&filterby[]={text}:x",
    "viewlist?timespan[]={text}",
    "viewlist?timespan[]={text}&timespan[]=1700000000",
    "viewlist?{wide}&viewerId={text}",
    "viewlist?{wide}&errorCode={text}",
    "viewlist?{wide}&orderBy={text}",
    "viewlist?{wide}&sortOrder={text}",
    "viewlist?{wide}&limit={text}",
    "viewlist?{wide}&offset={text}",
    "viewlist?{wide}&{text}=x",
    "viewlist/top-content?{wide}&filterby[]=viewer_id:{text}&limit={text}",
    "viewlist/current-views/filter?dimension={text}",
    "viewlist/{path}",
    "dimensions/{path}",
    "metrics/{path}/overall",
    "metrics/views/overall?{wide}&measurement={text}",
    "metrics/views/overall?{wide}&filterby[]=!country:{text}",
    "metrics/views/breakdown?{wide}&groupBy={text}",
    "metrics/views/breakdown?{wide}&orderBy={text}&sortOrder={text}",
    "metrics/views/breakdown?{wide}&filterby[]=custom_1:!{text}",
    "metrics/views/timeseries?{wide}&groupBy={text}",
    "metrics/views/timeseries?{wide}&granularity={text}",
    "metrics/comparison?{wide}&dimension={text}&value=x",
    "metrics/comparison?{wide}&dimension=video_title&value={text}",
    "errors?{wide}&filterby[]=error_code:{text}",
]


async def test_no_parameter_is_ever_sql(api, watch, engine):
    """200, 400, 404 or 422; nothing of another workspace in any answer; and all tables are still there."""
    secret = str(uuid.uuid4())
    told = {"video_title": secret, "given_viewer_id": secret, "error_message": secret, "has_error": True}
    engine.watch(str(uuid.uuid4()), secret, **told)
    watch(video_title="ours")
    for number, place in enumerate(PLACES):
        # What breaks out of quotes is tried everywhere; of the others each place sees two, and each is seen somewhere.
        for text in (*HOSTILE[:3], *HOSTILE[3 + number % 4 :: 4]):
            # A path segment has no use for a megabyte; the rest of the list is the same.
            encoded = quote(text if "{path}" not in place else text[:1000], safe="")
            answer = await api.http.get("/data/" + place.format(wide=WIDE, text=encoded, path=encoded))
            assert answer.status_code in (200, 400, 404, 422), (place, text[:50], answer.text[:500])
            assert secret not in answer.text
    assert await count(api, WIDE) == 1


@pytest.mark.parametrize("name", ["filterby[]=video_title:", "viewerId=", "timespan[]=", "measurement=", "unknown="])
async def test_a_megabyte_in_a_parameter_is_refused_or_passed_over(api, name):
    # Clients and the HTTP server refuse a line this long themselves: the application is asked directly.
    path = "viewlist" if name == "viewerId=" else "metrics/views/overall"
    pair = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode())
    scope = {
        "type": "http", "method": "GET", "path": f"/v1/data/{path}", "raw_path": b"", "headers": [
            (b"authorization", b"Basic " + pair)
        ], "query_string": name.encode() + b"%27" * (1 << 18) + b"x" * (1 << 18), "scheme": "http",
        "server": ("test", 80), "client": ("127.0.0.1", 1), "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    app = Starlette(routes=[Mount("/v1", create_api(api.context))])
    await app(scope, receive, send)
    expected = {"filterby[]=video_title:": 400, "viewerId=": 400, "unknown=": 200}
    assert sent[0]["status"] == expected.get(name, 422)


async def test_a_hostile_title_is_a_title(api, watch):
    for text in HOSTILE[:-1]:
        watch(video_title=text)
    for text in HOSTILE[:-1]:
        filtered = f"metrics/views/breakdown?{WIDE}&groupBy=video_title&filterby[]=video_title:{quote(text, safe='')}"
        assert [row["field"] for row in await data(api, filtered)] == [text]


async def test_the_longest_filters_arrive(api, watch):
    watch(video_title="\\" * 2048)
    filtered = "&".join(f"filterby[]=video_title:{'%5C' * length}" for length in (2048, 2047, 2046, 1900))
    assert await count(api, f"{WIDE}&{filtered}") == 1
    many = "&".join(["filterby[]=video_title:" + "x" * 2000] * 5)
    assert "8192" in (await refused(api, f"viewlist?{many}", 400))["description"]


async def test_every_metric_answers_every_question(api, watch):
    """What they compute, in every measurement, is compared with a reference in tests/unit/views/test_queries.py."""
    watch()
    for number, metric in enumerate(metrics.BY_ID):
        assert (await data(api, f"metrics/{metric}/overall?{WIDE}"))["totalViews"] == 1
        if number % 4:
            continue
        [row] = await data(api, f"metrics/{metric}/breakdown?{WIDE}&orderBy=value&sortOrder=desc")
        [point] = await data(api, f"metrics/{metric}/timeseries?{WIDE}&groupBy=day&measurement=sum")
        assert (row["views"], point["numberOfViews"]) == (1, 1)


async def test_other_callers_need_data_read(api):
    made = await api.http.post("/iam/access-tokens", json={"name": "t", "permissions": ["video:read"]})
    pair = made.json()["data"]
    async with api.other(pair["id"], pair["secretKey"]) as http:
        answer: httpx.Response = await http.get("/data/viewlist")
    assert answer.status_code == 403
