"""Our Python client, both of its kinds, over HTTP against a whole running platform: every operation that it has."""

import asyncio
import datetime
import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from tests import footage
from tests.running_platform import clean_environ
from tests.unit.client.conftest import Both

from fastpix import (
    AsyncFastPix,
    FastPix,
    errors,
    operations,
    playback_url,
    sign_playback_token,
    thumbnail_url,
    types,
)
from fastpix.operations import Operation


class Noting:
    """Remembers which operations a client asked for."""

    def __init__(self, both: Both) -> None:
        self.asked: set[str] = set()
        inner = both.client._api.http.ask

        def ask(asked: Any, options: Any) -> Any:
            self.asked.add(self._operation(asked).id)
            return inner(asked, options)

        both.client._api.http.ask = ask

    def _operation(self, asked: Any) -> Operation:
        parts = asked.path.split("/")
        fitting = [
            operation
            for operation in operations.known()
            if operation.method == asked.method and _fits(operation.path.split("/"), parts)
        ]
        # A literal path wins over one with places.
        return min(fitting, key=lambda operation: operation.path.count("{"))


def _fits(template: list[str], parts: list[str]) -> bool:
    return len(template) == len(parts) and all(
        t == p or t.startswith("{") for t, p in zip(template, parts, strict=True)
    )


@pytest.fixture(params=["sync", "async"])
async def both(request, platform):
    given = {"username": platform.username, "password": platform.password, "base_url": platform.base_url}
    if request.param == "sync":
        with FastPix(**given) as client:
            yield Both(client)
    else:
        async with AsyncFastPix(**given) as client:
            yield Both(client)


async def test_every_operation_of_the_server_answers_what_the_client_promises(both, platform):
    """Operations that the server has not learnt yet are left out here, and read from recorded answers in
    tests/unit/client; the moment it has one, it is asked for."""
    served = _served(platform)
    noting = Noting(both)
    media = await _media(both)
    await _playback(both, media)
    await _later(both, media, served)
    await _keys_and_tokens(both, media)
    await _live(both)
    await _data(both)
    assert (await both.call(both.client.media.delete, media_id=media.id)).message is None
    with pytest.raises(errors.NotFound) as caught:
        await both.call(both.client.media.get, media_id=media.id)
    assert caught.value.request_id
    assert noting.asked == served


def _served(platform: Any) -> set[str]:
    """The client's ids of what the server's document lists."""
    paths = httpx.get(f"{platform.base_url}/v1/openapi.json", timeout=60).json()["paths"]
    routed = {(method.upper(), _bare(path)) for path, methods in paths.items() for method in methods}
    known = {(operation.method, _bare(operation.path)): operation.id for operation in operations.known()}
    # A second spelling of one operation (contract section 11, number 10).
    return {known[one] for one in routed - {("PATCH", _bare(operations.UPDATE_SIMULCAST.path))}}


def _bare(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


async def _media(both: Both) -> types.Media:
    call, client = both.call, both.client
    forbidden = "http://10.1.2.3/v.mp4"  # refused at once, where an unreachable one is tried for a minute
    made = await call(client.media.create, url=forbidden, title="A film", metadata={"a": "b"})
    assert (made.status, made.inputs[0].url, made.metadata) == ("Created", forbidden, {"a": "b"})
    with pytest.raises(errors.MediaFailed, match="failed"):
        await call(client.media.wait_until_ready, media_id=made.id, timeout_s=120)
    await call(client.media.delete, media_id=made.id)
    waiting = await call(client.uploads.create, settings=types.Settings(title="never"))
    assert waiting.upload_id in [one.upload_id for one in await both.items(client.uploads.list(limit=50))]
    assert (await call(client.uploads.cancel, upload_id=waiting.upload_id)).status == "cancelled"
    seen: list[Any] = []
    content = footage.make("plain").read_bytes()
    done = await call(client.uploads.upload, footage.make("plain"), on_progress=seen.append)
    assert (done.size_bytes, done.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert seen[-1].fraction == 1
    media: types.Media = await call(client.media.wait_until_ready, media_id=done.media_id, timeout_s=120)
    assert media.duration == pytest.approx(8, abs=0.1)
    assert {track.type for track in media.tracks} == {"video", "audio"}
    assert media.created_at.tzinfo is not None
    changed = await call(client.media.update, media_id=media.id, title="New", metadata={"c": "d"})
    assert (changed.title, changed.metadata) == ("New", {"c": "d"})
    assert media.id in [one.id for one in await both.items(client.media.list(limit=1))]
    assert (await call(client.media.input_info, media_id=media.id)).file.container_format == "mp4"
    return media


async def _playback(both: Both, media: types.Media) -> None:
    call, ids = both.call, both.client.playback_ids
    restricted = types.AccessRestrictions(domains=types.Rules(default_policy="deny", allow=("a.example",)))
    made = await call(ids.create, media_id=media.id, access_restrictions=restricted, resolution="480p")
    assert (made.access_restrictions.domains.allow, made.resolution) == (("a.example",), "480p")
    assert [one.id for one in await call(ids.list, media_id=media.id)] == [media.playback_ids[0].id, made.id]
    assert (await call(ids.get, media_id=media.id, playback_id=made.id)).id == made.id
    await call(ids.delete, media_id=media.id, playback_id=made.id)
    configuration = (await both.items(both.client.drm_configurations.list()))[0]
    read = await call(both.client.drm_configurations.get, drm_configuration_id=configuration.id)
    assert read == configuration


async def _later(both: Both, media: types.Media, served: set[str]) -> None:
    """What the server learns one by one."""
    steps: dict[Operation, Callable[[Both, types.Media], Awaitable[None]]] = {
        operations.UPDATE_DOMAINS: _restrictions,
        operations.CREATE_PLAYLIST: _playlists,
        operations.CREATE_TRACK: _tracks,
        operations.UPDATE_SOURCE_ACCESS: _files,
        operations.LIST_MEDIA_CLIPS: _clips,
        operations.GET_STORAGE: _storage,
        operations.CREATE_WEBHOOK: _webhooks,
    }
    for operation, step in steps.items():
        if operation.id in served:
            await step(both, media)


async def _restrictions(both: Both, media: types.Media) -> None:
    one = {"media_id": media.id, "playback_id": media.playback_ids[0].id}
    ids = both.client.playback_ids
    assert (await both.call(ids.update_domains, **one, default_policy="deny", allow=["a.example"])).allow == (
        "a.example",
    )
    assert (await both.call(ids.update_domains, **one)).default_policy == "allow"
    assert (await both.call(ids.update_user_agents, **one, deny=["curl"])).deny == ("curl",)


async def _playlists(both: Both, media: types.Media) -> None:
    call, lists = both.call, both.client.playlists
    made = await call(lists.create, name="n", reference_id=uuid.uuid4().hex)
    one = {"playlist_id": made.id}
    assert (made.type, made.media_count) == ("manual", 0)
    with pytest.raises(errors.Conflict):
        await call(lists.create, name="n", reference_id=made.reference_id)
    assert made.id in [item.id for item in await both.items(lists.list(limit=50))]
    filled = await call(lists.add_media, **one, media_ids=[media.id])
    assert [item.id for item in filled.media_list] == [media.id]
    assert (await call(lists.reorder_media, **one, media_ids=[media.id])).media_count == 1
    assert (await call(lists.update, **one, name="m", description="d")).description == "d"
    assert (await call(lists.remove_media, **one, media_ids=[media.id])).media_count == 0
    assert (await call(lists.get, **one)).name == "m"
    await call(lists.delete, **one)
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    rules = types.SmartRules(created_date=types.DateRange(start_date=day, end_date=day))
    smart = await call(
        lists.create,
        name="s",
        reference_id=uuid.uuid4().hex,
        type="smart",
        play_order="createdDate DESC",
        metadata=rules,
    )
    assert (smart.type, smart.play_order) == ("smart", "createdDate DESC")
    await call(lists.delete, playlist_id=smart.id)


async def _tracks(both: Both, media: types.Media) -> None:
    call, tracks = both.call, both.client.tracks
    language = {"language_code": "de", "language_name": uuid.uuid4().hex}
    made = await call(tracks.create, media_id=media.id, url="http://10.1.2.3/s.srt", type="subtitle", **language)
    one = {"media_id": media.id, "track_id": made.id}
    assert made.type == "subtitle"
    with pytest.raises(errors.BadRequest):
        await call(tracks.create, media_id=media.id, url="http://10.1.2.3/s.srt", type="subtitle", **language)
    renamed = await call(tracks.update, **one, language_code="de", language_name=uuid.uuid4().hex)
    assert renamed.id == made.id
    await call(tracks.delete, **one)


async def _files(both: Both, media: types.Media) -> None:
    call, client = both.call, both.client
    changed = await call(client.media.update_source_access, media_id=media.id, source_access=True)
    assert changed.source_access is True
    wanted = await call(client.media.update_mp4_support, media_id=media.id, mp4_support="audioOnly")
    assert [file.type for file in wanted.mp4_support] == ["audioOnly"]


async def _clips(both: Both, media: types.Media) -> None:
    assert await both.items(both.client.media.list_clips(media_id=media.id)) == []


async def _storage(both: Both, media: types.Media) -> None:
    found = await both.call(both.client.workspace.storage, limit=50)
    assert found.total_bytes >= sum(one.total_bytes for one in found.media)


class _Receiver(BaseHTTPRequestHandler):
    """Takes whatever a webhook sends."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *said: object) -> None:
        pass


async def _webhooks(both: Both, media: types.Media) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        try:
            await _webhook(both, f"http://127.0.0.1:{receiver.server_port}/hook")
        finally:
            receiver.shutdown()


async def _webhook(both: Both, url: str) -> None:
    call, hooks = both.call, both.client.webhooks
    made = await call(hooks.create, url=url, name="mine")
    one = {"webhook_id": made.id}
    async with asyncio.timeout(60):
        while (await call(hooks.get, **one)).status != "active":  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    assert made.signing_secret
    assert made.id in [hook.id for hook in await both.items(hooks.list(limit=50))]
    assert (await call(hooks.get, **one)).signing_secret is None
    assert (await call(hooks.update, **one, name="other")).name == "other"
    changed = await call(hooks.rotate_secret, **one, grace_seconds=60)
    assert changed.signing_secret not in (None, made.signing_secret)
    tried = await call(hooks.test, **one)
    sent = {**one, "delivery_id": tried.id}
    assert (await call(hooks.get_delivery, **sent)).event_id == tried.event_id
    assert tried.id in [delivery.id for delivery in await both.items(hooks.list_deliveries(**one))]
    assert (await call(hooks.replay_delivery, **sent)).event_id == tried.event_id
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
    assert (await call(hooks.replay, **one, since=since)).events >= 0
    await call(hooks.delete, **one)


async def _keys_and_tokens(both: Both, media: types.Media) -> None:
    call, client = both.call, both.client
    key = await call(client.signing_keys.create)
    private = await call(client.playback_ids.create, media_id=media.id, access_policy="private")
    await _opens_with_a_token_alone(key, private.id, client.base_url)
    assert key.id in [one.id for one in await both.items(client.signing_keys.list())]
    read = await call(client.signing_keys.get, signing_key_id=key.id)
    assert read.public_key.startswith("-----BEGIN PUBLIC KEY-----")
    assert (await call(client.signing_keys.delete, signing_key_id=key.id)).message
    assert (await call(client.workspace.get)).workspace_key
    token = await call(client.access_tokens.create, name="ci", permissions=["video:read"])
    http = {"username": token.id, "password": token.secret_key, "base_url": client.base_url}
    with FastPix(**http) as narrow, pytest.raises(errors.Forbidden, match="video:write"):
        narrow.media.delete(media_id=media.id)
    assert token.id in [one.id for one in await both.items(client.access_tokens.list(limit=50))]
    assert (await call(client.access_tokens.get, access_token_id=token.id)).permissions == ("video:read",)
    await call(client.access_tokens.delete, access_token_id=token.id)
    with pytest.raises(errors.NotFound):
        await call(client.access_tokens.get, access_token_id=token.id)


async def _opens_with_a_token_alone(key: types.NewSigningKey, playback_id: str, base_url: str) -> None:
    token = sign_playback_token(signing_key_id=key.id, private_key=key.private_key, playback_id=playback_id)
    async with httpx.AsyncClient() as http:
        assert (await http.get(playback_url(playback_id, base_url=base_url))).status_code == 401
        playlist = await http.get(playback_url(playback_id, base_url=base_url, token=token, max_resolution="720p"))
        assert playlist.text.startswith("#EXTM3U")
        picture = await http.get(thumbnail_url(playback_id, base_url=base_url, token=token, width=160))
        assert picture.content[:2] == b"\xff\xd8"


async def _live(both: Both) -> None:
    call, live, ids = both.call, both.client.live_streams, both.client.live_streams.playback_ids
    made = await call(live.create, access_policy="private", reconnect_window=90, metadata={"a": "b"})
    stream = {"stream_id": made.stream_id}
    assert (made.status, made.reconnect_window, made.metadata) == ("idle", 90, {"a": "b"})
    assert made.srt_playback_response is not None
    assert (await call(live.get, **stream)).stream_key == made.stream_key
    assert made.stream_id in [one.stream_id for one in await both.items(live.list(limit=50))]
    assert (await call(live.update, **stream, reconnect_window=120)).reconnect_window == 120
    assert (await call(live.viewer_count, **stream)).views == 0
    assert (await call(live.health, **stream)).is_publishing is False
    assert await both.items(live.list_clips(**stream)) == []
    with pytest.raises(errors.BadRequest, match="Only active streams"):
        await call(live.finish, **stream)
    with pytest.raises(errors.WaitedTooLong, match="idle"):
        await call(live.wait_until_active, **stream, timeout_s=0.01)
    name = await call(ids.create, **stream)
    one = {**stream, "playback_id": name.id}
    assert (await call(ids.get, **one)).access_policy == "public"
    rules = await call(ids.update_domains, **one, default_policy="deny", allow=["a.example"])
    assert (rules.default_policy, rules.allow) == ("deny", ("a.example",))
    assert (await call(ids.update_user_agents, **one, deny=["curl"])).deny == ("curl",)
    await call(ids.delete, **one)
    pushes = both.client.simulcasts
    target = await call(pushes.create, **stream, url="rtmp://push.example/app", stream_key="k", metadata={"n": "1"})
    other = {**stream, "simulcast_id": target.simulcast_id}
    assert (await call(pushes.get, **other)).metadata == {"n": "1"}
    assert (await call(pushes.update, **other, is_enabled=False)).is_enabled is False
    await call(pushes.delete, **other)
    await call(live.disable, **stream)
    await call(live.enable, **stream)
    await call(live.delete, **stream)


async def _data(both: Both) -> None:
    call, data = both.call, both.client.data
    now = datetime.datetime.now(datetime.UTC)
    span: Any = {"timespan": (now - datetime.timedelta(days=1), now), "filter_by": ["country:DE"]}
    assert await both.items(data.views.list(**span, order_by="view_end", sort_order="desc")) == []
    with pytest.raises(errors.NotFound, match="View not found"):
        await call(data.views.get, view_id=str(uuid.uuid4()))
    assert await call(data.views.top_content, **span) == ()
    assert (await call(data.views.export, **span)).count(b"\n") == 1
    assert "country" in await call(data.dimensions.list)
    assert await call(data.dimensions.values, dimension="country", **span) == ()
    assert (await call(data.metrics.overall, metric="views", **span)).total_views == 0
    assert await both.items(data.metrics.breakdown(metric="views", group_by="country", **span)) == []
    series = await call(data.metrics.timeseries, metric="views", group_by="hour", timespan="24:hours")
    assert (series.granularity, series.from_ms < series.to_ms) == ("hour", True)
    tree = await call(data.metrics.comparison, **span)
    assert tree[0].items[0].name == "Unique Viewers"
    assert (await call(data.errors.list, **span, limit=5)).top_errors == ()
    assert (await call(data.realtime.get, minutes=5)).concurrent_viewers == 0
    assert isinstance(await call(data.realtime.timeseries), tuple)
    assert await call(data.realtime.by_dimension, dimension="country") == ()
    made = await call(data.alerts.create, name="late", metric="video_startup_time", threshold=2000)
    assert made.id in [alert.id for alert in await both.items(data.alerts.list(limit=50))]
    assert (await call(data.alerts.get, alert_id=made.id)).condition == "above"
    assert (await call(data.alerts.update, alert_id=made.id, is_enabled=False)).is_enabled is False
    await call(data.alerts.delete, alert_id=made.id)


async def test_wrong_credentials_and_bad_fields_say_what_is_wrong(both, platform):
    stranger = FastPix(username=platform.username, password="wrong", base_url=platform.base_url)
    with stranger, pytest.raises(errors.Unauthorized, match="401"):
        stranger.media.get(media_id=str(uuid.uuid4()))
    with pytest.raises(errors.Invalid) as caught:
        await both.call(both.client.live_streams.create, reconnect_window=10)
    assert caught.value.fields == (("inputMediaSettings.reconnectWindow", "must be between 60 and 1800"),)
    raw = await both.call(both.client.raw, both.client.workspace.get)
    assert (raw.status, raw.value.name, raw.request_id is None) == (200, raw.value.name, False)


async def test_a_repeated_request_with_the_same_key_is_done_once(both, platform):
    again = both.client.with_options(idempotency_key=str(uuid.uuid4()))
    made = [await both.call(again.live_streams.create) for _ in range(2)]
    assert made[0].stream_id == made[1].stream_id
    await both.call(both.client.live_streams.delete, stream_id=made[0].stream_id)


SENDER = textwrap.dedent(
    """
    import sys
    from fastpix import FastPix

    def show(progress):
        if progress.sent_bytes == progress.confirmed_bytes:
            print(progress.confirmed_bytes, flush=True)
            sys.stdin.readline()

    with FastPix() as client:
        client.uploads.upload(sys.argv[1], state_file=sys.argv[2], chunk_bytes=262144, on_progress=show)
    """
)


def test_an_upload_killed_half_way_goes_on_in_a_new_process(platform, tmp_path):
    file, state = footage.bigbuckbunny(), tmp_path / "state"
    environ = clean_environ(
        FASTPIX_USERNAME=platform.username, FASTPIX_PASSWORD=platform.password, FASTPIX_BASE_URL=platform.base_url
    )
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, str(file), str(state)],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert sender.stdout is not None
    assert sender.stdin is not None
    half = file.stat().st_size // 2
    while (confirmed := int(sender.stdout.readline())) < half:
        sender.stdin.write(b"\n")
        sender.stdin.flush()
    os.kill(sender.pid, signal.SIGKILL)
    sender.wait(30)
    with FastPix(username=platform.username, password=platform.password, base_url=platform.base_url) as client:
        done = client.uploads.upload(file, state_file=state)
        assert (done.resumed_from_bytes, half <= confirmed < done.size_bytes) == (confirmed, True)
        assert done.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        media = client.media.wait_until_ready(media_id=done.media_id, timeout_s=120)
        assert media.duration == pytest.approx(5.3, abs=0.2)
        client.media.delete(media_id=media.id)
    assert not state.exists()
