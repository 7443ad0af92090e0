"""Each event passes every step, or is dropped for the reason of one; its passing twin differs in that alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from tests.unit.views.sessions import KEY, VIEW_ID, WORKSPACE_ID, around, batch_of

from fastpix_server.views import beacon, pipeline
from fastpix_server.views.beacon import Transmission, Unreadable
from fastpix_server.views.pipeline import AGE_MAX_MS, CLOCK_TOLERANCE_MS, Dropped, Kept, Reason

AT_MS = 1795417501414
GOOD: dict[str, Any] = {"wsid": KEY, "veid": VIEW_ID, "vesqnu": 3, "evna": "pulse", "vitp": AT_MS}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wsid": "other"}, Reason.UNKNOWN_WORKSPACE),
        ({"wsid": None}, Reason.UNKNOWN_WORKSPACE),
        ({"veid": ""}, Reason.NO_VIEW_ID),
        ({"veid": {}}, Reason.NO_VIEW_ID),
        ({"evna": None}, Reason.NO_NAME),
        ({"evna": [1]}, Reason.NO_NAME),
        ({"vesqnu": None}, Reason.NO_SEQUENCE),
        ({"vesqnu": -1}, Reason.NO_SEQUENCE),
        ({"vesqnu": 10**9}, Reason.NO_SEQUENCE),
        ({"vesqnu": "many"}, Reason.NO_SEQUENCE),
        ({"vitp": None}, Reason.NO_TIME),
        ({"vitp": "now"}, Reason.NO_TIME),
        ({"vitp": AT_MS - AGE_MAX_MS - 1}, Reason.TOO_OLD),
    ],
)
def test_an_event_is_dropped_for_one_reason(change: dict[str, Any], reason: Reason) -> None:
    assert pipeline.judge({**GOOD, **change}, around(AT_MS)) == Dropped(reason)


@pytest.mark.parametrize("event", [None, 1, "x", [], [GOOD]])
def test_what_is_no_object_is_dropped(event: object) -> None:
    assert pipeline.judge(event, around(AT_MS)) == Dropped(Reason.NO_OBJECT)


def test_every_reason_has_a_step_and_the_good_event_passes_all() -> None:
    assert len(pipeline.STEPS) == len(Reason)
    assert pipeline.judge(GOOD, around(AT_MS)) == Kept(WORKSPACE_ID, VIEW_ID, "pulse", 3, AT_MS, 0, GOOD)


@pytest.mark.parametrize(
    "change",
    [
        {"vesqnu": "3"},
        {"vitp": str(AT_MS)},
        {"vitp": AT_MS / 1000},
        {"vitp": AT_MS - AGE_MAX_MS},
        {"evna": "somethingNew"},
        {"veid": "no-uuid"},
    ],
)
def test_the_passing_twins_are_kept(change: dict[str, Any]) -> None:
    assert isinstance(pipeline.judge({**GOOD, **change}, around(AT_MS)), Kept)


def test_the_host_name_names_the_workspace_of_an_event_that_does_not() -> None:
    event = {name: value for name, value in GOOD.items() if name != "wsid"}
    assert isinstance(pipeline.judge(event, around(AT_MS, host_key=KEY)), Kept)
    assert pipeline.workspace_keys(Transmission([event, GOOD, 3], None), "fromhost") == {KEY, "fromhost"}


def test_outcomes_are_counted_by_their_reason() -> None:
    def count(outcome: str) -> float:
        return REGISTRY.get_sample_value("fastpix_beacon_events_total", {"outcome": outcome}) or 0.0

    before = {outcome: count(outcome) for outcome in ("kept", "no_view_id")}
    kept = pipeline.run(Transmission([GOOD, {**GOOD, "veid": ""}, GOOD], None), around(AT_MS))
    assert len(kept) == 2
    assert count("kept") == before["kept"] + 2
    assert count("no_view_id") == before["no_view_id"] + 1


@pytest.mark.parametrize(
    ("ahead_ms", "skew_ms"),
    [
        (0, 0),
        (CLOCK_TOLERANCE_MS, 0),
        (-CLOCK_TOLERANCE_MS, 0),
        (3 * 3_600_000, -3 * 3_600_000),
        (3 * 3_600_000 + 20_000, -3 * 3_600_000),
        (-86_400_000, 86_400_000),
    ],
)
def test_a_clock_that_is_wrong_by_minutes_is_corrected_in_whole_minutes(ahead_ms: int, skew_ms: int) -> None:
    assert pipeline.skew_ms(AT_MS + ahead_ms, AT_MS) == skew_ms
    event = pipeline.judge({**GOOD, "vitp": AT_MS + ahead_ms}, around(AT_MS, pipeline.skew_ms(AT_MS + ahead_ms, AT_MS)))
    assert isinstance(event, Kept)
    assert abs(event.at_ms - AT_MS) <= CLOCK_TOLERANCE_MS


def test_nothing_happens_in_the_future() -> None:
    event = pipeline.judge({**GOOD, "vitp": AT_MS + 10**12}, around(AT_MS))
    assert isinstance(event, Kept)
    assert event.at_ms == AT_MS + CLOCK_TOLERANCE_MS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"events": [{"a": NaN}]}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"events":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "not_json"),
        (b"3", "no_events"),
        (b'"x"', "no_events"),
        (b"null", "no_events"),
        (b'{"events": {}}', "no_events"),
        (b'{"events": null}', "no_events"),
        (b"[" + b"{}," * beacon.EVENTS_MAX + b"{}]", "too_many_events"),
    ],
)
def test_a_body_that_is_no_beacon_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        beacon.read(body)
    assert caught.value.reason == reason


def test_a_title_that_was_cut_in_an_emoji_does_not_spoil_the_request() -> None:
    (event,) = beacon.read(b'[{"vdtt": "film \\ud83c", "vewati": 3}]').events
    assert (beacon.text(event["vdtt"]), event["vewati"]) == ("film", 3)
    with pytest.raises(Unreadable):
        beacon.read(b'[{"vdtt": "\\ud83c", "vewati": NaN}]')


def test_seconds_and_texts_are_read_as_the_time_of_sending() -> None:
    for sent in ("1795417475302", 1795417475302, "1795417475.302"):
        body = f'{{"metadata": {{"transmission_timestamp": "{sent}"}}, "events": []}}'.encode()
        assert beacon.read(body).sent_at_ms == 1795417475302
    assert beacon.read(b'{"metadata": 3, "events": [{}]}') == Transmission([{}], None)
    assert beacon.read(b'{"wsid": "a"}').events == [{"wsid": "a"}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
CODES = st.sampled_from(
    ["wsid", "veid", "vesqnu", "evna", "vitp", "vest", "vdtt", "vewati", "plauon", "vdsobi", "plercd"]
)


@given(st.lists(st.dictionaries(CODES, JSON, max_size=8) | JSON, max_size=5))
def test_no_event_whatever_it_holds_breaks_the_pipeline(events: list[Any]) -> None:
    batch_of(Transmission([{**GOOD, **event} if isinstance(event, dict) else event for event in events], None), AT_MS)
