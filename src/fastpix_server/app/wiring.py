"""The only place with concrete choices: settings become a database, a storage, contexts and a registry of jobs.

Rooms are imported inside the functions that need them, so that a role loads only what it runs.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastpix_server.app import secrets
from fastpix_server.app.secrets import Keys
from fastpix_server.app.settings import Settings, require_database_url
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.storage.open import Storage, open_store
from fastpix_server.views.clickhouse import ClickHouse

if TYPE_CHECKING:
    import aiohttp
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from fastpix_server.base.errors import FastpixError
    from fastpix_server.edge.licence_servers import LicenceServers
    from fastpix_server.edge.origin_auth import OriginAuth
    from fastpix_server.jobs.registry import Registry
    from fastpix_server.live.running import MakePush
    from fastpix_server.playback.worker import SegmentMaker
    from fastpix_server.views.intake import Intake
    from fastpix_server.webhooks.courier import Courier

# Queue -> jobs at once in one worker process: fetching waits for networks, preparing and filling use the cores.
QUEUES: Mapping[str, int] = {"fetch": 8, "prepare": 2, "fill": 1, "default": 8}


def queues(settings: Settings) -> Mapping[str, int]:
    """The queues that this machine's worker serves. Jobs of a queue that nobody serves wait."""
    return {name: size for name, size in QUEUES.items() if name != "fill" or settings.fills_in_background}


@dataclasses.dataclass(frozen=True, slots=True)
class Platform:
    """What every role works with."""

    settings: Settings
    keys: Keys
    db: Database
    listener: Listener
    storage: Storage
    clickhouse: ClickHouse


@asynccontextmanager
async def open_platform(settings: Settings, *, pool_size: int) -> AsyncIterator[Platform]:
    """The listener is not started: whoever registers its channels starts it, and this closes it."""
    from fastpix_server.engine import binaries
    from fastpix_server.media import links
    from fastpix_server.playback import content_keys

    url = require_database_url(settings)
    links.configure(settings.urls.images or settings.urls.public, settings.urls.stream or settings.urls.public)
    binaries.configure(ffmpeg=settings.ffmpeg, ffprobe=settings.ffprobe)
    secrets.prepare_folder(settings.data_dir)
    keys = secrets.load_keys(settings)
    content_keys.configure(keys)
    s3 = {name: value.reveal() for name, value in settings.s3.items()}
    storage = open_store(settings.storage_url, s3, settings.data_dir / "work")
    db = await Database.open(url, size=pool_size)
    listener = Listener(url)
    clickhouse = ClickHouse(settings.clickhouse_url.reveal())
    try:
        yield Platform(settings, keys, db, listener, storage, clickhouse)
    finally:
        await clickhouse.close()
        await listener.close()
        await db.close()


def make_api(platform: Platform) -> "ASGIApp":
    from fastpix_server.api import errors
    from fastpix_server.api.app import create_api
    from fastpix_server.api.context import ApiContext

    _give_keys(platform)
    settings = platform.settings
    app = create_api(
        ApiContext(
            db=platform.db,
            storage=platform.storage,
            pepper=platform.keys.pepper,
            public_url=settings.urls.public,
            stream_url=settings.urls.stream,
            images_url=settings.urls.images,
            generation=settings.api_generation,
            rate_per_s=settings.rate_limit.per_s,
            rate_burst=settings.rate_limit.burst,
            trusted_proxies=settings.trusted_proxies,
            listener=platform.listener,
            video_data=platform.clickhouse,
        )
    )
    return _with_faults(app, settings, errors.answer)


def make_intake(platform: Platform) -> "Intake | None":
    """The door of beacons, not started; None without a ClickHouse that could ever take them."""
    from fastpix_server.views.intake import Intake, IntakeOptions
    from fastpix_server.views.tables import TableOptions

    settings = platform.settings
    if not settings.clickhouse_url:
        return None
    views = settings.views
    files = tuple(Path(part) for part in views.geoip_db.split(",") if part)
    return Intake(
        platform.db,
        ClickHouse(settings.clickhouse_url.reveal()),
        IntakeOptions(
            folder=settings.data_dir / "beacons",
            rate_per_s=views.beacon_rate_per_s,
            geo_files=files,
            tables=TableOptions(views.retention_days, views.cluster),
        ),
    )


def make_edge(platform: Platform, client: "aiohttp.ClientSession", intake: "Intake | None" = None) -> "ASGIApp":
    """`client` asks origin servers; the caller closes it."""
    from fastpix_server.edge import errors
    from fastpix_server.edge.app import create_edge
    from fastpix_server.edge.context import EdgeContext
    from fastpix_server.edge.origins import Origins
    from fastpix_server.edge.whip_hop import RemoteWhip
    from fastpix_server.playback.signed_path import PathKeys

    urls = platform.settings.urls
    origins = Origins(client, make_origin_auth(platform), platform.db)
    app = create_edge(
        EdgeContext(
            db=platform.db,
            listener=platform.listener,
            storage=platform.storage,
            public_url=urls.public,
            path_keys=PathKeys(platform.keys.path_master, platform.settings.path_key_number),
            stream_url=urls.stream,
            images_url=urls.images,
            licences=_licence_servers(platform.settings),
            origins=origins,
            whip=RemoteWhip(client, origins),
            trusted_proxies=platform.settings.trusted_proxies,
            intake=intake,
        )
    )
    return _with_faults(app, platform.settings, errors.answer)


def _with_faults(app: "ASGIApp", settings: Settings, answer: "Callable[[FastpixError], Response]") -> "ASGIApp":
    """The app itself, unless faults may be switched on."""
    if not settings.faults:
        return app
    from fastpix_server.app import faults

    return faults.FaultyApp(app, faults.Switches(settings.faults), answer)


def _licence_servers(settings: Settings) -> "LicenceServers":
    from fastpix_server.edge.licence_servers import LicenceServers

    licences = settings.licences
    name, _, value = licences.header.reveal().partition(":")
    return LicenceServers(
        widevine_url=licences.widevine_url.reveal(),
        fairplay_url=licences.fairplay_url.reveal(),
        fairplay_cert_url=licences.fairplay_cert_url.reveal(),
        header=(name, value.strip()) if name else None,
        sends_keys=licences.sends_keys,
        has_clearkey=licences.has_clearkey,
    )


def make_origin_client() -> "aiohttp.ClientSession":
    """For an edge: connections to origin servers, which are few machines of ours and no strangers."""
    import aiohttp

    from fastpix_server.edge.origins import MAX_ASKED

    connector = aiohttp.TCPConnector(limit=MAX_ASKED + 100)
    return aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())


def make_push(platform: Platform) -> "MakePush":
    """Simulcast goes where URL inputs may go."""
    from fastpix_server.base.guard import AddressPolicy
    from fastpix_server.live.push import Push
    from fastpix_server.live.push_line import parse
    from fastpix_server.live.running import Pusher
    from fastpix_server.live.streams import Target

    policy = AddressPolicy(platform.settings.fetch.allow_cidrs)

    def make(target: Target, on_state: Callable[[str], None]) -> Pusher:
        return Push(
            parse(target.url, target.stream_key), policy=policy, on_state=lambda state, _reason: on_state(state)
        )

    return make


def make_origin_auth(platform: Platform) -> "OriginAuth":
    from fastpix_server.edge.origin_auth import OriginAuth, key_of

    return OriginAuth(key_of(platform.keys.path_master))


def make_segment_maker(platform: Platform) -> "SegmentMaker":
    from fastpix_server.playback.worker import SegmentMaker

    maximum = platform.settings.cache_max_bytes
    return SegmentMaker(platform.db, platform.listener, platform.storage, cache_max_bytes=maximum)


def make_courier(platform: Platform) -> "Courier":
    """Webhooks go where URL inputs may go."""
    from fastpix_server.access import service as access
    from fastpix_server.base.guard import AddressPolicy
    from fastpix_server.db.pool import Tx
    from fastpix_server.webhooks.courier import Courier

    async def name_of(tx: Tx, workspace_id: str) -> str:
        return (await access.get_workspace(tx, workspace_id)).name

    _give_keys(platform)
    policy = AddressPolicy(platform.settings.fetch.allow_cidrs)
    post = None
    if platform.settings.faults:
        from fastpix_server.app import faults

        post = faults.FaultyPost(policy, faults.Switches(platform.settings.faults))
    return Courier(platform.db, platform.listener, policy, name_of, post=post)


def _give_keys(platform: Platform) -> None:
    """To the rooms that seal; ingest has none of them, and so no pydantic."""
    from fastpix_server.views.alerts import service as alerts
    from fastpix_server.webhooks import service as webhooks

    alerts.configure(platform.keys)
    webhooks.configure(platform.keys)


def _may_prepare(settings: Settings) -> Callable[[str], None] | None:
    if not settings.faults:
        return None
    from fastpix_server.app import faults

    return faults.failing(faults.Switches(settings.faults))


def make_registry(platform: Platform, maker: "SegmentMaker") -> "Registry":
    """Every job of every room."""
    from fastpix_server.api import idempotency
    from fastpix_server.base.guard import AddressPolicy
    from fastpix_server.jobs.registry import Registry
    from fastpix_server.live.clips import ClipJobs
    from fastpix_server.live.jobs import LiveJobs
    from fastpix_server.live.recordings import RecordingJobs
    from fastpix_server.media.fetch import FetchLimits, MediaFetch
    from fastpix_server.media.file_jobs import FileJobs
    from fastpix_server.media.jobs import MediaJobs
    from fastpix_server.media.storage import StorageJobs
    from fastpix_server.media.track_jobs import TrackJobs
    from fastpix_server.media.uploads import UploadJobs
    from fastpix_server.outbox import events
    from fastpix_server.playback import service as playback
    from fastpix_server.views.alerts.jobs import AlertJobs
    from fastpix_server.views.finishing import Finishing
    from fastpix_server.views.tables import TableOptions
    from fastpix_server.webhooks.jobs import WebhookJobs

    _give_keys(platform)
    registry = Registry()
    settings = platform.settings
    work_dir = settings.data_dir / "work"
    MediaJobs(platform.db, platform.storage, work_dir, _may_prepare(settings)).register(registry)
    limits = FetchLimits(max_size_bytes=settings.fetch.max_size_bytes, total_s=settings.fetch.timeout_s)
    policy = AddressPolicy(settings.fetch.allow_cidrs)
    MediaFetch(platform.db, platform.storage, policy, limits, work_dir=work_dir).register(registry)
    TrackJobs(platform.db, platform.storage, work_dir, policy, limits).register(registry)
    FileJobs(platform.db, platform.storage, work_dir).register(registry)
    UploadJobs(platform.db, platform.storage, settings.urls.public).register(registry)
    StorageJobs(platform.db, platform.storage, cache_max_bytes=settings.cache_max_bytes).register(registry)
    RecordingJobs(platform.db, platform.storage.objects).register(registry)
    LiveJobs(platform.db).register(registry)
    ClipJobs(platform.db, platform.storage.objects).register(registry)
    AlertJobs(platform.db, platform.clickhouse, AddressPolicy(settings.fetch.allow_cidrs)).register(registry)
    WebhookJobs(platform.db).register(registry)
    if settings.clickhouse_url:
        Finishing(platform.clickhouse, TableOptions(cluster=settings.views.cluster)).register(registry)
    registry.add(playback.FILL_JOB, maker.fill, queue="fill")

    async def purge_kept() -> None:
        await idempotency.purge(db=platform.db)
        async with platform.db.unit() as tx:
            await events.purge(tx)

    registry.every("29 * * * *", "platform.purge", purge_kept)
    return registry
