"""An ingest process in this process: a house and its origin server, for edges of tests/playing.py. Encoders by hand."""

import dataclasses
from collections.abc import Iterator

from aiohttp import web
from tests.live_samples import FakePublisher, Publication, feed, publication
from tests.live_streams import asks
from tests.playing import ORIGIN_KEY, Playing

from fastpix_server.access import service as access
from fastpix_server.db.notify import Listener
from fastpix_server.edge.origin import create_origin, serve
from fastpix_server.edge.origin_auth import OriginAuth
from fastpix_server.ingest.model import CLOCK_HZ, Refused, Sample, Sink
from fastpix_server.live import service
from fastpix_server.live.house import House
from fastpix_server.live.running import Running
from fastpix_server.live.schemas import CreateStream
from fastpix_server.live.streams import Stream
from fastpix_server.playback.model import PlaybackId


@dataclasses.dataclass
class OnAir:
    """A stream with an encoder, and the questions that its origin was asked."""

    house: House
    stream: Stream
    running: Running
    playback_id: PlaybackId
    sink: Sink
    origin: str
    asked: list[str]
    _rest: Iterator[Sample]

    @property
    def folder(self) -> str:
        """Where the files of an open id lie."""
        return f"/{self.playback_id.id}/{self.running.session.revision}"

    def send(self, seconds: float) -> None:
        """More of the publication, as fast as it is read."""
        begun: int | None = None
        for sample in self._rest:
            self.sink.on_sample(sample)
            begun = sample.dts if begun is None else begun
            if sample.dts - begun >= seconds * CLOCK_HZ:
                return


async def on_air(
    stage: Playing,
    *,
    workspace_id: str | None = None,
    seconds: float = 6,
    policy: str = "public",
    restrictions: dict[str, object] | None = None,
    **settings: object,
) -> OnAir:
    """A stream of which the first `seconds` were sent."""
    listener = Listener(stage.url)
    house = House(stage.db, listener, stage.storage.objects, make_push=None)  # type: ignore[arg-type] - no targets
    await listener.start()
    asked: list[str] = []

    @web.middleware
    async def remember(request, handler):  # type: ignore[no-untyped-def]
        asked.append(request.path_qs)
        return await handler(request)

    app = create_origin(house, OriginAuth(ORIGIN_KEY))
    app.middlewares.insert(0, remember)
    runner, port = await serve(app, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{port}"
    await house.start(origin)
    for end in (listener.close, house.close, runner.cleanup):
        stage._stack.push_async_callback(end)
    policies = {"accessPolicy": policy, "accessRestrictions": restrictions or {}}
    wanted = CreateStream.model_validate({"playbackSettings": policies, "inputMediaSettings": settings})
    async with stage.db.unit() as tx:
        owner = workspace_id or (await access.create_workspace(tx, name="On air")).id
        stream = await service.create(tx, owner, wanted)
        [playback_id] = await service.playback_ids(tx, stream)
    sink = await house(asks(stream), FakePublisher())
    assert not isinstance(sink, Refused), sink
    running = house.find_of_stream(stream.id)
    assert running is not None
    shown: Publication = publication(seconds=30)
    feed(sink, shown, ())
    made = OnAir(house, stream, running, playback_id, sink, origin, asked, iter(shown.samples))
    made.send(seconds)
    return made
