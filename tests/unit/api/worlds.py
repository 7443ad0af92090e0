"""Two workspaces with real objects, and how to ask each operation for a thing: what test_workspaces_apart.py tries.

**A new operation needs one entry in ASKS; a new kind of object one function in MAKERS.** In an Ask, `{kind}` stands for
the id of an object of that kind: in a path parameter, a query parameter, or anywhere in the body.
"""

import dataclasses
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from starlette.routing import BaseRoute
from tests.unit.api.conftest import VIDEO

from fastpix_server.access import service as access
from fastpix_server.access.model import NewToken
from fastpix_server.api.context import ApiContext
from fastpix_server.api.unit import UnitRoute
from fastpix_server.base import clock
from fastpix_server.db.pool import Database
from fastpix_server.media import storage_store
from fastpix_server.media.storage_store import Sizes

PLACE = re.compile(r"\{(\w+)\}")


@dataclasses.dataclass(frozen=True)
class Ask:
    """How the owner of the named objects asks, and is answered `status` (for an option that is refused yet: 422).

    `is_shown` is False for an answer that names none of the ids, even to their owner.
    `beside`: kinds that the question does not name and the answer shows.
    """

    path: Mapping[str, str] = dataclasses.field(default_factory=dict)
    query: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    body: Any = None
    status: int = 200
    is_shown: bool = True
    beside: tuple[str, ...] = ()

    @property
    def kinds(self) -> list[str]:
        """The kinds of objects that this asks for, each once, in order of appearance."""
        return list(dict.fromkeys(PLACE.findall(repr((self.path, self.query, self.body)))))


MEDIA = {"mediaId": "{media}"}
MEDIA_AND_TRACK = {**MEDIA, "trackId": "{track}"}
MEDIA_AND_NAME = {**MEDIA, "playbackId": "{playback_id}"}
STREAM = {"streamId": "{live_stream}"}
STREAM_AND_NAME = {**STREAM, "playbackId": "{live_playback_id}"}
STREAM_AND_SIMULCAST = {**STREAM, "simulcastId": "{simulcast}"}
LIVE_STREAM = {"playbackSettings": {"accessPolicy": "private"}, "inputMediaSettings": {}}
RULE = {"defaultPolicy": "deny", "allow": ["taken.example"], "deny": []}
SIMULCAST = {"url": "rtmp://push.example/app", "streamKey": "ours"}
TOKEN = {"name": "t", "permissions": ["system:write"]}
DRM = {"accessPolicy": "drm", "drmConfigurationId": "{drm_configuration}"}
WEBHOOK = {"webhookId": "{webhook}"}
WEBHOOK_AND_DELIVERY = {**WEBHOOK, "deliveryId": "{delivery}"}
ALERT = {"name": "ours", "metric": "playback_failure_percentage", "threshold": 0.1}
# Both ends are given, so that an answer is the same a second later.
LATELY = {"timespan[]": [str(int(time.time()) - 3600), str(int(time.time()) + 3600)]}
SEEN = {**LATELY, "filterby[]": ["viewer_id:{view}"]}
PLAYLIST = {"name": "ours", "referenceId": "ours", "type": "manual"}
EVER = {"startDate": "2020-01-01", "endDate": "2100-01-01"}
SMART = {**PLAYLIST, "referenceId": "smart", "type": "smart", "playOrder": "createdDate ASC"}
SMART = {**SMART, "metadata": {"createdDate": EVER}}
LISTED = {"playlistId": "{playlist}"}
TRACK = {"url": "https://example.com/a.vtt", "type": "subtitle", "languageCode": "en", "languageName": "English"}
UPLOAD = {"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public"}}

ASKS: dict[str, list[Ask]] = {
    "create-media": [
        Ask(body=VIDEO, status=201),
        Ask(body={"inputs": [{"type": "video", "url": "fp_mediaId://{media}"}]}, status=201),
        Ask(body={**VIDEO, **DRM}, status=201),
    ],
    "list-media": [Ask()],
    "get-media": [Ask(MEDIA), Ask({"mediaId": "{upload}"}, status=404)],
    "updated-media": [Ask(MEDIA, body={"title": "taken over"})],
    "delete-media": [Ask(MEDIA)],
    "get-media-clips": [Ask(MEDIA, is_shown=False)],
    "Add-media-track": [Ask(MEDIA, body={"tracks": TRACK}, status=201, is_shown=False)],
    "update-media-track": [Ask(MEDIA_AND_TRACK, body={"languageCode": "de", "languageName": "Deutsch"})],
    "delete-media-track": [Ask(MEDIA_AND_TRACK)],
    "updated-source-access": [Ask(MEDIA, body={"sourceAccess": True})],
    "updated-mp4Support": [Ask(MEDIA, body={"mp4Support": "capped_4k"})],
    "retrieveMediaInputInfo": [Ask(MEDIA, is_shown=False)],
    "direct-upload-video-media": [
        Ask(body=UPLOAD, status=201),
        Ask(body={**UPLOAD, "pushMediaSettings": DRM}, status=201),
    ],
    "list-uploads": [Ask()],
    "cancel-upload": [Ask({"uploadId": "{upload}"})],
    "create-media-playback-id": [
        Ask(MEDIA, body={"accessPolicy": "public"}, status=201),
        Ask(MEDIA, body=DRM, status=201),
    ],
    "list-playback-ids": [Ask(MEDIA, beside=("playback_id",))],
    "delete-media-playback-id": [Ask(MEDIA, query={"playbackId": "{playback_id}"})],
    "get-playback-id": [Ask(MEDIA_AND_NAME)],
    # A media that is not Ready yet.
    "update-domain-restrictions": [Ask(MEDIA_AND_NAME, body=RULE, status=400)],
    "update-user-agent-restrictions": [Ask(MEDIA_AND_NAME, body=RULE, status=400)],
    "create-a-playlist": [Ask(body=PLAYLIST, status=201), Ask(body=SMART, status=201, is_shown=False)],
    "get-all-playlists": [Ask()],
    "get-playlist-by-id": [Ask(LISTED)],
    "update-a-playlist": [Ask(LISTED, body={"name": "taken over", "description": ""})],
    "delete-a-playlist": [Ask(LISTED)],
    "add-media-to-playlist": [Ask(LISTED, body={"mediaIds": ["{media}"]}, status=422)],
    "change-media-order-in-playlist": [
        Ask(LISTED, body={"mediaIds": []}),
        Ask(LISTED, body={"mediaIds": ["{media}"]}, status=422),
    ],
    "delete-media-from-playlist": [Ask(LISTED, body={"mediaIds": ["{media}"]}, status=422)],
    "list-live-clips": [Ask({"livestreamId": "{live_stream}"}, is_shown=False)],
    "create-new-stream": [Ask(body=LIVE_STREAM, status=201)],
    "get-all-streams": [Ask()],
    "get-live-stream-by-id": [Ask(STREAM, beside=("live_playback_id", "simulcast"))],
    "update-live-stream": [Ask(STREAM, body={"metadata": {"taken": "over"}})],
    "delete-live-stream": [Ask(STREAM)],
    # A stream that is enabled already, and one that nobody publishes to.
    "enable-live-stream": [Ask(STREAM, status=400)],
    "disable-live-stream": [Ask(STREAM)],
    "complete-live-stream": [Ask(STREAM, status=400)],
    "get-live-stream-viewer-count-by-id": [Ask(STREAM, is_shown=False)],
    "get-live-stream-health": [Ask(STREAM, is_shown=False)],
    "create-playbackId-of-stream": [Ask(STREAM, body={"accessPolicy": "public"}, status=201)],
    "delete-playbackId-of-stream": [Ask(STREAM, query={"playbackId": "{live_playback_id}"})],
    "get-live-stream-playback-id": [Ask(STREAM_AND_NAME)],
    "update-live-stream-domain-restrictions": [Ask(STREAM_AND_NAME, body=RULE)],
    "update-live-stream-user-agent-restrictions": [Ask(STREAM_AND_NAME, body=RULE)],
    "create-simulcast-of-stream": [Ask(STREAM, body=SIMULCAST, status=201)],
    "get-specific-simulcast-of-stream": [Ask(STREAM_AND_SIMULCAST)],
    "update-specific-simulcast-of-stream": [Ask(STREAM_AND_SIMULCAST, body={"isEnabled": False})],
    "patch-specific-simulcast-of-stream": [Ask(STREAM_AND_SIMULCAST, body={"isEnabled": False})],
    "delete-simulcast-of-stream": [Ask(STREAM_AND_SIMULCAST)],
    "getDrmConfiguration": [Ask()],
    "getDrmConfigurationById": [Ask({"drmConfigurationId": "{drm_configuration}"})],
    "create-alert": [Ask(body=ALERT, status=201)],
    "list-alerts": [Ask()],
    "get-alert": [Ask({"alertId": "{alert}"})],
    "update-alert": [Ask({"alertId": "{alert}"}, body={"threshold": 0.5})],
    "delete-alert": [Ask({"alertId": "{alert}"})],
    "get-realtime": [Ask(is_shown=False)],
    "export-views": [Ask(query=SEEN, is_shown=False)],
    "list_video_views": [Ask(query=LATELY), Ask(query=SEEN), Ask(query={**LATELY, "viewerId": "{view}"})],
    "get_video_view_details": [Ask({"viewId": "{view}"})],
    "list_by_top_content": [Ask(query=LATELY), Ask(query=SEEN)],
    "current-views-timeseries": [Ask(is_shown=False)],
    "current-views-filter": [Ask(query={"dimension": "view_id"})],
    "list_dimensions": [Ask(is_shown=False)],
    "list_filter_values_for_dimension": [
        Ask({"dimensionsId": "viewer_id"}, query=LATELY),
        Ask({"dimensionsId": "video_title"}, query=SEEN),
    ],
    "list_errors": [Ask(query=LATELY), Ask(query=SEEN)],
    "list_comparison_values": [Ask(query={**LATELY, "dimension": "viewer_id", "value": "{view}"}, is_shown=False)],
    "list_breakdown_values": [
        Ask({"metricId": "views"}, query={**LATELY, "groupBy": "viewer_id"}),
        Ask({"metricId": "views"}, query={**SEEN, "groupBy": "video_title"}),
    ],
    "list_overall_values": [Ask({"metricId": "views"}, query=SEEN, is_shown=False)],
    "get_timeseries_data": [Ask({"metricId": "views"}, query=SEEN, is_shown=False)],
    "create-webhook": [Ask(body={"url": "https://hook.example/"}, status=201)],
    "list-webhooks": [Ask()],
    "get-webhook": [Ask(WEBHOOK)],
    "update-webhook": [Ask(WEBHOOK, body={"name": "taken over"})],
    "delete-webhook": [Ask(WEBHOOK)],
    "rotate-webhook-secret": [Ask(WEBHOOK, body={})],
    "test-webhook": [Ask(WEBHOOK, status=201)],
    "list-webhook-deliveries": [Ask(WEBHOOK, beside=("delivery",))],
    "get-webhook-delivery": [Ask(WEBHOOK_AND_DELIVERY)],
    "replay-webhook-delivery": [Ask(WEBHOOK_AND_DELIVERY)],
    "replay-webhook-events": [Ask(WEBHOOK, body={"from": "2020-01-01T00:00:00Z"})],
    "get-workspace": [Ask()],
    "get-storage": [Ask(beside=("media",))],
    "create-access-token": [Ask(body=TOKEN, status=201)],
    "list-access-tokens": [Ask()],
    "get-access-token": [Ask({"accessTokenId": "{access_token}"})],
    "delete-access-token": [Ask({"accessTokenId": "{access_token}"})],
    "create_signing_key": [Ask(status=201)],
    "list_signing_keys": [Ask()],
    "get-signing_key_by_id": [Ask({"signingKeyId": "{signing_key}"})],
    "delete_signing_key": [Ask({"signingKeyId": "{signing_key}"})],
}


@dataclasses.dataclass
class World:
    """A workspace, a token with every permission, and objects: `ids` by kind."""

    http: httpx.AsyncClient
    db: Database
    workspace_id: str
    token: NewToken
    video_data: Any = None
    ids: dict[str, str] = dataclasses.field(default_factory=dict)

    async def created(self, path: str, body: Any = None) -> dict[str, Any]:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["data"])

    async def id_of(self, kind: str) -> str:
        """Of the object of that kind, which is made when it is first asked for."""
        if kind not in self.ids:
            self.ids[kind] = await MAKERS[kind](self)
        return self.ids[kind]

    def secrets(self) -> set[str]:
        """What nobody else may see."""
        return {self.workspace_id, self.token.id, *self.ids.values()}


async def _media(world: World) -> str:
    media = await world.created("/on-demand", {**VIDEO, "title": "ours", "metadata": {"ours": "yes"}})
    async with world.db.unit() as tx:  # as if it had been counted
        await storage_store.save(tx, str(media["id"]), Sizes(1, 2, 3, 4), 5, clock.now())
    return str(media["id"])


async def _playback_id(world: World) -> str:
    made = await world.created(f"/on-demand/{await world.id_of('media')}/playback-ids", {"accessPolicy": "private"})
    return str(made["id"])


async def _playlist(world: World) -> str:
    return str((await world.created("/on-demand/playlists", {**PLAYLIST, "referenceId": "first"}))["id"])


async def _track(world: World) -> str:
    french = {**TRACK, "languageCode": "fr", "languageName": "Fran\u00e7ais"}
    return str((await world.created(f"/on-demand/{await world.id_of('media')}/tracks", {"tracks": french}))["id"])


async def _upload(world: World) -> str:
    return str((await world.created("/on-demand/upload", UPLOAD))["uploadId"])


async def _access_token(world: World) -> str:
    return str((await world.created("/iam/access-tokens", TOKEN))["id"])


async def _alert(world: World) -> str:
    return str((await world.created("/data/alerts", ALERT))["id"])


async def _webhook(world: World) -> str:
    """Active, as if its URL had answered."""
    made = str((await world.created("/webhooks", {"url": "https://hook.example/ours"}))["id"])
    async with world.db.unit() as tx:
        await tx.execute(text("update webhook_endpoints set status = 'active' where id = :id"), {"id": made})
    return made


async def _delivery(world: World) -> str:
    return str((await world.created(f"/webhooks/{await world.id_of('webhook')}/test"))["id"])


async def _signing_key(world: World) -> str:
    return str((await world.created("/iam/signing-keys"))["id"])


async def _live_stream(world: World) -> str:
    return str((await world.created("/live/streams", LIVE_STREAM))["streamId"])


async def _live_playback_id(world: World) -> str:
    stream = await world.id_of("live_stream")
    return str((await world.created(f"/live/streams/{stream}/playback-ids", {"accessPolicy": "private"}))["id"])


async def _simulcast(world: World) -> str:
    stream = await world.id_of("live_stream")
    return str((await world.created(f"/live/streams/{stream}/simulcast", SIMULCAST))["simulcastId"])


async def _drm_configuration(world: World) -> str:
    """Every workspace is born with one."""
    answer = await world.http.get("/on-demand/drm-configurations")
    return str(answer.json()["data"][0]["id"])


async def _view(world: World) -> str:
    """A view that goes on and is in trouble; whatever an answer shows of it is its id."""
    view_id = str(uuid.uuid4())
    told = {"given_viewer_id": view_id, "video_title": view_id, "error_message": view_id}
    world.video_data.watch(world.workspace_id, view_id, is_completed=False, has_error=True, **told)
    return view_id


MAKERS: dict[str, Callable[[World], Awaitable[str]]] = {
    "media": _media,
    "playback_id": _playback_id,
    "playlist": _playlist,
    "track": _track,
    "upload": _upload,
    "access_token": _access_token,
    "alert": _alert,
    "webhook": _webhook,
    "delivery": _delivery,
    "signing_key": _signing_key,
    "drm_configuration": _drm_configuration,
    "live_stream": _live_stream,
    "live_playback_id": _live_playback_id,
    "simulcast": _simulcast,
    "view": _view,
}


async def make_world(api: FastAPI, kinds: Iterable[str]) -> World:
    """With an object of each of these kinds."""
    context: ApiContext = api.state.context
    async with context.db.unit() as tx:
        workspace = await access.create_workspace(tx, name="A world")
        token = await access.create_token(tx, pepper=context.pepper, workspace_id=workspace.id, name="first")
    world = World(client_of(api, token), context.db, workspace.id, token, context.video_data)
    for kind in kinds:
        await world.id_of(kind)
    return world


def client_of(api: FastAPI, token: NewToken) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(api)
    return httpx.AsyncClient(transport=transport, base_url="http://test", auth=(token.id, token.secret))


def kinds_of(asks: Iterable[Ask]) -> list[str]:
    """What has to exist; for a question that names nothing, everything: none of it may be in the answer."""
    if any(not ask.kinds for ask in asks):
        return list(MAKERS)
    return list({kind for ask in asks for kind in (*ask.kinds, *ask.beside)})


def routes_of(router: FastAPI | APIRouter) -> Iterator[BaseRoute]:
    """Every route, also of included routers (which newer FastAPI keeps as they are, older ones copy)."""
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from routes_of(included)


def operations(api: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Operation id, method and path template of everything below /v1."""
    for route in routes_of(api):
        if isinstance(route, UnitRoute):
            for method in sorted(route.methods or ()):
                yield str(route.operation_id), method, route.path_format


def random_like(known: str) -> str:
    """An id of the same shape that belongs to nothing."""
    fresh = uuid.uuid4()
    return fresh.hex if re.fullmatch(r"[0-9a-f]{32}", known) else str(fresh)


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """`value` with ids in its places."""
    if isinstance(value, str):
        return PLACE.sub(lambda found: ids[found[1]], value)
    if isinstance(value, Mapping):
        return {key: filled(item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, ids) for item in value]
    return value


async def send(http: httpx.AsyncClient, method: str, template: str, ask: Ask, ids: Mapping[str, str]) -> httpx.Response:
    path = filled(template, filled(ask.path, ids))
    body = {} if ask.body is None else {"json": filled(ask.body, ids)}
    return await http.request(method, path, params=filled(ask.query, ids), **body)
