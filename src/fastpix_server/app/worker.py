"""The worker role: runs jobs, makes segments and delivers webhooks until it is told to stop.

Invariants: it yields the cores to the HTTP role (nice); SIGTERM lets running jobs end within the drain, puts the rest
back, and ends every ffmpeg (they die with us in any case).
"""

import asyncio
import contextlib
import os
import signal

from fastpix_server.app import children, wiring
from fastpix_server.app.settings import Settings
from fastpix_server.base import log
from fastpix_server.jobs.worker import Worker

_log = log.get(__name__)

# Below the HTTP role, above background encoding, which the engine nices further.
_NICE = 5
# Jobs and makers hold a connection only for short transactions.
_POOL_SIZE = 10


def run(settings: Settings) -> None:
    """Blocks until SIGTERM or SIGINT."""
    import uvloop

    os.nice(_NICE)
    _preload()
    children.until_told()
    uvloop.run(_run(settings))


def _preload() -> None:
    """What the registry of jobs will ask for: loaded while the database starts, not after."""
    import fastpix_server.live.clips
    import fastpix_server.media.jobs
    import fastpix_server.media.track_jobs
    import fastpix_server.playback.worker
    import fastpix_server.views.alerts.jobs
    import fastpix_server.webhooks.courier  # noqa: F401


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stopping.set)
    async with wiring.open_platform(settings, pool_size=_POOL_SIZE) as platform:
        maker = wiring.make_segment_maker(platform)
        registry = wiring.make_registry(platform, maker)
        queues = wiring.queues(settings)
        worker = Worker(platform.db.url, registry, queues)
        courier = wiring.make_courier(platform)
        await platform.listener.start()
        making = asyncio.create_task(maker.run(), name="segment-maker")
        carrying = asyncio.create_task(courier.run(), name="webhook-courier")
        working = asyncio.create_task(worker.run(), name="job-worker")
        waiting = asyncio.create_task(stopping.wait(), name="stop-signal")
        _log.info("worker_started", queues=dict(queues))
        await asyncio.wait({making, carrying, working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        worker.stop()
        making.cancel()
        carrying.cancel()
        waiting.cancel()
        # Whichever ended by itself ended wrongly: its error is raised here, and the supervisor starts us again.
        await working
        for task in (making, carrying):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        _log.info("worker_stopped")
