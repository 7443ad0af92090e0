"""Events become rows that merge to the same view, however they arrive."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.views.sessions import (
    KEY,
    VIEW_ID,
    WORKSPACE_ID,
    batches_of,
    events,
    listed,
    merged,
    nothing,
    recorded_batches,
)

from fastpix_server.views import rows
from fastpix_server.views.pipeline import Kept
from fastpix_server.views.schema import BY_NAME, pack_last, view_uuid

AT_MS = 1795417501414


def test_the_recorded_session_comes_out_as_it_was() -> None:
    (view,) = merged(recorded_batches()).values()
    assert view == {
        "view_start": "2026-11-23 07:04:35.299",
        "last_event_at": "2026-11-23 07:05:01.368",
        "received_first_at": "2026-11-23 07:04:35.342",
        "received_last_at": "2026-11-23 07:05:01.418",
        "is_completed": True,
        "has_played": True,
        "given_viewer_id": "u1",
        "fp_viewer_id": "b355b434-4b68-4062-bc73-0d5996b56795",
        "session_id": "67f9e0be-b932-4dc6-b0b2-a1eb9536d3b5",
        "player_instance_id": "280572f6-51e6-4c11-b069-aa402efda359",
        "beacon_domain": "fp.test",
        "sample_number": 0.8111024827230722,
        "page_url": pack_last(25, "https://page.fp.test/"),
        "player_software_name": "fastpix-player-data-monitoring",
        "player_software_version": "1.0.20",
        "fp_sdk": "fastpix-hls-monitoring",
        "fp_sdk_version": "1.0.5",
        "player_width": pack_last(15, "640.0"),
        "player_height": pack_last(15, "584.0"),
        "player_autoplay_on": False,
        "player_preload_on": True,
        "used_full_screen": False,
        "player_view_count": 1,
        "given_video_id": "vid1",
        "video_title": pack_last(25, "T"),
        "video_source_duration": pack_last(16, "30023.0"),
        "video_source_url": pack_last(15, "https://stream.fp.test/5b2fe1e7-8e2b-4b2f-9d3a-2f6b0d7a1c11.m3u8"),
        "video_source_domain": pack_last(15, "fp.test"),
        "video_source_hostname": pack_last(15, "stream.fp.test"),
        "video_source_stream_type": "on-demand",
        "video_source_is_live": False,
        "video_source_width": pack_last(15, "640.0"),
        "video_source_height": pack_last(15, "360.0"),
        "video_source_fps": pack_last(25, "25.0"),
        "video_source_codec": pack_last(25, "avc1.42c01e"),
        "bitrates": [
            ["2026-11-23 07:04:31.266", 900000],
            ["2026-11-23 07:04:35.299", 900000],
            ["2026-11-23 07:05:01.368", 900000],
        ],
        "watch_time": 22155,
        "video_startup_time": 29,
        "content_playback_time": 21957,
        "total_content_playback_time": 21920,
        "max_playhead_position": 30023,
        "seeked_count": 1,
        "seeked_duration": 52,
        "max_seek_time": 52,
        "max_upscaling": 0.0,
        "max_downscaling": 0.0,
        "total_upscaling": 0.0,
        "total_downscaling": 0.0,
        "dropped_frame_count": 6,
        "dropped_resolution_count": 0,
        "request_count": 10,
        "avg_request_throughput": pack_last(25, "738031351.3513514"),
        "min_request_throughput": pack_last(25, "434666.6666666667"),
        "avg_request_latency": pack_last(25, "48.8"),
        "max_request_latency": 194.0,
    }


def test_the_view_detail_lists_each_event_once_in_order() -> None:
    found = listed(recorded_batches())
    assert [(sequence, event["name"]) for (_, sequence), event in sorted(found.items())] == [
        (1, "playerReady"),
        (2, "loadstart"),
        (4, "loadstart"),
        (11, "variantChanged"),
        (15, "viewBegin"),
        (16, "play"),
        (17, "playing"),
        (19, "seeking"),
        (20, "waiting"),
        (21, "seeked"),
        (22, "playing"),
        (23, "pause"),
        (24, "ended"),
        (25, "viewCompleted"),
    ]
    assert found[VIEW_ID, 11]["detail"] == '{"br":900000,"cd":"avc1.42c01e","fps":25,"h":360,"w":640}'
    assert found[VIEW_ID, 19]["playhead_ms"] == 13943
    assert found[VIEW_ID, 22]["at"] == "2026-11-23 07:04:49.449"


@st.composite
def deliveries(draw: st.DrawFn, source: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Any split of the session into requests, with any of its events sent again, in any order."""
    again = draw(st.lists(st.sampled_from(range(len(source))), max_size=10))
    order = draw(st.permutations([*range(len(source)), *again]))
    sent = [source[index] for index in order]
    cuts = sorted(draw(st.sets(st.integers(0, len(sent)), max_size=8)) | {0, len(sent)})
    return [sent[a:b] for a, b in itertools.pairwise(cuts)]


@given(deliveries(events()))
def test_any_order_split_and_repetition_of_the_recorded_session_is_the_same_view(
    groups: list[list[dict[str, Any]]],
) -> None:
    once = batches_of([events()], AT_MS)
    however = batches_of(groups, AT_MS)
    assert merged(however) == merged(once)
    assert listed(however) == listed(once)


def synthetic_session(seed: int) -> list[dict[str, Any]]:
    """Two interleaved views over three hours, with every kind of field in every kind of state."""
    chance = random.Random(seed)
    codes = sorted({code for column in BY_NAME.values() for code in column.codes} - {"vest"})
    found = []
    for sequence in range(1, 40):
        event: dict[str, Any] = {
            "wsid": KEY,
            "veid": chance.choice(["view-a", "0C5D1F60-6F7E-4F39-9E40-3B1C6D1B7C11"]),
            "vesqnu": chance.choice([sequence, str(sequence)]),
            "evna": chance.choice(["viewBegin", "playing", "pulse", "error", "viewCompleted", "adStart", "newThing"]),
            "vitp": AT_MS - (40 - sequence) * 300_000,
        }
        for code in chance.sample(codes, 25):
            event[code] = chance.choice(
                [0, 1, 17, 2.5, "", "x", "y", "12", True, False, None, -3, "vid", [1], {"a": 1}]
            )
        if event["evna"] in ("viewBegin", "viewCompleted"):
            event["vest"] = AT_MS - 40 * 300_000
        found.append(event)
    return found


@given(st.integers(0, 10_000).flatmap(lambda seed: st.tuples(st.just(seed), deliveries(synthetic_session(seed)))))
def test_any_order_split_and_repetition_of_any_session_is_the_same_views(
    case: tuple[int, list[list[dict[str, Any]]]],
) -> None:
    seed, groups = case
    once = batches_of([synthetic_session(seed)], AT_MS)
    however = batches_of(groups, AT_MS)
    assert merged(however) == merged(once)
    assert listed(however) == listed(once)


def kept(name: str = "pulse", sequence: int = 7, at_ms: int = AT_MS, **fields: Any) -> Kept:
    return Kept(WORKSPACE_ID, VIEW_ID, name, sequence, at_ms, 0, fields)


@pytest.mark.parametrize(
    ("fields", "column", "stored"),
    [
        ({"vewati": "22155"}, "watch_time", 22155),
        ({"vewati": 22155.4}, "watch_time", 22155),
        ({"plauon": "true"}, "player_autoplay_on", True),
        ({"plauon": 0}, "player_autoplay_on", False),
        ({"vdtt": 42}, "video_title", pack_last(7, "42")),
        ({"vdtt": "a\0b\nc"}, "video_title", pack_last(7, "abc")),
        ({"vdtt": "x" * 5000}, "video_title", pack_last(7, "x" * 2048)),
        ({"plna": "x" * 5000}, "player_name", "x" * 255),
        ({"vdsobi": "900000"}, "bitrates", [["2026-11-23 07:05:01.414", 900000]]),
        ({"vest": "1795417475299"}, "view_start", "2026-11-23 07:04:35.299"),
        ({"vest": 1795417475}, "view_start", "2026-11-23 07:04:35.000"),
        ({"brna": "Brave", "br": "Chrome"}, "given_browser_name", "Brave"),
        ({"br": "Chrome"}, "given_browser_name", "Chrome"),
    ],
)
def test_values_are_understood_in_whatever_type_they_come(fields: dict[str, Any], column: str, stored: object) -> None:
    assert rows.values_of(kept(**fields), {})[column] == stored


@pytest.mark.parametrize(
    "fields",
    [
        {"vewati": "soon"}, {"vewati": -1}, {"vewati": float("nan")}, {"vewati": 10**30}, {"vewati": True},
        {"plauon": "maybe"}, {"vdtt": ""}, {"vdtt": "  "}, {"vdtt": None}, {"vdtt": {}}, {"vdtt": []}, {"vdsobi": 0},
        {"vdsobi": 10**14}, {"vest": 0}, {"vest": "x"}, {"vest": 1}, {"fpsanu": "inf"}, {"plwt": "NaN"},
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_as_if_it_was_not_sent(fields: dict[str, Any]) -> None:
    assert rows.values_of(kept(**fields), {}) == {"last_event_at": "2026-11-23 07:05:01.414"}


def test_what_the_event_says_wins_over_what_the_server_knows() -> None:
    said = rows.values_of(
        kept(meid="given"), {"media_id": "found", "fp_playback_id": "found", "ip_address": "192.0.2.1"}
    )
    assert (said["media_id"], said["fp_playback_id"]) == ("given", "found")
    assert said["ip_address"] == pack_last(7, "192.0.2.1")


def test_an_error_marks_the_view_and_keeps_its_words() -> None:
    error = kept("error", plercd=3, plerms="decode failed", plercx="hls.js")
    assert rows.values_of(error, {}) | {"last_event_at": ""} == {
        "last_event_at": "",
        "has_error": True,
        "error_code": pack_last(7, "3"),
        "error_message": pack_last(7, "decode failed"),
        "error_context": pack_last(7, "hls.js"),
    }
    (line,) = rows.build([error], nothing, AT_MS).events
    assert b'{\\"code\\":3,\\"message\\":\\"decode failed\\",\\"context\\":\\"hls.js\\"}' in line


def test_events_of_two_hours_are_two_rows() -> None:
    batch = rows.build([kept(at_ms=AT_MS), kept(at_ms=AT_MS + 3_600_000)], nothing, AT_MS)
    assert len(batch.rows) == 2


def test_an_id_that_is_no_uuid_gets_one_of_its_own() -> None:
    assert str(view_uuid(VIEW_ID.upper())) == VIEW_ID
    assert view_uuid("view-a") == view_uuid("view-a") != view_uuid("view-b")
