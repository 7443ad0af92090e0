"""What views can be grouped and filtered by (contract 9.4), each as SQL that gives a text.

Invariants: names in SQL come from the tables of this module; a value that is missing reads `null` everywhere, so that
what a breakdown shows can be filtered by.
"""

from fastpix_server.base import errors
from fastpix_server.views import schema

# The 56 of the contract, in its order.
DIMENSIONS: tuple[str, ...] = (
    "browser_name",
    "browser_version",
    "os_name",
    "os_version",
    "device_name",
    "device_model",
    "device_type",
    "device_manufacturer",
    "player_remote_played",
    "player_name",
    "player_version",
    "player_software_name",
    "player_software_version",
    "player_resolution",
    "fp_sdk",
    "fp_sdk_version",
    "player_autoplay_on",
    "player_preload_on",
    "video_title",
    "video_id",
    "video_series",
    "fp_playback_id",
    "fp_live_stream_id",
    "media_id",
    "video_source_stream_type",
    "video_source_type",
    "video_encoding_variant",
    "experiment_name",
    "sub_property_id",
    "drm_type",
    "asn_name",
    "cdn",
    "video_source_hostname",
    "connection_type",
    "view_session_id",
    "continent",
    "country",
    "region",
    "viewer_id",
    "error_code",
    "exit_before_video_start",
    "view_has_ad",
    "video_startup_failed",
    "video_content_type",
    "page_context",
    "playback_failed",
    *(f"custom_{n}" for n in range(1, 11)),
)
# What the current views can be grouped by (contract section 0).
CURRENT_DIMENSIONS: tuple[str, ...] = (
    "country",
    "region",
    "asn_id",
    "cdn",
    "video_title",
    "video_series",
    "video_id",
    "sub_property_id",
    "video_source_stream_type",
    "os_name",
    "player_name",
    "media_id",
    "fp_playback_id",
    "view_id",
)
_KNOWN = frozenset(DIMENSIONS)
_YES_OR_NO = frozenset({"exit_before_video_start", "video_startup_failed", "playback_failed"})

MISSING = "null"


def require(name: str) -> str:
    """`name`, when it is a dimension; raises errors.BadState (400) otherwise."""
    if name not in _KNOWN:
        raise errors.BadState(f"{name[:100]!r} is not a dimension. GET /v1/data/dimensions lists them.")
    return name


def column_of(dimension: str) -> str:
    """The column of views/schema.py that holds it."""
    return schema.DIMENSION_NAMES.get(dimension, dimension)


def text_of(dimension: str) -> str:
    """SQL: its value as answers show it."""
    column = column_of(dimension)
    stored = schema.BY_NAME.get(column)
    if column in _YES_OR_NO or (stored is not None and stored.type == "Nullable(Bool)"):
        return f"multiIf(isNull({column}), '{MISSING}', {column}, 'true', 'false')"
    # Unlike if(), this works on dictionaries, and grouping by those is several times quicker.
    return f"transform(toString({column}), [''], ['{MISSING}'])"
