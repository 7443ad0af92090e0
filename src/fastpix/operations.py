"""Every operation of the API that this client speaks, as data: the API's own name for it, its method and its path.

Invariants: an Operation is used by at least one method of the clients and no method asks for anything else (a test
holds this list against the API's document and against what the methods really send). Paths are below the base URL.
"""

from typing import NamedTuple


class Operation(NamedTuple):
    id: str
    method: str
    path: str


# Media
CREATE_MEDIA = Operation("create-media", "POST", "/on-demand")
LIST_MEDIA = Operation("list-media", "GET", "/on-demand")
GET_MEDIA = Operation("get-media", "GET", "/on-demand/{mediaId}")
UPDATE_MEDIA = Operation("updated-media", "PATCH", "/on-demand/{mediaId}")
DELETE_MEDIA = Operation("delete-media", "DELETE", "/on-demand/{mediaId}")
LIST_LIVE_CLIPS = Operation("list-live-clips", "GET", "/on-demand/{livestreamId}/live-clips")
LIST_MEDIA_CLIPS = Operation("get-media-clips", "GET", "/on-demand/{mediaId}/media-clips")
GET_INPUT_INFO = Operation("retrieveMediaInputInfo", "GET", "/on-demand/{mediaId}/input-info")
UPDATE_SOURCE_ACCESS = Operation("updated-source-access", "PATCH", "/on-demand/{mediaId}/source-access")
UPDATE_MP4_SUPPORT = Operation("updated-mp4Support", "PATCH", "/on-demand/{mediaId}/update-mp4Support")
UPDATE_SUMMARY = Operation("update-media-summary", "PATCH", "/on-demand/{mediaId}/summary")
GET_SUMMARY = Operation("get-media-summary", "GET", "/on-demand/{mediaId}/summary")
UPDATE_CHAPTERS = Operation("update-media-chapters", "PATCH", "/on-demand/{mediaId}/chapters")
UPDATE_NAMED_ENTITIES = Operation("update-media-named-entities", "PATCH", "/on-demand/{mediaId}/named-entities")
UPDATE_MODERATION = Operation("update-media-moderation", "PATCH", "/on-demand/{mediaId}/moderation")

# Uploads
CREATE_UPLOAD = Operation("direct-upload-video-media", "POST", "/on-demand/upload")
LIST_UPLOADS = Operation("list-uploads", "GET", "/on-demand/uploads")
CANCEL_UPLOAD = Operation("cancel-upload", "PUT", "/on-demand/upload/{uploadId}/cancel")

# Tracks
CREATE_TRACK = Operation("Add-media-track", "POST", "/on-demand/{mediaId}/tracks")
UPDATE_TRACK = Operation("update-media-track", "PATCH", "/on-demand/{mediaId}/tracks/{trackId}")
DELETE_TRACK = Operation("delete-media-track", "DELETE", "/on-demand/{mediaId}/tracks/{trackId}")
GENERATE_SUBTITLES = Operation(
    "Generate-subtitle-track", "POST", "/on-demand/{mediaId}/tracks/{trackId}/generate-subtitles"
)

# Playback ids of media
CREATE_PLAYBACK_ID = Operation("create-media-playback-id", "POST", "/on-demand/{mediaId}/playback-ids")
LIST_PLAYBACK_IDS = Operation("list-playback-ids", "GET", "/on-demand/{mediaId}/playback-ids")
GET_PLAYBACK_ID = Operation("get-playback-id", "GET", "/on-demand/{mediaId}/playback-ids/{playbackId}")
DELETE_PLAYBACK_ID = Operation("delete-media-playback-id", "DELETE", "/on-demand/{mediaId}/playback-ids")
UPDATE_DOMAINS = Operation(
    "update-domain-restrictions", "PATCH", "/on-demand/{mediaId}/playback-ids/{playbackId}/domains"
)
UPDATE_USER_AGENTS = Operation(
    "update-user-agent-restrictions", "PATCH", "/on-demand/{mediaId}/playback-ids/{playbackId}/user-agents"
)

# Playlists
CREATE_PLAYLIST = Operation("create-a-playlist", "POST", "/on-demand/playlists")
LIST_PLAYLISTS = Operation("get-all-playlists", "GET", "/on-demand/playlists")
GET_PLAYLIST = Operation("get-playlist-by-id", "GET", "/on-demand/playlists/{playlistId}")
UPDATE_PLAYLIST = Operation("update-a-playlist", "PUT", "/on-demand/playlists/{playlistId}")
DELETE_PLAYLIST = Operation("delete-a-playlist", "DELETE", "/on-demand/playlists/{playlistId}")
ADD_TO_PLAYLIST = Operation("add-media-to-playlist", "PATCH", "/on-demand/playlists/{playlistId}/media")
REORDER_PLAYLIST = Operation("change-media-order-in-playlist", "PUT", "/on-demand/playlists/{playlistId}/media")
REMOVE_FROM_PLAYLIST = Operation("delete-media-from-playlist", "DELETE", "/on-demand/playlists/{playlistId}/media")

# Encryption
LIST_DRM_CONFIGURATIONS = Operation("getDrmConfiguration", "GET", "/on-demand/drm-configurations")
GET_DRM_CONFIGURATION = Operation(
    "getDrmConfigurationById", "GET", "/on-demand/drm-configurations/{drmConfigurationId}"
)

# Live streams
CREATE_STREAM = Operation("create-new-stream", "POST", "/live/streams")
LIST_STREAMS = Operation("get-all-streams", "GET", "/live/streams")
GET_STREAM = Operation("get-live-stream-by-id", "GET", "/live/streams/{streamId}")
UPDATE_STREAM = Operation("update-live-stream", "PATCH", "/live/streams/{streamId}")
DELETE_STREAM = Operation("delete-live-stream", "DELETE", "/live/streams/{streamId}")
ENABLE_STREAM = Operation("enable-live-stream", "PUT", "/live/streams/{streamId}/live-enable")
DISABLE_STREAM = Operation("disable-live-stream", "PUT", "/live/streams/{streamId}/live-disable")
FINISH_STREAM = Operation("complete-live-stream", "PUT", "/live/streams/{streamId}/finish")
GET_VIEWER_COUNT = Operation("get-live-stream-viewer-count-by-id", "GET", "/live/streams/{streamId}/viewer-count")
GET_STREAM_HEALTH = Operation("get-live-stream-health", "GET", "/live/streams/{streamId}/health")
CREATE_LIVE_PLAYBACK_ID = Operation("create-playbackId-of-stream", "POST", "/live/streams/{streamId}/playback-ids")
GET_LIVE_PLAYBACK_ID = Operation(
    "get-live-stream-playback-id", "GET", "/live/streams/{streamId}/playback-ids/{playbackId}"
)
DELETE_LIVE_PLAYBACK_ID = Operation("delete-playbackId-of-stream", "DELETE", "/live/streams/{streamId}/playback-ids")
UPDATE_LIVE_DOMAINS = Operation(
    "update-live-stream-domain-restrictions", "PATCH", "/live/streams/{streamId}/playback-ids/{playbackId}/domains"
)
UPDATE_LIVE_USER_AGENTS = Operation(
    "update-live-stream-user-agent-restrictions",
    "PATCH",
    "/live/streams/{streamId}/playback-ids/{playbackId}/user-agents",
)
CREATE_SIMULCAST = Operation("create-simulcast-of-stream", "POST", "/live/streams/{streamId}/simulcast")
GET_SIMULCAST = Operation("get-specific-simulcast-of-stream", "GET", "/live/streams/{streamId}/simulcast/{simulcastId}")
UPDATE_SIMULCAST = Operation(
    "update-specific-simulcast-of-stream", "PUT", "/live/streams/{streamId}/simulcast/{simulcastId}"
)
DELETE_SIMULCAST = Operation("delete-simulcast-of-stream", "DELETE", "/live/streams/{streamId}/simulcast/{simulcastId}")

# Who may do what
CREATE_SIGNING_KEY = Operation("create_signing_key", "POST", "/iam/signing-keys")
LIST_SIGNING_KEYS = Operation("list_signing_keys", "GET", "/iam/signing-keys")
GET_SIGNING_KEY = Operation("get-signing_key_by_id", "GET", "/iam/signing-keys/{signingKeyId}")
DELETE_SIGNING_KEY = Operation("delete_signing_key", "DELETE", "/iam/signing-keys/{signingKeyId}")
GET_WORKSPACE = Operation("get-workspace", "GET", "/iam/workspace")
GET_STORAGE = Operation("get-storage", "GET", "/iam/storage")
CREATE_ACCESS_TOKEN = Operation("create-access-token", "POST", "/iam/access-tokens")
LIST_ACCESS_TOKENS = Operation("list-access-tokens", "GET", "/iam/access-tokens")
GET_ACCESS_TOKEN = Operation("get-access-token", "GET", "/iam/access-tokens/{accessTokenId}")
DELETE_ACCESS_TOKEN = Operation("delete-access-token", "DELETE", "/iam/access-tokens/{accessTokenId}")

# Webhooks
CREATE_WEBHOOK = Operation("create-webhook", "POST", "/webhooks")
LIST_WEBHOOKS = Operation("list-webhooks", "GET", "/webhooks")
GET_WEBHOOK = Operation("get-webhook", "GET", "/webhooks/{webhookId}")
UPDATE_WEBHOOK = Operation("update-webhook", "PATCH", "/webhooks/{webhookId}")
DELETE_WEBHOOK = Operation("delete-webhook", "DELETE", "/webhooks/{webhookId}")
ROTATE_WEBHOOK_SECRET = Operation("rotate-webhook-secret", "POST", "/webhooks/{webhookId}/rotate-secret")
TEST_WEBHOOK = Operation("test-webhook", "POST", "/webhooks/{webhookId}/test")
LIST_DELIVERIES = Operation("list-webhook-deliveries", "GET", "/webhooks/{webhookId}/deliveries")
GET_DELIVERY = Operation("get-webhook-delivery", "GET", "/webhooks/{webhookId}/deliveries/{deliveryId}")
REPLAY_DELIVERY = Operation("replay-webhook-delivery", "POST", "/webhooks/{webhookId}/deliveries/{deliveryId}/replay")
REPLAY_EVENTS = Operation("replay-webhook-events", "POST", "/webhooks/{webhookId}/replay")

# Video data
LIST_VIEWS = Operation("list_video_views", "GET", "/data/viewlist")
GET_VIEW = Operation("get_video_view_details", "GET", "/data/viewlist/{viewId}")
TOP_CONTENT = Operation("list_by_top_content", "GET", "/data/viewlist/top-content")
EXPORT_VIEWS = Operation("export-views", "GET", "/data/export/views")
LIST_DIMENSIONS = Operation("list_dimensions", "GET", "/data/dimensions")
LIST_DIMENSION_VALUES = Operation("list_filter_values_for_dimension", "GET", "/data/dimensions/{dimensionsId}")
BREAKDOWN = Operation("list_breakdown_values", "GET", "/data/metrics/{metricId}/breakdown")
OVERALL = Operation("list_overall_values", "GET", "/data/metrics/{metricId}/overall")
TIMESERIES = Operation("get_timeseries_data", "GET", "/data/metrics/{metricId}/timeseries")
COMPARISON = Operation("list_comparison_values", "GET", "/data/metrics/comparison")
LIST_ERRORS = Operation("list_errors", "GET", "/data/errors")
CURRENT_VIEWS_SERIES = Operation("current-views-timeseries", "GET", "/data/viewlist/current-views/getTimeseriesViews")
CURRENT_VIEWS_BY = Operation("current-views-filter", "GET", "/data/viewlist/current-views/filter")
GET_REALTIME = Operation("get-realtime", "GET", "/data/realtime")
CREATE_ALERT = Operation("create-alert", "POST", "/data/alerts")
LIST_ALERTS = Operation("list-alerts", "GET", "/data/alerts")
GET_ALERT = Operation("get-alert", "GET", "/data/alerts/{alertId}")
UPDATE_ALERT = Operation("update-alert", "PATCH", "/data/alerts/{alertId}")
DELETE_ALERT = Operation("delete-alert", "DELETE", "/data/alerts/{alertId}")


def known() -> list[Operation]:
    """All of them, in the order of this page."""
    return [value for value in globals().values() if isinstance(value, Operation)]
