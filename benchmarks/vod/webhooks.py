"""Webhooks: signed deliveries a second to receivers that answer at once, and how soon an event arrives when idle.

The platform is whole; events are told into its outbox as a change would, so that the moment of their commit is known,
and its worker carries them to receivers on loopback in this process. Compared with what a process does that only signs
and sends: as many at once, a connection for each, no rows.
"""

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import hmac
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor

import aiohttp
import httpx
from aiohttp import web

from benchmarks.running import Running
from benchmarks.table import Row
from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.base import ids
from fastpix_server.db.pool import Database
from fastpix_server.outbox import events

EVENTS = 500
IDLE_EVENTS = 40
IDLE_PAUSE_S = 0.25
AT_ONCE = 4  # as the courier's bound for one endpoint
WITHIN_S = 120
_DATA = {"id": "", "status": "Ready", "title": "t" * 200, "metadata": {"key": "v" * 200}}


def rows(running: Running) -> list[Row]:
    return asyncio.run(_rows(running))


@dataclasses.dataclass(slots=True, eq=False)
class _Receiver:
    url: str = ""
    secret: bytes = b""
    arrived_s: dict[str, float] = dataclasses.field(default_factory=dict)
    arrival: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if raw != b"{}":
            now = time.perf_counter()
            signature = base64.b64encode(hmac.digest(self.secret, raw, hashlib.sha256)).decode()
            assert not self.secret or hmac.compare_digest(signature, request.headers.get("FastPix-Signature", ""))
            self.arrived_s.setdefault(raw.partition(b'"id":"m')[2].partition(b'"')[0].decode(), now)
            self.arrival.set()
        return web.Response()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while len(self.arrived_s) < count:
                self.arrival.clear()
                await self.arrival.wait()


@contextlib.asynccontextmanager
async def _receiving() -> AsyncIterator[_Receiver]:
    made = _Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


async def _rows(running: Running) -> list[Row]:
    db = await Database.open(EmbeddedPostgres(running.data_dir / "postgres").url(), size=2)
    out: list[Row] = []
    try:
        async with contextlib.AsyncExitStack() as stack:
            receivers = [await stack.enter_async_context(_receiving()) for _ in range(4)]
            async with httpx.AsyncClient(base_url=running.base_url, auth=running.auth, timeout=30) as api:
                workspace_id = await _begin_to_hear(api, receivers[0])
                out.append(await _idle(db, workspace_id, receivers[0]))
                out.append(await _burst(db, workspace_id, receivers[:1]))
                for receiver in receivers[1:]:
                    await _begin_to_hear(api, receiver)
                out.append(await _burst(db, workspace_id, receivers))
    finally:
        await db.close()
    return out


async def _begin_to_hear(api: httpx.AsyncClient, receiver: _Receiver) -> str:
    """The workspace. Returns when the probe was answered."""
    made = (await api.post("/v1/webhooks", json={"url": receiver.url})).raise_for_status().json()["data"]
    receiver.secret = base64.b64decode(made["signingSecret"])
    async with asyncio.timeout(WITHIN_S):
        while made["status"] != "active":
            await asyncio.sleep(0.1)
            made = (await api.get(f"/v1/webhooks/{made['id']}")).raise_for_status().json()["data"]
    workspace = (await api.get("/v1/iam/workspace")).raise_for_status().json()["data"]
    return str(workspace["workspaceId"])


async def _tell(db: Database, workspace_id: str, names: list[str]) -> float:
    """One transaction; the moment of its commit."""
    async with db.unit() as tx:
        for name in names:
            await events.emit(
                tx,
                workspace_id=workspace_id,
                type="video.media.updated",
                object_type="media",
                object_id=ids.new_uuid(),
                status="media_updated",
                data={**_DATA, "id": f"m{name}"},
            )
    return time.perf_counter()


async def _idle(db: Database, workspace_id: str, receiver: _Receiver) -> Row:
    taken_s = []
    for k in range(IDLE_EVENTS):
        told_s = await _tell(db, workspace_id, [f"idle{k}"])
        receiver.arrived_s.clear()
        await receiver.wait_for(1)
        taken_s.append(receiver.arrived_s[f"idle{k}"] - told_s)
        await asyncio.sleep(IDLE_PAUSE_S)
    p95_s = statistics.quantiles(taken_s, n=100, method="inclusive")[94]
    return Row(
        "webhook: commit of the event to its arrival, idle, p50 / p95",
        f"{1000 * statistics.median(taken_s):.0f} / {1000 * p95_s:.0f} ms",
    )


async def _burst(db: Database, workspace_id: str, receivers: list[_Receiver]) -> Row:
    for receiver in receivers:
        receiver.arrived_s.clear()
    told_s = await _tell(db, workspace_id, [f"burst{k}" for k in range(EVENTS)])
    for receiver in receivers:
        await receiver.wait_for(EVENTS)
    taken_s = max(max(receiver.arrived_s.values()) for receiver in receivers) - told_s
    plain_s = await _plain_burst(receivers)
    count = EVENTS * len(receivers)
    return Row(
        f"webhook: {EVENTS} events told at once, {len(receivers)} endpoint{'s' * (len(receivers) > 1)}",
        f"{count / taken_s:.0f} deliveries per s",
        f"only signing and sending {count / plain_s:.0f} per s",
        plain_s / taken_s,
    )


async def _plain_burst(receivers: list[_Receiver]) -> float:
    """From a process of its own, as the worker is."""
    for receiver in receivers:
        receiver.secret = b""
    loop = asyncio.get_running_loop()
    urls = [receiver.url for receiver in receivers]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return await loop.run_in_executor(pool, _send_plainly, urls)


def _send_plainly(urls: list[str]) -> float:
    return asyncio.run(_send_all(urls))


async def _send_all(urls: list[str]) -> float:
    begin = time.perf_counter()
    await asyncio.gather(*(_send_some(url, EVENTS // AT_ONCE) for url in urls for _ in range(AT_ONCE)))
    return time.perf_counter() - begin


async def _send_some(url: str, count: int) -> None:
    body = b"x" * 900  # about an event
    for _ in range(count):
        signature = base64.b64encode(hmac.digest(b"k" * 32, body, hashlib.sha256)).decode()
        async with (
            aiohttp.ClientSession() as client,
            client.post(url, data=body, headers={"FastPix-Signature": signature}) as answer,
        ):
            assert answer.status == 200
