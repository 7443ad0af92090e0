"""Every live call of the official Python SDK (current generation), over HTTP, as its users make it."""

import pytest
from fastpix_python import errors
from fastpix_python.models import PlaybackSettings

from fastpix_server.ingest.model import PublishRequest
from fastpix_server.live import sessions, sessions_store
from fastpix_server.live.streams import Ingest

INGEST = Ingest("11111111-2222-4333-8444-555555555555", "http://127.0.0.1:1")


def created(sdk, **settings):
    return sdk.start_live_stream.create_new_stream(
        playback_settings=PlaybackSettings(access_policy="public"), input_media_settings=settings
    ).data


def publish(running, stream):
    """What an ingest process does when an encoder comes and its first segment is there."""

    async def work():
        async with running.db.unit() as tx:
            await sessions_store.register_ingest(tx, INGEST.id, INGEST.origin)
            begun = await sessions.begin(tx, INGEST, PublishRequest("rtmp", stream.stream_key, "127.0.0.1"))
            await sessions.playable(tx, INGEST.id, begun.session.id)
            await sessions_store.report(tx, begun.session.id, holder=INGEST.id, viewers=3, health={})

    running.do(work())


def message(caught):
    return caught.value.status_code, caught.value.data.error.message


def test_a_stream_is_created_read_and_listed(sdk):
    made = created(sdk, max_resolution="720p", reconnect_window=100, metadata={"a": "b"}, enable_dvr_mode=True)
    assert (made.status, made.max_resolution, made.reconnect_window, made.metadata) == ("idle", "720p", 100, {"a": "b"})
    assert (made.trial, made.enable_dvr_mode, made.enable_recording, made.max_duration) == (False, True, True, 28800)
    assert len(made.stream_key) == len(made.srt_secret) == 65
    assert made.srt_playback_response.srt_playback_stream_id == f"play{made.stream_id}"
    assert made.playback_ids[0].access_policy == "public"
    read = sdk.manage_live_stream.get_live_stream_by_id(stream_id=made.stream_id).data
    assert (read.stream_id, read.stream_key, read.media_ids) == (made.stream_id, made.stream_key, None)
    listed = sdk.manage_live_stream.get_all_streams(limit=50, offset=1, order_by="desc")
    assert made.stream_id in [s.stream_id for s in listed.data]
    assert listed.pagination.total_records >= 1


def test_a_stream_is_updated_disabled_enabled_and_deleted(sdk):
    made = created(sdk)
    live = sdk.manage_live_stream
    changed = live.update_live_stream(stream_id=made.stream_id, metadata={"x": "y"}, reconnect_window=120).data
    assert (changed.metadata, changed.reconnect_window) == ({"x": "y"}, 120)
    with pytest.raises(errors.FastpixError) as caught:
        live.enable_live_stream(stream_id=made.stream_id)
    assert message(caught) == (400, "stream is already enabled")
    assert live.disable_live_stream(stream_id=made.stream_id).success is True
    with pytest.raises(errors.FastpixError) as caught:
        live.disable_live_stream(stream_id=made.stream_id)
    assert message(caught) == (400, "stream already disabled")
    assert live.enable_live_stream(stream_id=made.stream_id).success is True
    assert live.delete_live_stream(stream_id=made.stream_id).success is True
    with pytest.raises(errors.FastpixError) as caught:
        live.get_live_stream_by_id(stream_id=made.stream_id)
    assert message(caught) == (404, "stream not found")


def test_an_active_stream_has_viewers_and_is_completed(sdk, running):
    made = created(sdk)
    live = sdk.manage_live_stream
    assert live.get_live_stream_viewer_count_by_id(stream_id=made.stream_id).data.views == 0
    with pytest.raises(errors.FastpixError) as caught:
        live.complete_live_stream(stream_id=made.stream_id)
    assert caught.value.status_code == 400
    publish(running, made)
    assert live.get_live_stream_by_id(stream_id=made.stream_id).data.status == "active"
    assert live.get_live_stream_viewer_count_by_id(stream_id=made.stream_id).data.views == 3
    assert live.complete_live_stream(stream_id=made.stream_id).success is True
    assert live.get_live_stream_by_id(stream_id=made.stream_id).data.status == "idle"


def test_playback_ids_of_a_stream_are_created_read_restricted_and_deleted(sdk):
    made = created(sdk)
    names = sdk.live_playback
    second = names.create_playback_id_of_stream(stream_id=made.stream_id, access_policy="private").data
    assert second.access_policy == "private"
    listed = sdk.manage_live_stream.get_live_stream_by_id(stream_id=made.stream_id).data.playback_ids
    assert [p.id for p in listed] == [second.id, made.playback_ids[0].id]
    assert names.get_live_stream_playback_id(stream_id=made.stream_id, playback_id=second.id).data.id == second.id
    domains = names.update_live_stream_domain_restrictions(
        stream_id=made.stream_id, playback_id=second.id, default_policy="deny", allow=["example.com"], deny=[]
    ).data
    assert (domains.default_policy, domains.allow, domains.deny) == ("deny", ["example.com"], [])
    agents = names.update_live_stream_user_agent_restrictions(
        stream_id=made.stream_id, playback_id=second.id, default_policy="allow", allow=[], deny=["curl"]
    ).data
    assert (agents.default_policy, agents.deny) == ("allow", ["curl"])
    assert names.delete_playback_id_of_stream(stream_id=made.stream_id, playback_id=second.id).success is True
    with pytest.raises(errors.FastpixError) as caught:
        names.get_live_stream_playback_id(stream_id=made.stream_id, playback_id=second.id)
    assert message(caught) == (404, "stream/playbackId not found")


def test_simulcast_targets_are_created_read_switched_and_deleted(sdk):
    made = created(sdk)
    pushes = sdk.simulcast_stream
    target = pushes.create_simulcast_of_stream(
        stream_id=made.stream_id, url="rtmp://live.example.com/app", stream_key="key", metadata={"name": "n"}
    ).data
    assert (target.url, target.stream_key, target.is_enabled) == ("rtmp://live.example.com/app", "key", True)
    one = {"stream_id": made.stream_id, "simulcast_id": target.simulcast_id}
    assert pushes.get_specific_simulcast_of_stream(**one).data.metadata == {"name": "n"}
    assert pushes.update_specific_simulcast_of_stream(**one, is_enabled=False).data.is_enabled is False
    [shown] = sdk.manage_live_stream.get_live_stream_by_id(stream_id=made.stream_id).data.simulcast_responses
    assert (shown.simulcast_id, shown.is_enabled) == (target.simulcast_id, False)
    assert pushes.delete_simulcast_of_stream(**one).success is True
    with pytest.raises(errors.FastpixError) as caught:
        pushes.get_specific_simulcast_of_stream(**one)
    assert message(caught) == (404, "stream/simulcast not found")


def test_a_bad_setting_raises_an_error_that_names_the_field(sdk):
    with pytest.raises(errors.ValidationErrorResponse) as caught:
        created(sdk, reconnect_window=10)
    assert caught.value.fields == [
        {"field": "inputMediaSettings.reconnectWindow", "message": "must be between 60 and 1800"}
    ]
