"""Every setting, read once from the environment into one frozen tree.

Invariants: an unknown FASTPIX_* name is refused, with the nearest known one. A bad value is a sentence that names the
variable and the remedy; all bad ones are told at once. Secrets do not show in `repr`. docs/reference/settings.md
documents each variable (tests/tidy checks that).
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

from fastpix_server.app import values
from fastpix_server.app.values import Network
from fastpix_server.base import errors, log

T = TypeVar("T")
Generation = Literal["auto", "1", "2", "3"]

# variable -> what it means when it is not set; the whole vocabulary of our prefix.
VARIABLES: Mapping[str, str] = {
    "FASTPIX_DATA_DIR": "./fastpix-data",
    "FASTPIX_HOST": "127.0.0.1",
    "FASTPIX_HTTP_PORT": "8080",
    "FASTPIX_HTTP_WORKERS": "one per core, 4 at most",
    "FASTPIX_PUBLIC_URL": "from host and port",
    "FASTPIX_STREAM_URL": "the public URL",
    "FASTPIX_IMAGES_URL": "the public URL",
    "FASTPIX_USERNAME": "made at first start",
    "FASTPIX_PASSWORD": "made at first start",
    "FASTPIX_RTMP_PORT": "1935",
    "FASTPIX_RTMPS_PORT": "1936",
    "FASTPIX_SRT_PORT": "8890",
    "FASTPIX_TLS_CERT": "a self-signed one",
    "FASTPIX_TLS_KEY": "a self-signed one",
    "FASTPIX_WHIP_ANNOUNCE": "none",
    "FASTPIX_ORIGIN_HOST": "127.0.0.1",
    "FASTPIX_ORIGIN_PORT": "a free one, kept",
    "FASTPIX_ORIGIN_URL": "from the two above",
    "FASTPIX_DATABASE_URL": "embedded PostgreSQL",
    "FASTPIX_CLICKHOUSE_URL": "embedded ClickHouse engine",
    "FASTPIX_CLICKHOUSE_CLUSTER": "none",
    "FASTPIX_VIEWS_RETENTION_DAYS": "kept for ever",
    "FASTPIX_BEACON_RATE_PER_S": "200",
    "FASTPIX_GEOIP_DB": "countries only",
    "FASTPIX_STORAGE_URL": "file://<data>/objects",
    "FASTPIX_S3_ENDPOINT": "AWS",
    "FASTPIX_S3_REGION": "us-east-1",
    "FASTPIX_S3_ACCESS_KEY_ID": "the usual AWS environment",
    "FASTPIX_S3_SECRET_ACCESS_KEY": "the usual AWS environment",
    "FASTPIX_S3_SESSION_TOKEN": "none",
    "FASTPIX_S3_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
    "FASTPIX_FETCH_ALLOW_CIDRS": "none",
    "FASTPIX_FETCH_MAX_SIZE_BYTES": "68719476736",
    "FASTPIX_FETCH_TIMEOUT_S": "21600",
    "FASTPIX_RATE_LIMIT_PER_S": "50",
    "FASTPIX_RATE_LIMIT_BURST": "100",
    "FASTPIX_TRUSTED_PROXIES": "none",
    "FASTPIX_MASTER_KEY": "made at first start",
    "FASTPIX_BACKGROUND_FILL": "on",
    "FASTPIX_CACHE_MAX_BYTES": "no quota",
    "FASTPIX_CLEARKEY": "on unless a licence server is set",
    "FASTPIX_WIDEVINE_LICENSE_URL": "none",
    "FASTPIX_FAIRPLAY_LICENSE_URL": "none",
    "FASTPIX_FAIRPLAY_CERT_URL": "none",
    "FASTPIX_LICENSE_HEADER": "none",
    "FASTPIX_LICENSE_SEND_KEYS": "off",
    "FASTPIX_PATH_KEY_NUMBER": "1",
    "FASTPIX_API_GENERATION": "by the client's User-Agent",
    "FASTPIX_FFMPEG": "from the installed wheel",
    "FASTPIX_FFPROBE": "from the installed wheel",
    "FASTPIX_LOG_LEVEL": "info",
    "FASTPIX_FAULTS": "none",
    # They belong to clients (the official SDKs read them); one environment often serves both.
    "FASTPIX_BASE_URL": "ignored by the server",
    "FASTPIX_WEBHOOK_SECRET": "ignored by the server",
}

_PREFIX = "FASTPIX_"
_S3_PREFIX = "FASTPIX_S3_"
_MAX_HTTP_WORKERS = 64
# One worker already serves hundreds of API requests a second; each costs memory, so the default stays small.
_DEFAULT_MAX_HTTP_WORKERS = 4
_MAX_FETCH_BYTES = 10 * 1024**4
_MAX_CACHE_BYTES = 10**18 - 1
_MAX_FETCH_TIMEOUT_S = 7 * 24 * 3600


class BadSettings(errors.FastpixError):
    """One sentence per bad variable, in `problems`."""

    message = "bad settings"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A text that logs and tracebacks must not show; `reveal()` where it is used."""

    _text: str = dataclasses.field(repr=False)

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclasses.dataclass(frozen=True, slots=True)
class Http:
    host: str
    port: int
    workers: int


@dataclasses.dataclass(frozen=True, slots=True)
class Urls:
    """What we put into answers; no trailing slash. `stream` and `images` only where those families have own hosts."""

    public: str
    stream: str | None
    images: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Ingest:
    """Ports of live ingest; 0 is off. `origin_*`: where edges reach what an ingest process has in memory; port 0 is
    one that is chosen at the first start and kept."""

    rtmp_port: int
    rtmps_port: int
    srt_port: int
    tls_cert: str
    tls_key: str
    whip_announce: tuple[str, ...]
    origin_host: str
    origin_port: int
    origin_url: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Fetch:
    allow_cidrs: tuple[Network, ...]
    max_size_bytes: int
    timeout_s: int


@dataclasses.dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket per access token, in each HTTP process."""

    per_s: int
    burst: int


@dataclasses.dataclass(frozen=True, slots=True)
class Licences:
    """The operator's licence servers. URLs may hold a password; `header` is "Name: value"."""

    has_clearkey: bool
    widevine_url: Secret
    fairplay_url: Secret
    fairplay_cert_url: Secret
    header: Secret
    sends_keys: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Views:
    """Video data. `cluster` is empty for one server; 0 days keep for ever; a rate of 0 is no limit."""

    cluster: str
    retention_days: int
    beacon_rate_per_s: int
    geoip_db: str


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    data_dir: Path
    http: Http
    urls: Urls
    ingest: Ingest
    fetch: Fetch
    rate_limit: RateLimit
    licences: Licences
    trusted_proxies: tuple[Network, ...]  # whose X-Forwarded-For is believed
    database_url: Secret  # it may hold a password; empty: embedded
    clickhouse_url: Secret
    views: Views
    storage_url: str
    s3: Mapping[str, Secret]
    username: str
    password: Secret
    master_key: Secret
    path_key_number: int
    api_generation: Generation
    ffmpeg: str
    ffprobe: str
    fills_in_background: bool
    cache_max_bytes: int  # 0: no quota
    log_level: str
    faults: str  # the folder of switches (app/faults.py); empty: there are none


def require_database_url(settings: Settings) -> str:
    """For a role that runs without the supervisor, which would have filled it in. Raises BadSettings."""
    if not settings.database_url:
        raise BadSettings(
            ["FASTPIX_DATABASE_URL is not set: a role on its own needs one. `fastpix up` brings its own database."]
        )
    return settings.database_url.reveal()


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the environment. Raises BadSettings. An empty value counts as not set."""
    reader = _Reader(os.environ if environ is None else environ)
    settings = _read(reader)
    if reader.problems:
        raise BadSettings(reader.problems)
    return settings


def _read(reader: "_Reader") -> Settings:
    data_dir = Path(reader.text("FASTPIX_DATA_DIR") or "fastpix-data").expanduser().absolute()
    http = _http(reader)
    username, password = reader.text("FASTPIX_USERNAME"), reader.text("FASTPIX_PASSWORD")
    if bool(username) != bool(password):
        reader.problems.append("FASTPIX_USERNAME and FASTPIX_PASSWORD belong together: set both, or neither.")
    return Settings(
        data_dir=data_dir,
        http=http,
        urls=_urls(reader, http),
        ingest=_ingest(reader),
        fetch=Fetch(
            allow_cidrs=reader.parsed("FASTPIX_FETCH_ALLOW_CIDRS", (), values.networks),
            max_size_bytes=reader.number("FASTPIX_FETCH_MAX_SIZE_BYTES", 64 * 1024**3, 1, _MAX_FETCH_BYTES),
            timeout_s=reader.number("FASTPIX_FETCH_TIMEOUT_S", 6 * 3600, 1, _MAX_FETCH_TIMEOUT_S),
        ),
        rate_limit=RateLimit(
            per_s=reader.number("FASTPIX_RATE_LIMIT_PER_S", 50, 1, 1_000_000),
            burst=reader.number("FASTPIX_RATE_LIMIT_BURST", 100, 1, 1_000_000),
        ),
        licences=_licences(reader),
        trusted_proxies=reader.parsed("FASTPIX_TRUSTED_PROXIES", (), values.networks),
        database_url=Secret(reader.parsed("FASTPIX_DATABASE_URL", "", values.database_url)),
        clickhouse_url=Secret(reader.parsed("FASTPIX_CLICKHOUSE_URL", "", values.clickhouse_url)),
        views=Views(
            cluster=reader.parsed("FASTPIX_CLICKHOUSE_CLUSTER", "", values.cluster),
            retention_days=reader.number("FASTPIX_VIEWS_RETENTION_DAYS", 0, 0, 36_500),
            beacon_rate_per_s=reader.number("FASTPIX_BEACON_RATE_PER_S", 200, 0, 1_000_000),
            geoip_db=reader.parsed("FASTPIX_GEOIP_DB", "", values.readable_files),
        ),
        storage_url=reader.parsed(
            "FASTPIX_STORAGE_URL", f"file://{quote(str(data_dir / 'objects'))}", values.storage_url
        ),
        s3=_s3(reader),
        username=reader.parsed("FASTPIX_USERNAME", "", values.username),
        password=Secret(password),
        master_key=Secret(reader.text("FASTPIX_MASTER_KEY")),
        path_key_number=reader.number("FASTPIX_PATH_KEY_NUMBER", 1, 1, 9999),
        api_generation=reader.choice("FASTPIX_API_GENERATION", "auto", {"1": "1", "2": "2", "3": "3"}),
        ffmpeg=reader.parsed("FASTPIX_FFMPEG", "", values.program),
        ffprobe=reader.parsed("FASTPIX_FFPROBE", "", values.program),
        fills_in_background=reader.choice("FASTPIX_BACKGROUND_FILL", True, {"on": True, "off": False}),
        cache_max_bytes=reader.number("FASTPIX_CACHE_MAX_BYTES", 0, 0, _MAX_CACHE_BYTES),
        log_level=reader.choice("FASTPIX_LOG_LEVEL", "info", {level: level for level in log.LEVELS}),
        faults=reader.parsed("FASTPIX_FAULTS", "", values.folder),
    )


def _http(reader: "_Reader") -> Http:
    workers = min(os.cpu_count() or 1, _DEFAULT_MAX_HTTP_WORKERS)
    return Http(
        host=reader.parsed("FASTPIX_HOST", "127.0.0.1", values.host),
        port=reader.number("FASTPIX_HTTP_PORT", 8080, 1, 65535),
        workers=reader.number("FASTPIX_HTTP_WORKERS", workers, 1, _MAX_HTTP_WORKERS),
    )


def _ingest(reader: "_Reader") -> Ingest:
    cert, key = (reader.parsed(f"FASTPIX_TLS_{part}", "", values.file) for part in ("CERT", "KEY"))
    if bool(cert) != bool(key):
        reader.problems.append("FASTPIX_TLS_CERT and FASTPIX_TLS_KEY belong together: set both, or neither.")
    origin_host = reader.parsed("FASTPIX_ORIGIN_HOST", "127.0.0.1", values.host)
    origin_url = reader.parsed("FASTPIX_ORIGIN_URL", None, values.base_url)
    if origin_host in ("0.0.0.0", "::") and origin_url is None:  # noqa: S104
        reader.problems.append(
            "FASTPIX_ORIGIN_URL is not set: say under which address other machines reach FASTPIX_ORIGIN_HOST."
        )
    return Ingest(
        rtmp_port=reader.number("FASTPIX_RTMP_PORT", 1935, 0, 65535),
        rtmps_port=reader.number("FASTPIX_RTMPS_PORT", 1936, 0, 65535),
        srt_port=reader.number("FASTPIX_SRT_PORT", 8890, 0, 65535),
        tls_cert=cert,
        tls_key=key,
        whip_announce=reader.parsed("FASTPIX_WHIP_ANNOUNCE", (), values.addresses),
        origin_host=origin_host,
        origin_port=reader.number("FASTPIX_ORIGIN_PORT", 0, 0, 65535),
        origin_url=origin_url,
    )


def _urls(reader: "_Reader", http: Http) -> Urls:
    # An address that means "all of mine" is none that a client can dial.
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(http.host, http.host)  # noqa: S104
    own = f"http://{f'[{name}]' if ':' in name else name}:{http.port}"
    return Urls(
        public=reader.parsed("FASTPIX_PUBLIC_URL", own, values.base_url),
        stream=reader.parsed("FASTPIX_STREAM_URL", None, values.base_url),
        images=reader.parsed("FASTPIX_IMAGES_URL", None, values.base_url),
    )


def _s3(reader: "_Reader") -> dict[str, Secret]:
    """storage.s3 names its options as our variables, in lower case and without the prefix."""
    names = [name for name in VARIABLES if name.startswith(_S3_PREFIX) and reader.text(name)]
    return {name.removeprefix(_S3_PREFIX).lower(): Secret(reader.text(name)) for name in names}


def _licences(reader: "_Reader") -> Licences:
    widevine, fairplay, cert = (
        reader.parsed(name, "", values.licence_url)
        for name in ("FASTPIX_WIDEVINE_LICENSE_URL", "FASTPIX_FAIRPLAY_LICENSE_URL", "FASTPIX_FAIRPLAY_CERT_URL")
    )
    on_or_off = {"on": True, "off": False}
    return Licences(
        # Whoever bought a protection does not want a second door beside it.
        has_clearkey=reader.choice("FASTPIX_CLEARKEY", not (widevine or fairplay), on_or_off),
        widevine_url=Secret(widevine),
        fairplay_url=Secret(fairplay),
        fairplay_cert_url=Secret(cert),
        header=Secret(reader.parsed("FASTPIX_LICENSE_HEADER", "", values.header)),
        sends_keys=reader.choice("FASTPIX_LICENSE_SEND_KEYS", False, on_or_off),
    )


class _Reader:
    """Collects problems instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._values = {name: value.strip() for name, value in environ.items() if name.startswith(_PREFIX)}
        self.problems = [_unknown(name) for name in sorted(self._values) if name not in VARIABLES]

    def text(self, name: str) -> str:
        return self._values.get(name, "")

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """`parse` raises ValueError with the end of a sentence that begins with the variable's name."""
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as fault:
            self.problems.append(f"{name} {fault}")
            return default

    def number(self, name: str, default: int, least: int, most: int) -> int:
        def parse(text: str) -> int:
            # Only plain digits: int() would also take "1_000", "+5" and other alphabets.
            if re.fullmatch(r"[0-9]{1,18}", text) is None or not least <= int(text) <= most:
                raise ValueError(f"is {text!r}: give a whole number from {least} to {most}.")
            return int(text)

        return self.parsed(name, default, parse)

    def choice(self, name: str, default: T, choices: Mapping[str, T]) -> T:
        def parse(text: str) -> T:
            if text.lower() not in choices:
                raise ValueError(f"is {text!r}: choose one of {', '.join(choices)}.")
            return choices[text.lower()]

        return self.parsed(name, default, parse)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.0)
    return f"{name} is not a setting. Did you mean {near[0]}?"
