"""The edge as one ASGI application: playback, images, the player page, and whatever the other rooms mount here.

Invariant: everything a viewer can ask for is a route of this file's list; every other path is a 404 in the envelope.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from fastpix_server.edge import uploads, whip
from fastpix_server.edge.beacon_script import BeaconScript
from fastpix_server.edge.beacons import Beacons
from fastpix_server.edge.context import EdgeContext
from fastpix_server.edge.delivery import Delivery
from fastpix_server.edge.downloads import Downloads
from fastpix_server.edge.errors import on_exception
from fastpix_server.edge.images import Images
from fastpix_server.edge.licences import Licences
from fastpix_server.edge.manifests import Manifests
from fastpix_server.edge.player import Player
from fastpix_server.edge.playlists import Playlists
from fastpix_server.edge.segments import Segments
from fastpix_server.edge.sheets import Sheets
from fastpix_server.edge.texts import Texts


def create_edge(context: EdgeContext) -> Starlette:
    """Call it before `context.listener.start()`: the edge listens for changes and for what was made."""
    delivery = Delivery(context)
    app = Starlette(
        routes=[
            *Segments(delivery).routes(),
            *Manifests(delivery).routes(),
            *Images(delivery).routes(),
            *Licences(delivery).routes(),
            *Sheets(delivery).routes(),
            *Texts(delivery).routes(),
            *Downloads(delivery).routes(),
            *BeaconScript(delivery).routes(),
            *Playlists(delivery).routes(),
            *Player(context).routes(),
            *uploads.routes(context),
            *(whip.routes(context.whip) if context.whip is not None else ()),
            *(Beacons(context.intake, context.trusted_proxies).routes() if context.intake is not None else ()),
        ],
        exception_handlers={HTTPException: on_exception, Exception: on_exception},
    )
    app.router.redirect_slashes = False
    return app
