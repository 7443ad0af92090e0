"""WHIP through an edge to one of several ingest processes: what they say arrives unchanged."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import aiohttp
import httpx
import pytest
from aiohttp import web
from starlette.applications import Starlette
from tests.running_platform import free_port
from tests.unit.ingest import offers
from tests.whip_stage import Door, serving

from fastpix_server.edge import whip as whip_routes
from fastpix_server.edge.whip_hop import Ingest, RemoteWhip, origin_routes
from fastpix_server.ingest.model import Refused
from fastpix_server.ingest.whip import Whip

SDP = {"content-type": "application/sdp"}


class Known:
    def __init__(self, *ingests: Ingest) -> None:
        self.ingests = ingests

    async def living(self) -> Sequence[Ingest]:
        return self.ingests

    def headers(self) -> Mapping[str, str]:
        return {"x-edge": "proven"}


@contextlib.asynccontextmanager
async def origin(name: str, **options: int) -> AsyncIterator[tuple[Ingest, Door]]:
    door = Door({"key": None, "off": Refused("disabled"), "taken": Refused("already_publishing")})
    whip = Whip(door, **options)

    @web.middleware
    async def proven(request: web.Request, handler):  # type: ignore[no-untyped-def]
        assert request.headers["x-edge"] == "proven"
        return await handler(request)

    app = web.Application(middlewares=[proven])
    app.add_routes(origin_routes(whip))
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield Ingest(name, f"http://127.0.0.1:{port}"), door
    finally:
        await whip.close()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def edge(*ingests: Ingest) -> AsyncIterator[httpx.AsyncClient]:
    async with aiohttp.ClientSession() as client:
        app = Starlette(routes=whip_routes.routes(RemoteWhip(client, Known(*ingests))))
        async with serving(app) as base, httpx.AsyncClient(base_url=base) as browser:
            yield browser


async def test_a_session_begins_and_ends_through_the_edge() -> None:
    async with origin("one") as (ingest, door), edge(ingest) as browser:
        answer = await browser.post("/whip/key", content=offers.browser(), headers=SDP)
        assert answer.status_code == 201
        assert "a=candidate" in answer.text
        assert answer.headers["location"].startswith("/whip/session/one.")
        assert door.requests[0].stream_key == "key"
        assert door.requests[0].peer == "127.0.0.1"
        assert (await browser.delete(answer.headers["location"])).status_code == 200
        assert door.sinks[0].ends == ["unpublish"]
        assert (await browser.delete(answer.headers["location"])).status_code == 404
        assert (await browser.delete("/whip/session/other.1234")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/whip/nobody", offers.browser(), 404),
        ("/whip/off", offers.browser(), 403),
        ("/whip/taken", offers.browser(), 409),
        ("/whip/key", "m=video", 400),
        ("/whip/key", offers.HEAD + offers.video(offers.VP8), 422),
    ],
)
async def test_refusals_arrive_as_they_are(path: str, body: str, status: int) -> None:
    async with origin("one") as (ingest, _door), edge(ingest) as browser:
        assert (await browser.post(path, content=body, headers=SDP)).status_code == status


async def test_a_dead_or_full_process_is_passed_over() -> None:
    dead = Ingest("dead", f"http://127.0.0.1:{free_port()}")
    async with (
        origin("full", max_sessions=0) as (full, _),
        origin("free") as (free, door),
        edge(dead, full, free) as browser,
    ):
        answer = await browser.post("/whip/key", content=offers.browser(), headers=SDP)
        assert answer.status_code == 201
        assert len(door.sinks) == 1


async def test_without_any_process_the_answer_says_come_back() -> None:
    async with edge() as browser:
        answer = await browser.post("/whip/key", content=offers.browser(), headers=SDP)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


async def test_ending_a_session_of_a_process_that_does_not_answer_is_no_success() -> None:
    async with edge(Ingest("dead", f"http://127.0.0.1:{free_port()}")) as browser:
        assert (await browser.delete("/whip/session/dead.12")).status_code == 503


async def test_an_origin_does_not_read_more_than_an_edge_would_send() -> None:
    async with origin("one") as (ingest, door), httpx.AsyncClient() as client:
        answer = await client.post(ingest.url + "/whip", content=b"[" * 400_000, headers={"x-edge": "proven"})
        assert answer.status_code == 400
        assert not door.requests
