"""Video data, as data: what each column holds, how its rows merge, and which beacon codes feed it.

`open_view_rows` holds what single requests said about a view; a view is the merge of all its rows. When it is over,
they become one row of `finished_views` (finished.py). `view_events` holds the events of the view detail. Invariants:
every merge is commutative, associative and idempotent, so rows may arrive twice, in any order and through any process,
and the view is the same. A row is keyed by the hour of its own events, never by anything that another beacon says
(beacons after the first do not carry the view's start). Background merges only save space: a reader (reading.py) always
merges. Why: docs/decisions/0034-view-rows.md.
"""

import dataclasses
import enum
import uuid
from collections.abc import Mapping

ROWS = "open_view_rows"
EVENTS = "view_events"
FINISHED = "finished_views"

# A view that is silent for this long is over (contract 9.1); its end is its last event.
SILENCE_S = 3600
# The longest view. Readers look this far around a span for the other rows of its views; SDKs begin a new view after an
# hour of silence and sessions last a day.
VIEW_MAX_HOURS = 24
SEQUENCE_MAX = 99_999_999  # eight digits: the prefix of a LAST value
LAST_PREFIX_CHARS = 8

_TIME = "DateTime64(3, 'UTC')"
_WORD = "LowCardinality(String)"


class Merge(enum.Enum):
    """How two rows of one view agree on a column."""

    LARGEST = "max"  # what only grows, and words that are said once ('' is smaller than any)
    SMALLEST = "min"
    # What changes during a view: the value of the highest sequence number. Kept as a text that begins with the number
    # in eight digits, because max() of a String is several times quicker than argMax or max() of a Tuple.
    LAST = "last"
    UNION = "groupUniqArrayArray"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """`codes` are the beacon fields that feed it, best first; none: the server's own knowledge."""

    name: str
    type: str
    merge: Merge
    codes: tuple[str, ...] = ()

    @property
    def stored_type(self) -> str:
        """The type in DDL; a LAST value is packed into a String."""
        plain = "String" if self.merge is Merge.LAST else self.type
        function = "max" if self.merge is Merge.LAST else self.merge.value
        return f"SimpleAggregateFunction({function}, {plain})"

    @property
    def merged_state(self) -> str:
        """SQL: one row's value from several (the table's alias is r)."""
        return f"{'max' if self.merge is Merge.LAST else self.merge.value}(r.{self.name})"

    @property
    def merged(self) -> str:
        """SQL: the value of the view, from all its rows (the table's alias is r)."""
        return self.plain(self.merged_state)

    def plain(self, stored: str) -> str:
        """SQL: the value that is meant, from one as stored."""
        if self.merge is not Merge.LAST:
            return stored
        text = f"substring({stored}, {LAST_PREFIX_CHARS + 1})"
        return f"toFloat64OrNull({text})" if self.type == "Float64" else text


@dataclasses.dataclass(frozen=True, slots=True)
class Derived:
    """A value of the whole view, computed from other columns by name after the merge."""

    name: str
    expression: str
    needs: tuple[str, ...]


def pack_last(sequence: int, value: str) -> str:
    """A LAST value as it is stored."""
    return f"{min(max(sequence, 0), SEQUENCE_MAX):0{LAST_PREFIX_CHARS}d}{value}"


def view_uuid(view_id: str) -> uuid.UUID:
    """The id of a view as we keep it. SDKs send UUIDs (in either case); any other text gets a UUID of its own."""
    try:
        return uuid.UUID(view_id)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, f"fastpix view {view_id}")


def _word(name: str, *codes: str) -> Column:
    return Column(name, _WORD, Merge.LARGEST, codes)


def _text(name: str, *codes: str) -> Column:
    return Column(name, "String", Merge.LARGEST, codes)


def _last(name: str, *codes: str) -> Column:
    return Column(name, "String", Merge.LAST, codes)


def _last_number(name: str, *codes: str) -> Column:
    return Column(name, "Float64", Merge.LAST, codes)


def _grows(name: str, *codes: str) -> Column:
    return Column(name, "Nullable(Int64)", Merge.LARGEST, codes)


def _peak(name: str, *codes: str) -> Column:
    return Column(name, "Nullable(Float64)", Merge.LARGEST, codes)


def _ever(name: str, *codes: str) -> Column:
    """True once any beacon said so; NULL while none said anything."""
    return Column(name, "Nullable(Bool)", Merge.LARGEST, codes)


# Times are milliseconds, positions are milliseconds of the media, rates bits per second.
COLUMNS: tuple[Column, ...] = (
    # The life of the view. It exists once view_start is known.
    Column("view_start", f"Nullable({_TIME})", Merge.SMALLEST, ("vest",)),
    Column("last_event_at", _TIME, Merge.LARGEST),
    Column("received_first_at", f"Nullable({_TIME})", Merge.SMALLEST),
    Column("received_last_at", _TIME, Merge.LARGEST),
    _ever("is_completed"),  # viewCompleted came
    _ever("has_played"),  # a first frame was shown
    _ever("has_error"),  # an error event came (SDKs report fatal ones)
    _ever("has_ad"),
    # Who and where.
    _text("given_viewer_id", "viid"),
    _text("fp_viewer_id", "fpviid"),
    _text("session_id", "snid"),
    _text("given_view_session_id", "vesnid"),
    _text("player_instance_id", "plinid"),
    _word("sub_property_id", "suppid"),
    _word("beacon_domain", "bedn"),
    Column("sample_number", "Nullable(Float64)", Merge.LARGEST, ("fpsanu",)),
    Column("sample_rate", "Nullable(Float64)", Merge.LARGEST, ("fpsare",)),
    _word("user_agent"),
    _last("ip_address"),
    # Tab-separated, in the order of PLACE: one column, so that a view that changes networks keeps one whole place.
    _word("place"),
    _word("detected_browser_name"),
    _word("detected_browser_version"),
    _word("detected_os_name"),
    _word("detected_os_version"),
    _word("detected_device_name"),
    _word("detected_device_model"),
    _word("detected_device_manufacturer"),
    _word("detected_device_type"),
    _word("browser_engine"),
    # What the page says about the device wins over what we detect.
    _word("given_browser_name", "brna", "br"),
    _word("given_browser_version", "brvn"),
    _word("given_os_name", "osna"),
    _word("given_os_version", "osvn"),
    _word("given_device_name", "dena"),
    _word("given_device_model", "demo"),
    _word("given_device_manufacturer", "demr"),
    _word("given_device_type", "decg", "usdecg"),
    _word("connection_type", "vicity"),
    # Page and player.
    _last("page_url", "vepaur", "paur"),
    _word("page_context", "pacx"),
    _grows("page_load_time", "paloti"),
    _word("player_name", "plna"),
    _word("player_version", "plvn"),
    _word("player_software_name", "plswna"),
    _word("player_software_version", "plswvn"),
    _word("fp_sdk", "plfpsdna"),
    _word("fp_sdk_version", "plfpsdvn"),
    _word("fp_api_version", "fpapvn"),
    _ever("fp_embed", "fpem"),
    _word("fp_embed_version", "fpemvn"),
    _grows("player_init_time", "plitti"),
    _grows("player_startup_time", "plspti"),
    _last_number("player_width", "plwt"),
    _last_number("player_height", "plht"),
    _ever("player_autoplay_on", "plauon"),
    _ever("player_preload_on", "plpron"),
    _ever("used_full_screen", "plisfl", "vdisfl"),
    _ever("player_remote_played", "plrmpy"),
    _word("player_language", "plln", "pllncd"),
    _text("player_poster", "plpour", "vdpour"),
    _grows("player_view_count", "plveco"),
    _last("error_code", "plercd"),
    _last("error_message", "plerms"),
    _last("error_context", "plercx"),
    # Video.
    _text("given_video_id", "vdid"),
    _text("media_id", "meid"),
    _text("fp_playback_id", "fppbid"),
    _text("fp_live_stream_id", "fplismid"),
    _last("video_title", "vdtt"),
    _word("video_series", "vdsr"),
    _word("video_producer", "vdpd"),
    _word("video_content_type", "vdctty"),
    _word("video_language", "vdlncd"),
    _word("video_variant_id", "vdvaid"),
    _word("video_variant_name", "vdvana"),
    _word("video_encoding_variant", "vdeova"),
    _word("drm_type", "vddmty"),
    _word("experiment_name", "exna"),
    _last_number("video_duration", "vddu"),
    _last_number("video_source_duration", "vdsodu", "plsodu"),
    _last("video_source_url", "vdsour", "plsour"),
    _last("video_source_domain", "vdsodn"),
    _last("video_source_hostname", "vdsohn"),
    _word("video_source_type", "vdsoty"),
    _word("video_source_stream_type", "vdsosmty", "vdsmty"),
    _ever("video_source_is_live", "vdsoisli"),
    _last_number("video_source_width", "vdsowt"),
    _last_number("video_source_height", "vdsoht"),
    _last_number("video_source_fps", "vdsofs"),
    _last("video_source_codec", "vdsocc"),
    _last("rendition_name", "vdsornna"),
    _word("given_cdn", "vdcn", "cn"),
    _word("detected_cdn"),
    # (when, bits per second) of each change: the average is weighted by time.
    Column("bitrates", f"Array(Tuple({_TIME}, UInt64))", Merge.UNION, ("vdsobi",)),
    # Measures, cumulative over the view (contract 9.2).
    _grows("watch_time", "vewati"),
    _grows("video_startup_time", "vetitofifr"),
    _grows("aggregate_startup_time", "veagspti"),
    _grows("content_playback_time", "vectpbti"),
    _grows("total_content_playback_time", "vetlctpbti"),
    _grows("max_playhead_position", "vemaphps"),
    _grows("buffer_count", "verbco"),
    _grows("buffer_fill", "verbdu"),
    _grows("seeked_count", "veseco"),
    _grows("seeked_duration", "vesedu"),
    _grows("max_seek_time", "vemaseti", "vema_seeek_ti"),
    _peak("max_upscaling", "vemauppg"),
    _peak("max_downscaling", "vemadopg"),
    _peak("total_upscaling", "vetlug"),
    _peak("total_downscaling", "vetldg"),
    _grows("dropped_frame_count", "vedrfrco"),
    _grows("dropped_resolution_count", "vdsorldrco"),
    _grows("request_count", "verqco"),
    _grows("request_failed_count", "verqfaco"),
    _grows("request_canceled_count", "verqclco"),
    _last_number("avg_request_throughput", "veavrqth"),
    _last_number("min_request_throughput", "vemnrqth"),
    _last_number("avg_request_latency", "veavrqlt", "ve_average_rqlt"),
    _peak("max_request_latency", "vemarqlt"),
    # The code is our guess, by the rule of the others (ve, li, sm, lt): no recorded session has had one yet.
    _grows("live_stream_latency", "velismlt"),
    *(_word(f"custom_{n}", f"cm{n}") for n in range(1, 11)),
)
TEXT_COLUMNS = frozenset(column.name for column in COLUMNS if column.type == "String")
BY_NAME: Mapping[str, Column] = {column.name: column for column in COLUMNS}

PLACE = ("asn_id", "asn_name", "continent", "country_code", "country", "region", "city", "latitude", "longitude")


def _prefers(name: str, given: str, other: str) -> Derived:
    return Derived(name, f"if({given} != '', {given}, {other})", (given, other))


# Weighted by how long each rate was in force: points in order of time, the last one up to the end of the view.
_POINTS = "arraySort(bitrates)"
_SPANS = (
    f"arrayMap((p, q) -> greatest(dateDiff('millisecond', greatest(p, ifNull(view_start, p)), q), 0),"
    f" {_POINTS}.1, arrayPushBack(arrayPopFront({_POINTS}.1), last_event_at))"
)
_AVERAGE_BITRATE = (
    f"if(empty(bitrates), NULL, if(arraySum({_SPANS}) = 0, toFloat64({_POINTS}[-1].2),"
    f" arraySum(arrayMap((s, b) -> s * toFloat64(b), {_SPANS}, {_POINTS}.2)) / arraySum({_SPANS})))"
)

# What the player may say, and what we find out where it does not.
GIVEN_OR_DETECTED = (
    "browser_name",
    "browser_version",
    "os_name",
    "os_version",
    "device_name",
    "device_model",
    "device_manufacturer",
    "device_type",
    "cdn",
)

DERIVED: tuple[Derived, ...] = (
    *(
        Derived(name, f"splitByChar('\\t', place)[{position}]", ("place",))
        for position, name in enumerate(PLACE, start=1)
    ),
    *(_prefers(name, f"given_{name}", f"detected_{name}") for name in GIVEN_OR_DETECTED),
    _prefers("viewer_id", "given_viewer_id", "fp_viewer_id"),
    # To count viewers by: sets of numbers are several times quicker than sets of texts. Two of a million viewers have
    # the same number once in 40 million times.
    Derived("viewer_hash", "if(viewer_id = '', toUInt64(0), sipHash64(viewer_id))", ("viewer_id",)),
    _prefers("video_id", "given_video_id", "media_id"),
    _prefers("view_session_id", "given_view_session_id", "session_id"),
    Derived("view_end", "last_event_at", ("last_event_at",)),
    # Ended by viewCompleted or by silence. `view_end` of a view that goes on is its last event so far.
    Derived(
        "is_ended",
        f"ifNull(is_completed, false) OR last_event_at < now64(3) - toIntervalSecond({SILENCE_S})",
        ("is_completed", "last_event_at"),
    ),
    Derived("playback_failed", "ifNull(has_error, false)", ("has_error",)),
    Derived(
        "video_startup_failed",
        "ifNull(has_error, false) AND NOT ifNull(has_played, false)",
        ("has_error", "has_played"),
    ),
    # A view that goes on may still show its first frame.
    Derived(
        "exit_before_video_start",
        "NOT ifNull(has_error, false) AND NOT ifNull(has_played, false) AND is_ended",
        ("has_error", "has_played", "is_ended"),
    ),
    Derived(
        "player_resolution",
        "ifNull(if(player_width > 0 AND player_height > 0,"
        " concat(toString(toInt64(player_width)), 'x', toString(toInt64(player_height))), ''), '')",
        ("player_width", "player_height"),
    ),
    Derived(
        "video_resolution",
        "ifNull(if(video_source_width > 0 AND video_source_height > 0,"
        " concat(toString(toInt64(video_source_height)), 'X', toString(toInt64(video_source_width))), ''), '')",
        ("video_source_width", "video_source_height"),
    ),
    Derived(
        "playing_time",
        "if(isNull(watch_time), NULL, greatest(0, watch_time - ifNull(video_startup_time, 0) - ifNull(buffer_fill, 0)"
        " - ifNull(seeked_duration, 0)))",
        ("watch_time", "video_startup_time", "buffer_fill", "seeked_duration"),
    ),
    # Needs a first frame: without one there is no startup to speak of.
    Derived(
        "total_startup_time",
        "if(isNull(video_startup_time), NULL,"
        " video_startup_time + ifNull(page_load_time, 0) + ifNull(player_init_time, 0))",
        ("video_startup_time", "page_load_time", "player_init_time"),
    ),
    Derived(
        "buffer_ratio", "if(watch_time > 0, ifNull(buffer_fill, 0) / watch_time, NULL)", ("buffer_fill", "watch_time")
    ),
    Derived(
        "buffer_frequency",
        "if(watch_time > 0, ifNull(buffer_count, 0) / watch_time, NULL)",
        ("buffer_count", "watch_time"),
    ),
    Derived(
        "jump_latency",
        "if(seeked_count > 0, seeked_duration / seeked_count, NULL)",
        ("seeked_duration", "seeked_count"),
    ),
    Derived(
        "avg_upscaling",
        "if(total_content_playback_time > 0, total_upscaling / total_content_playback_time, NULL)",
        ("total_upscaling", "total_content_playback_time"),
    ),
    Derived(
        "avg_downscaling",
        "if(total_content_playback_time > 0, total_downscaling / total_content_playback_time, NULL)",
        ("total_downscaling", "total_content_playback_time"),
    ),
    Derived("average_bitrate", _AVERAGE_BITRATE, ("bitrates", "view_start", "last_event_at")),
)
DERIVED_BY_NAME: Mapping[str, Derived] = {derived.name: derived for derived in DERIVED}

# Keys of the view detail whose column has another name; every other key is a column's name in camel case.
DETAIL_NAMES: Mapping[str, str] = {
    "playerInitializationTime": "player_init_time",
    "playerSourceDomain": "video_source_domain",
    "playerSourceHeight": "video_source_height",
    "playerSourceWidth": "video_source_width",
    "videoStartupTime": "video_startup_time",
    "viewHasAd": "has_ad",
    "viewHasError": "has_error",
    "viewMaxPlayheadPosition": "max_playhead_position",
    "viewPageUrl": "page_url",
    "viewPlayingTime": "playing_time",
    "viewSeekedCount": "seeked_count",
    "viewSeekedDuration": "seeked_duration",
    "viewTotalContentPlaybackTime": "total_content_playback_time",
    "insertTimestamp": "received_first_at",
    "updatedTimestamp": "received_last_at",
}
# Dimensions whose column has another name; every other dimension is a column's name.
DIMENSION_NAMES: Mapping[str, str] = {"country": "country_code", "view_has_ad": "has_ad"}
