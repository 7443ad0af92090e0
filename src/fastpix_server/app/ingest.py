"""The ingest role: takes encoders in, packages, records and pushes their streams, and serves edges from memory.

Invariants: one event loop; a listener that cannot start is said in the log and the others go on; SIGTERM stores what
has arrived and leaves every session to the next process, in which its encoder goes on.
"""

import asyncio
import signal
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fastpix_server.app import children, wiring
from fastpix_server.app.settings import Settings
from fastpix_server.app.wiring import Platform
from fastpix_server.base import log

if TYPE_CHECKING:
    from fastpix_server.live.house import House
    from fastpix_server.live.srt_keys import SrtKeyTable

T = TypeVar("T")

_log = log.get(__name__)

# Sessions hold a connection only for short transactions.
_POOL_SIZE = 8
_PORT_FILE = "origin-port"


def run(settings: Settings) -> None:
    """Blocks until SIGTERM or SIGINT."""
    import uvloop

    _preload()
    children.until_told()
    uvloop.run(_run(settings))


def _preload() -> None:
    """What the listeners will ask for: loaded while the database starts, not after."""
    import fastpix_server.edge.origin
    import fastpix_server.edge.whip_hop
    import fastpix_server.ingest.rtmp_server
    import fastpix_server.live.house
    import fastpix_server.live.push  # noqa: F401


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stopping.set)
    async with (
        wiring.open_platform(settings, pool_size=_POOL_SIZE) as platform,
        Listeners(platform) as ports,
    ):
        _log.info("ingest_started", **ports)
        await stopping.wait()
    _log.info("ingest_stopped")


class Listeners:
    """Everything that listens, as a context; its value is the ports, by protocol. `platform` has no listener yet."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> dict[str, int]:
        try:
            return await self._open()
        except BaseException:
            await self._closing.aclose()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    async def _open(self) -> dict[str, int]:
        from fastpix_server.edge.origin import create_origin, serve
        from fastpix_server.edge.whip_hop import origin_routes
        from fastpix_server.ingest.whip_late import LateWhip
        from fastpix_server.live.house import House
        from fastpix_server.live.srt_keys import SrtKeyTable

        platform, settings = self._platform, self._platform.settings.ingest
        house = House(platform.db, platform.listener, platform.storage.objects, make_push=wiring.make_push(platform))
        keys = SrtKeyTable(platform.db, platform.listener)
        await platform.listener.start()
        whip = LateWhip(house, announce=settings.whip_announce)
        origin = create_origin(house, wiring.make_origin_auth(platform), origin_routes(whip))
        runner, port = await _serve(lambda number: serve(origin, settings.origin_host, number), platform.settings)
        self._closing.push_async_callback(runner.cleanup)
        await house.start(settings.origin_url or _url(settings.origin_host, port))
        self._closing.push_async_callback(house.close)
        self._closing.push_async_callback(whip.close)
        await keys.load()
        self._closing.push_async_callback(keys.close)
        return {"origin": port, **await self._listen_rtmp(house), **await self._listen_srt(house, keys)}

    async def _listen_rtmp(self, house: "House") -> dict[str, int]:
        from fastpix_server.ingest.rtmp_server import RtmpServer

        settings = self._platform.settings
        server = RtmpServer(house)
        self._closing.push_async_callback(server.close)
        ports: dict[str, int] = {}
        wanted: list[tuple[str, int, ssl.SSLContext | None]] = [("rtmp", settings.ingest.rtmp_port, None)]
        if settings.ingest.rtmps_port:
            wanted.append(("rtmps", settings.ingest.rtmps_port, _tls(settings)))
        for name, port, context in wanted:
            if port:
                try:
                    ports[name] = await server.start(settings.http.host, port, context)
                except OSError as fault:
                    _log.error("listener_off", protocol=name, port=port, error=str(fault))
        return ports

    async def _listen_srt(self, house: "House", keys: "SrtKeyTable") -> dict[str, int]:
        from fastpix_server.ingest.srt import SrtServer, SrtUnavailable

        settings = self._platform.settings
        if not settings.ingest.srt_port:
            return {}
        server = SrtServer(house, keys, house.play)
        try:
            port = await server.start(settings.http.host, settings.ingest.srt_port)
        except (SrtUnavailable, OSError, RuntimeError) as fault:
            _log.warning("listener_off", protocol="srt", port=settings.ingest.srt_port, error=str(fault))
            return {}
        self._closing.push_async_callback(server.close)
        return {"srt": port}


def _tls(settings: Settings) -> ssl.SSLContext:
    """The operator's certificate, or one of our own, made at the first start."""
    from fastpix_server.ingest import certificate

    if settings.ingest.tls_cert:
        return certificate.server_context(Path(settings.ingest.tls_cert), Path(settings.ingest.tls_key))
    names = sorted({"localhost", "127.0.0.1", settings.http.host} - {"0.0.0.0", "::"})  # noqa: S104
    return certificate.server_context(*certificate.ensure_self_signed(settings.data_dir / "tls", names))


async def _serve(start: Callable[[int], Awaitable[tuple[T, int]]], settings: Settings) -> tuple[T, int]:
    """On the port that is set, or on the one that we had before, or on any.

    The same port after a restart says that the process before is dead, so that its sessions go on at once.
    """
    if settings.ingest.origin_port:
        return await start(settings.ingest.origin_port)
    kept = settings.data_dir / _PORT_FILE
    try:
        return await start(int(kept.read_text()))
    except (OSError, ValueError, OverflowError):
        served, port = await start(0)
        kept.write_text(str(port))
        return served, port


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
