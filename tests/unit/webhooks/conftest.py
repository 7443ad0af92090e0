"""Real receivers, a courier that a test steps or runs, and an outbox to tell events in."""

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import hmac
import ipaddress
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import text
from tests.playing import MASTER

from fastpix_server.access import service as access
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.outbox import events
from fastpix_server.webhooks import service
from fastpix_server.webhooks.courier import Courier
from fastpix_server.webhooks.model import Delivery, Endpoint
from fastpix_server.webhooks.schemas import NewWebhook

LOOPBACK = AddressPolicy((ipaddress.ip_network("127.0.0.0/8"),))
PATIENCE_S = 60  # for conditions; an idle machine needs none of it

Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclasses.dataclass
class Taken:
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))

    def is_signed_by(self, secret: str, header: str = "FastPix-Signature") -> bool:
        """As a receiver would check it, with nothing of ours."""
        expected = hmac.new(base64.b64decode(secret), self.raw, hashlib.sha256).digest()
        return hmac.compare_digest(base64.b64encode(expected).decode(), self.headers.get(header, ""))


@dataclasses.dataclass
class Receiver:
    """`answers` are for the next deliveries, then everything is 204. Probes are counted apart and answered `probe`."""

    url: str = ""
    probe: int = 204
    probe_waits: asyncio.Event | None = None
    probes: list[Taken] = dataclasses.field(default_factory=list)
    answers: list[int | Answer] = dataclasses.field(default_factory=list)
    taken: list[Taken] = dataclasses.field(default_factory=list)
    started: list[str] = dataclasses.field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        taken = Taken(dict(request.headers), raw)
        if raw == b"{}":
            self.probes.append(taken)
            if self.probe_waits is not None:
                await self.probe_waits.wait()
            return web.Response(status=self.probe)
        self.started.append(taken.body["id"])
        answer = self.answers.pop(0) if self.answers else 204
        response = web.Response(status=answer) if isinstance(answer, int) else await answer(request, raw)
        self.taken.append(taken)
        return response

    @property
    def ids(self) -> list[str]:
        return [one.body["id"] for one in self.taken]


@contextlib.asynccontextmanager
async def receiving(host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    made.url = f"http://{host}:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def name_of(tx: Any, workspace_id: str) -> str:
    return (await access.get_workspace(tx, workspace_id)).name


@dataclasses.dataclass
class Stage:
    """One workspace; `step()` is all that is due, done."""

    db: Database
    policy: AddressPolicy
    courier: Courier
    workspace_id: str

    def another_courier(self, listener: Listener | None = None, **options: Any) -> Courier:
        return Courier(self.db, listener or Listener(self.db.url), self.policy, name_of, **options)

    async def endpoint(self, url: str, *, is_active: bool = True, **asked: Any) -> tuple[Endpoint, str]:
        """Active without a probe, unless told otherwise."""
        async with self.db.unit() as tx:
            made, secret = await service.create(tx, self.workspace_id, NewWebhook(url=url, **asked))
            if is_active:
                await tx.execute(text("update webhook_endpoints set status = 'active' where id = :id"), {"id": made.id})
        return made, secret

    async def tell(self, object_id: str = "m", type: str = "video.media.updated", **data: Any) -> str:
        async with self.db.unit() as tx:
            return await events.emit(
                tx,
                workspace_id=self.workspace_id,
                type=type,
                object_type="media",
                object_id=object_id,
                status="media_updated",
                data={"id": object_id, **data},
            )

    async def step(self) -> None:
        await self.courier.step()
        await self.courier.settled()

    async def step_until_quiet(self) -> None:
        """Due work, and what it makes due."""
        while True:
            before = await self._settled_tries()
            await self.step()
            if await self._settled_tries() == before:
                return

    async def _settled_tries(self) -> Any:
        return await self.one("select sum(jsonb_array_length(attempts)) from webhook_deliveries")

    async def one(self, query: str, **values: Any) -> Any:
        async with self.db.unit() as tx:
            return (await tx.execute(text(query), values)).scalar()

    async def run(self, statement: str, **values: Any) -> None:
        async with self.db.unit() as tx:
            await tx.execute(text(statement), values)

    async def make_due(self) -> None:
        """Time passes: whatever waits for its retry has waited long enough, and leases are over."""
        await self.run(
            "update webhook_deliveries set next_at = now() - interval '1 s',"
            " leased_until = case when leased_until is null then null else now() - interval '1 s' end"
            " where state = 'pending'"
        )

    async def deliveries(self, endpoint_id: str) -> list[Delivery]:
        """Oldest first."""
        async with self.db.unit() as tx:
            found, _ = await service.list_deliveries(
                tx, self.workspace_id, endpoint_id, state=None, limit=1000, offset=1
            )
        return found[::-1]

    async def get(self, endpoint_id: str) -> Endpoint:
        async with self.db.unit() as tx:
            return await service.get(tx, self.workspace_id, endpoint_id)


@contextlib.asynccontextmanager
async def staging(url: str, policy: AddressPolicy = LOOPBACK) -> AsyncIterator[Stage]:
    service.configure(MASTER)
    db = await Database.open(url, size=6)
    async with db.unit() as tx:
        workspace = await access.create_workspace(tx, name="Development", id=str(uuid.uuid4()))
    yield Stage(db, policy, Courier(db, Listener(url), policy, name_of), workspace.id)
    async with db.unit() as tx:  # the next test of the module shares the database
        await tx.execute(text("delete from webhook_endpoints where workspace_id = :id"), {"id": workspace.id})
    await db.close()


@pytest.fixture
async def stage(module_database_url: str) -> AsyncIterator[Stage]:
    async with staging(module_database_url) as made:
        yield made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - other tasks and processes change it
            await asyncio.sleep(0.02)
