"""How every method of the clients is called, and the operation that it must ask for. A new method needs a row."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from fastpix import operations as op
from fastpix import types
from fastpix.operations import Operation

MEDIA, NAME = {"media_id": "m"}, {"playback_id": "p"}
STREAM, TARGET = {"stream_id": "s"}, {"simulcast_id": "t"}
TRACK = {"media_id": "m", "track_id": "t"}
LANGUAGE = {"language_code": "de", "language_name": "Deutsch"}
LIST = {"playlist_id": "l"}
HOOK = {"webhook_id": "w"}
SPAN = {"timespan": (1000, 2000), "filter_by": ["country:DE", "!os_name:iOS"]}
SPAN_QUERY = [
    ("timespan[]", "1000"),
    ("timespan[]", "2000"),
    ("filterby[]", "country:DE"),
    ("filterby[]", "!os_name:iOS"),
]
PAGE_QUERY = [("limit", "5"), ("offset", "2")]
RULES = {"default_policy": "deny", "allow": ["a.example"]}
RULES_BODY = {"defaultPolicy": "deny", "allow": ["a.example"], "deny": []}
MAY_1 = datetime.datetime(2026, 5, 1)  # no zone: it counts as UTC


@dataclasses.dataclass(frozen=True)
class Call:
    """What is given to a method, and what it must send. `path` is the operation's with ids in its places."""

    operation: Operation
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    path: str = ""
    body: Any = None
    query: list[tuple[str, str]] = dataclasses.field(default_factory=list)


PAGE = {"limit": 5, "page": 2}

CALLS: dict[str, Call] = {
    "media.create": Call(
        op.CREATE_MEDIA,
        {
            "url": "https://a.example/v.mp4",
            "inputs": [types.WatermarkInput(url="https://a.example/w.png", opacity="50%")],
            "metadata": {"a": "b"},
            "summary": types.Summary(generate=True, summary_length=60),
        },
        "/on-demand",
        {
            "inputs": [
                {"type": "video", "url": "https://a.example/v.mp4"},
                {"type": "watermark", "url": "https://a.example/w.png", "opacity": "50%"},
            ],
            "accessPolicy": "public",
            "metadata": {"a": "b"},
            "summary": {"generate": True, "summaryLength": 60},
        },
    ),
    "media.list": Call(
        op.LIST_MEDIA, {**PAGE, "order_by": "asc"}, "/on-demand", None, [("orderBy", "asc"), *PAGE_QUERY]
    ),
    "media.get": Call(op.GET_MEDIA, MEDIA, "/on-demand/m"),
    "media.update": Call(op.UPDATE_MEDIA, {**MEDIA, "title": ""}, "/on-demand/m", {"title": ""}),
    "media.delete": Call(op.DELETE_MEDIA, MEDIA, "/on-demand/m"),
    "media.wait_until_ready": Call(op.GET_MEDIA, MEDIA, "/on-demand/m"),
    "media.input_info": Call(op.GET_INPUT_INFO, MEDIA, "/on-demand/m/input-info"),
    "media.list_clips": Call(op.LIST_MEDIA_CLIPS, {**MEDIA, **PAGE}, "/on-demand/m/media-clips", None, PAGE_QUERY),
    "media.update_source_access": Call(
        op.UPDATE_SOURCE_ACCESS,
        {**MEDIA, "source_access": False},
        "/on-demand/m/source-access",
        {"sourceAccess": False},
    ),
    "media.update_mp4_support": Call(
        op.UPDATE_MP4_SUPPORT,
        {**MEDIA, "mp4_support": "none"},
        "/on-demand/m/update-mp4Support",
        {"mp4Support": "none"},
    ),
    "media.update_summary": Call(
        op.UPDATE_SUMMARY,
        {**MEDIA, "generate": True, "summary_length": 60},
        "/on-demand/m/summary",
        {"generate": True, "summaryLength": 60},
    ),
    "media.get_summary": Call(op.GET_SUMMARY, MEDIA, "/on-demand/m/summary"),
    "media.update_chapters": Call(
        op.UPDATE_CHAPTERS, {**MEDIA, "chapters": True}, "/on-demand/m/chapters", {"chapters": True}
    ),
    "media.update_named_entities": Call(
        op.UPDATE_NAMED_ENTITIES,
        {**MEDIA, "named_entities": True},
        "/on-demand/m/named-entities",
        {"namedEntities": True},
    ),
    "media.update_moderation": Call(
        op.UPDATE_MODERATION, {**MEDIA, "type": "av"}, "/on-demand/m/moderation", {"moderation": {"type": "av"}}
    ),
    "uploads.create": Call(
        op.CREATE_UPLOAD,
        {"settings": types.Settings(title="t")},
        "/on-demand/upload",
        {"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public", "title": "t"}},
    ),
    "uploads.list": Call(op.LIST_UPLOADS, PAGE, "/on-demand/uploads", None, PAGE_QUERY),
    "uploads.cancel": Call(op.CANCEL_UPLOAD, {"upload_id": "u"}, "/on-demand/upload/u/cancel"),
    "tracks.create": Call(
        op.CREATE_TRACK,
        {**MEDIA, **LANGUAGE, "url": "https://a.example/s.srt", "type": "subtitle"},
        "/on-demand/m/tracks",
        {
            "tracks": {
                "url": "https://a.example/s.srt",
                "type": "subtitle",
                "languageCode": "de",
                "languageName": "Deutsch",
            }
        },
    ),
    "tracks.update": Call(
        op.UPDATE_TRACK,
        {**TRACK, **LANGUAGE},
        "/on-demand/m/tracks/t",
        {"languageCode": "de", "languageName": "Deutsch"},
    ),
    "tracks.delete": Call(op.DELETE_TRACK, TRACK, "/on-demand/m/tracks/t"),
    "tracks.generate_subtitles": Call(
        op.GENERATE_SUBTITLES,
        {**TRACK, **LANGUAGE},
        "/on-demand/m/tracks/t/generate-subtitles",
        {"languageCode": "de", "languageName": "Deutsch"},
    ),
    "playback_ids.create": Call(
        op.CREATE_PLAYBACK_ID,
        {
            **MEDIA,
            "access_policy": "private",
            "access_restrictions": types.AccessRestrictions(domains=types.Rules(default_policy="deny")),
            "resolution": "720p",
        },
        "/on-demand/m/playback-ids",
        {
            "accessPolicy": "private",
            "accessRestrictions": {
                "domains": {"defaultPolicy": "deny", "allow": [], "deny": []},
                "userAgents": {"defaultPolicy": "allow", "allow": [], "deny": []},
            },
            "resolution": "720p",
        },
    ),
    "playback_ids.list": Call(op.LIST_PLAYBACK_IDS, MEDIA, "/on-demand/m/playback-ids"),
    "playback_ids.get": Call(op.GET_PLAYBACK_ID, {**MEDIA, **NAME}, "/on-demand/m/playback-ids/p"),
    "playback_ids.delete": Call(
        op.DELETE_PLAYBACK_ID, {**MEDIA, **NAME}, "/on-demand/m/playback-ids", None, [("playbackId", "p")]
    ),
    "playback_ids.update_domains": Call(
        op.UPDATE_DOMAINS, {**MEDIA, **NAME, **RULES}, "/on-demand/m/playback-ids/p/domains", RULES_BODY
    ),
    "playback_ids.update_user_agents": Call(
        op.UPDATE_USER_AGENTS, {**MEDIA, **NAME, **RULES}, "/on-demand/m/playback-ids/p/user-agents", RULES_BODY
    ),
    "playlists.create": Call(
        op.CREATE_PLAYLIST,
        {
            "name": "n",
            "reference_id": "r",
            "type": "smart",
            "play_order": "createdDate ASC",
            "metadata": types.SmartRules(created_date=types.DateRange(start_date="2026-01-01", end_date="2026-02-01")),
        },
        "/on-demand/playlists",
        {
            "name": "n",
            "referenceId": "r",
            "type": "smart",
            "playOrder": "createdDate ASC",
            "metadata": {"createdDate": {"startDate": "2026-01-01", "endDate": "2026-02-01"}},
        },
    ),
    "playlists.list": Call(op.LIST_PLAYLISTS, PAGE, "/on-demand/playlists", None, PAGE_QUERY),
    "playlists.get": Call(op.GET_PLAYLIST, LIST, "/on-demand/playlists/l"),
    "playlists.update": Call(
        op.UPDATE_PLAYLIST,
        {**LIST, "name": "n", "description": "d"},
        "/on-demand/playlists/l",
        {"name": "n", "description": "d"},
    ),
    "playlists.delete": Call(op.DELETE_PLAYLIST, LIST, "/on-demand/playlists/l"),
    "playlists.add_media": Call(
        op.ADD_TO_PLAYLIST, {**LIST, "media_ids": ["a"]}, "/on-demand/playlists/l/media", {"mediaIds": ["a"]}
    ),
    "playlists.reorder_media": Call(
        op.REORDER_PLAYLIST, {**LIST, "media_ids": ["a"]}, "/on-demand/playlists/l/media", {"mediaIds": ["a"]}
    ),
    "playlists.remove_media": Call(
        op.REMOVE_FROM_PLAYLIST, {**LIST, "media_ids": ["a"]}, "/on-demand/playlists/l/media", {"mediaIds": ["a"]}
    ),
    "drm_configurations.list": Call(
        op.LIST_DRM_CONFIGURATIONS, PAGE, "/on-demand/drm-configurations", None, PAGE_QUERY
    ),
    "drm_configurations.get": Call(
        op.GET_DRM_CONFIGURATION, {"drm_configuration_id": "d"}, "/on-demand/drm-configurations/d"
    ),
    "live_streams.create": Call(
        op.CREATE_STREAM,
        {"access_policy": "private", "reconnect_window": 90, "enable_recording": False},
        "/live/streams",
        {
            "playbackSettings": {"accessPolicy": "private"},
            "inputMediaSettings": {"reconnectWindow": 90, "enableRecording": False},
        },
    ),
    "live_streams.list": Call(op.LIST_STREAMS, PAGE, "/live/streams", None, PAGE_QUERY),
    "live_streams.get": Call(op.GET_STREAM, STREAM, "/live/streams/s"),
    "live_streams.update": Call(
        op.UPDATE_STREAM, {**STREAM, "reconnect_window": 90}, "/live/streams/s", {"reconnectWindow": 90}
    ),
    "live_streams.delete": Call(op.DELETE_STREAM, STREAM, "/live/streams/s"),
    "live_streams.enable": Call(op.ENABLE_STREAM, STREAM, "/live/streams/s/live-enable"),
    "live_streams.disable": Call(op.DISABLE_STREAM, STREAM, "/live/streams/s/live-disable"),
    "live_streams.finish": Call(op.FINISH_STREAM, STREAM, "/live/streams/s/finish"),
    "live_streams.viewer_count": Call(op.GET_VIEWER_COUNT, STREAM, "/live/streams/s/viewer-count"),
    "live_streams.health": Call(op.GET_STREAM_HEALTH, STREAM, "/live/streams/s/health"),
    "live_streams.wait_until_active": Call(op.GET_STREAM, STREAM, "/live/streams/s"),
    "live_streams.list_clips": Call(
        op.LIST_LIVE_CLIPS, {**STREAM, **PAGE}, "/on-demand/s/live-clips", None, PAGE_QUERY
    ),
    "live_streams.playback_ids.create": Call(
        op.CREATE_LIVE_PLAYBACK_ID, STREAM, "/live/streams/s/playback-ids", {"accessPolicy": "public"}
    ),
    "live_streams.playback_ids.get": Call(
        op.GET_LIVE_PLAYBACK_ID, {**STREAM, **NAME}, "/live/streams/s/playback-ids/p"
    ),
    "live_streams.playback_ids.delete": Call(
        op.DELETE_LIVE_PLAYBACK_ID, {**STREAM, **NAME}, "/live/streams/s/playback-ids", None, [("playbackId", "p")]
    ),
    "live_streams.playback_ids.update_domains": Call(
        op.UPDATE_LIVE_DOMAINS, {**STREAM, **NAME, **RULES}, "/live/streams/s/playback-ids/p/domains", RULES_BODY
    ),
    "live_streams.playback_ids.update_user_agents": Call(
        op.UPDATE_LIVE_USER_AGENTS,
        {**STREAM, **NAME, **RULES},
        "/live/streams/s/playback-ids/p/user-agents",
        RULES_BODY,
    ),
    "simulcasts.create": Call(
        op.CREATE_SIMULCAST,
        {**STREAM, "url": "rtmp://a.example/app", "stream_key": "k"},
        "/live/streams/s/simulcast",
        {"url": "rtmp://a.example/app", "streamKey": "k"},
    ),
    "simulcasts.get": Call(op.GET_SIMULCAST, {**STREAM, **TARGET}, "/live/streams/s/simulcast/t"),
    "simulcasts.update": Call(
        op.UPDATE_SIMULCAST,
        {**STREAM, **TARGET, "is_enabled": False},
        "/live/streams/s/simulcast/t",
        {"isEnabled": False},
    ),
    "simulcasts.delete": Call(op.DELETE_SIMULCAST, {**STREAM, **TARGET}, "/live/streams/s/simulcast/t"),
    "signing_keys.create": Call(op.CREATE_SIGNING_KEY, {}, "/iam/signing-keys"),
    "signing_keys.list": Call(op.LIST_SIGNING_KEYS, PAGE, "/iam/signing-keys", None, PAGE_QUERY),
    "signing_keys.get": Call(op.GET_SIGNING_KEY, {"signing_key_id": "k"}, "/iam/signing-keys/k"),
    "signing_keys.delete": Call(op.DELETE_SIGNING_KEY, {"signing_key_id": "k"}, "/iam/signing-keys/k"),
    "access_tokens.create": Call(
        op.CREATE_ACCESS_TOKEN,
        {"name": "ci", "permissions": ["video:read"]},
        "/iam/access-tokens",
        {"name": "ci", "permissions": ["video:read"]},
    ),
    "access_tokens.list": Call(op.LIST_ACCESS_TOKENS, PAGE, "/iam/access-tokens", None, PAGE_QUERY),
    "access_tokens.get": Call(op.GET_ACCESS_TOKEN, {"access_token_id": "k"}, "/iam/access-tokens/k"),
    "access_tokens.delete": Call(op.DELETE_ACCESS_TOKEN, {"access_token_id": "k"}, "/iam/access-tokens/k"),
    "workspace.get": Call(op.GET_WORKSPACE, {}, "/iam/workspace"),
    "workspace.storage": Call(op.GET_STORAGE, PAGE, "/iam/storage", None, PAGE_QUERY),
    "webhooks.create": Call(
        op.CREATE_WEBHOOK, {"url": "https://a.example/h"}, "/webhooks", {"url": "https://a.example/h"}
    ),
    "webhooks.list": Call(op.LIST_WEBHOOKS, PAGE, "/webhooks", None, PAGE_QUERY),
    "webhooks.get": Call(op.GET_WEBHOOK, HOOK, "/webhooks/w"),
    "webhooks.update": Call(op.UPDATE_WEBHOOK, {**HOOK, "is_enabled": True}, "/webhooks/w", {"isEnabled": True}),
    "webhooks.delete": Call(op.DELETE_WEBHOOK, HOOK, "/webhooks/w"),
    "webhooks.rotate_secret": Call(
        op.ROTATE_WEBHOOK_SECRET, {**HOOK, "grace_seconds": 60}, "/webhooks/w/rotate-secret", {"graceSeconds": 60}
    ),
    "webhooks.test": Call(op.TEST_WEBHOOK, HOOK, "/webhooks/w/test"),
    "webhooks.list_deliveries": Call(
        op.LIST_DELIVERIES,
        {**HOOK, **PAGE, "state": "failed"},
        "/webhooks/w/deliveries",
        None,
        [("state", "failed"), *PAGE_QUERY],
    ),
    "webhooks.get_delivery": Call(op.GET_DELIVERY, {**HOOK, "delivery_id": "d"}, "/webhooks/w/deliveries/d"),
    "webhooks.replay_delivery": Call(
        op.REPLAY_DELIVERY, {**HOOK, "delivery_id": "d"}, "/webhooks/w/deliveries/d/replay"
    ),
    "webhooks.replay": Call(
        op.REPLAY_EVENTS, {**HOOK, "since": MAY_1}, "/webhooks/w/replay", {"from": "2026-05-01T00:00:00+00:00"}
    ),
    "data.views.list": Call(
        op.LIST_VIEWS,
        {**SPAN, "viewer_id": "v", "sort_order": "desc"},
        "/data/viewlist",
        None,
        [*SPAN_QUERY, ("viewerId", "v"), ("sortOrder", "desc"), ("offset", "1")],
    ),
    "data.views.get": Call(op.GET_VIEW, {"view_id": "v"}, "/data/viewlist/v"),
    "data.views.top_content": Call(
        op.TOP_CONTENT, {**SPAN, "limit": 3}, "/data/viewlist/top-content", None, [*SPAN_QUERY, ("limit", "3")]
    ),
    "data.views.export": Call(
        op.EXPORT_VIEWS, {"format": "parquet"}, "/data/export/views", None, [("format", "parquet")]
    ),
    "data.dimensions.list": Call(op.LIST_DIMENSIONS, {}, "/data/dimensions"),
    "data.dimensions.values": Call(
        op.LIST_DIMENSION_VALUES, {**SPAN, "dimension": "country"}, "/data/dimensions/country", None, SPAN_QUERY
    ),
    "data.metrics.breakdown": Call(
        op.BREAKDOWN,
        {**SPAN, "metric": "views", "group_by": "country", **PAGE},
        "/data/metrics/views/breakdown",
        None,
        [*SPAN_QUERY, ("groupBy", "country"), *PAGE_QUERY],
    ),
    "data.metrics.overall": Call(
        op.OVERALL,
        {"timespan": (MAY_1, 1777680000), "metric": "views", "measurement": "95th"},
        "/data/metrics/views/overall",
        None,
        [("timespan[]", "1777593600"), ("timespan[]", "1777680000"), ("measurement", "95th")],
    ),
    "data.metrics.timeseries": Call(
        op.TIMESERIES,
        {"timespan": "7:days", "metric": "views", "group_by": "day"},
        "/data/metrics/views/timeseries",
        None,
        [("timespan[]", "7:days"), ("groupBy", "day")],
    ),
    "data.metrics.comparison": Call(
        op.COMPARISON,
        {"dimension": "country", "value": "DE"},
        "/data/metrics/comparison",
        None,
        [("dimension", "country"), ("value", "DE")],
    ),
    "data.errors.list": Call(op.LIST_ERRORS, {"limit": 5}, "/data/errors", None, [("limit", "5")]),
    "data.realtime.get": Call(op.GET_REALTIME, {"minutes": 5}, "/data/realtime", None, [("minutes", "5")]),
    "data.realtime.timeseries": Call(op.CURRENT_VIEWS_SERIES, {}, "/data/viewlist/current-views/getTimeseriesViews"),
    "data.realtime.by_dimension": Call(
        op.CURRENT_VIEWS_BY,
        {"dimension": "country"},
        "/data/viewlist/current-views/filter",
        None,
        [("dimension", "country")],
    ),
    "data.alerts.create": Call(
        op.CREATE_ALERT,
        {"name": "n", "metric": "views", "threshold": 1.0, "filter_by": ["country:DE"]},
        "/data/alerts",
        {"name": "n", "metric": "views", "threshold": 1.0, "filterby": ["country:DE"]},
    ),
    "data.alerts.list": Call(op.LIST_ALERTS, PAGE, "/data/alerts", None, PAGE_QUERY),
    "data.alerts.get": Call(op.GET_ALERT, {"alert_id": "a"}, "/data/alerts/a"),
    "data.alerts.update": Call(
        op.UPDATE_ALERT, {"alert_id": "a", "threshold": 2.0}, "/data/alerts/a", {"threshold": 2.0}
    ),
    "data.alerts.delete": Call(op.DELETE_ALERT, {"alert_id": "a"}, "/data/alerts/a"),
}
# Many requests to other places: it has tests of its own.
APART = {"uploads.upload"}
