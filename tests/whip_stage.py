"""WHIP without the rest of live: real HTTP, real WebRTC, and a sink that remembers what came out."""

import asyncio
import contextlib
import dataclasses
import re
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from fastpix_server.edge import whip as whip_routes
from fastpix_server.ingest.model import Kind, Publisher, PublishRequest, Refused, Sample, Sink, Track
from fastpix_server.ingest.whip import Whip

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "whip.md"
_PAGE = """<!doctype html><meta charset="utf-8"><title>publish</title><script>
%recipe%
window.state = {};
async function go(path, key) {
  try {
    window.session = await publish(new URL(path, location.href).href, key);
    state.isPublishing = true;
    session.peer.onconnectionstatechange = () => { state.connection = session.peer.connectionState; };
  } catch (error) { state.error = String(error); }
}
</script>"""


def page_of_the_guide() -> str:
    """A page with the recipe of the guide in it, word for word."""
    [recipe] = re.findall(r"```js\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return _PAGE.replace("%recipe%", recipe)


class Remembering:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.samples: list[Sample] = []
        self.ends: list[str] = []

    def on_track(self, track: Track) -> None:
        self.tracks.append(track)

    def on_sample(self, sample: Sample) -> None:
        assert any(track.kind == sample.kind for track in self.tracks)
        self.samples.append(sample)

    def on_end(self, reason: str) -> None:
        self.ends.append(reason)

    def of(self, kind: Kind) -> list[Sample]:
        return [sample for sample in self.samples if sample.kind == kind]


@dataclasses.dataclass
class Door:
    """Lets everybody with a known key in, one at a time."""

    answers: Mapping[str, Refused | None]
    sinks: list[Remembering] = dataclasses.field(default_factory=list)
    requests: list[PublishRequest] = dataclasses.field(default_factory=list)
    publishers: list[Publisher] = dataclasses.field(default_factory=list)

    async def __call__(self, request: PublishRequest, publisher: Publisher) -> Sink | Refused:
        self.requests.append(request)
        await asyncio.sleep(0)
        answer = self.answers.get(request.stream_key, Refused("unknown_key"))
        if answer is not None:
            return answer
        self.publishers.append(publisher)
        self.sinks.append(Remembering())
        return self.sinks[-1]


@dataclasses.dataclass
class Stage:
    whip: Whip
    door: Door
    base: str


@contextlib.asynccontextmanager
async def whip_stage(**options: object) -> AsyncIterator[Stage]:
    door = Door({"key": None, "off": Refused("disabled"), "taken": Refused("already_publishing")})
    whip = Whip(door, **options)  # type: ignore[arg-type]

    async def page(_request: object) -> HTMLResponse:
        return HTMLResponse(page_of_the_guide())

    app = Starlette(routes=[Route("/page", page), *whip_routes.routes(whip)])
    async with serving(app) as base:
        try:
            yield Stage(whip, door, base)
        finally:
            await whip.close()


@contextlib.asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGI)
    task = asyncio.create_task(server.serve())
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient() as client:
        for _ in range(200):
            with contextlib.suppress(httpx.TransportError):
                await client.get(base + "/nothing")
                break
            await asyncio.sleep(0.05)
    try:
        yield base
    finally:
        server.stop()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(task, 5)
