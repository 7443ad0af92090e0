"""The closed lists of words that options take. They are those of the client's types, which are slow to load: a test
compares both."""

ACCESS_POLICIES = ("public", "private", "drm")
LIVE_POLICIES = ("public", "private")
RESOLUTIONS = ("2160p", "1440p", "1080p", "720p", "480p")
LIVE_RESOLUTIONS = ("1080p", "720p", "480p")
QUALITIES = ("standard", "pro", "premium")
MP4_SUPPORTS = ("none", "capped_4k", "audioOnly", "audioOnly,capped_4k")
UPLOAD_MP4_SUPPORTS = MP4_SUPPORTS[1:]
ORDERS = ("asc", "desc")
RULE_POLICIES = ("allow", "deny")
TRACK_KINDS = ("audio", "subtitle")
PLAY_ORDERS = ("createdDate ASC", "createdDate DESC")
DELIVERY_STATES = ("pending", "delivered", "failed")
PERMISSIONS = ("*", "video:read", "video:write", "data:read", "data:write", "system:read", "system:write")
MEASUREMENTS = ("95th", "median", "avg", "count", "sum")
INTERVALS = ("minute", "ten_minutes", "hour", "day")
METRICS = (
    "views",
    "unique_viewers",
    "playing_time",
    "quality_of_experience_score",
    "playback_score",
    "playback_failure_percentage",
    "exit_before_video_start",
    "video_startup_failure_percentage",
    "startup_score",
    "video_startup_time",
    "player_startup_time",
    "page_load_time",
    "total_startup_time",
    "live_stream_latency",
    "average_bitrate",
    "buffer_count",
    "render_quality_score",
    "avg_upscaling",
    "avg_downscaling",
    "max_upscaling",
    "max_downscaling",
    "jump_latency",
    "stability_score",
    "buffer_ratio",
    "buffer_frequency",
    "buffer_fill",
)
