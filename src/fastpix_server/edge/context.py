"""What the edge needs to serve: handed over once by the app, the same for every request."""

import dataclasses
from collections.abc import Sequence

from fastpix_server.base.client_address import Network
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.edge.licence_servers import LicenceServers
from fastpix_server.edge.origins import Origins
from fastpix_server.ingest.whip_model import WhipSessions
from fastpix_server.playback.signed_path import PathKeys
from fastpix_server.storage.open import Storage
from fastpix_server.views.intake import Intake


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EdgeContext:
    """`public_url` has no trailing slash. `stream_url` and `images_url` are set where those families have own hosts."""

    db: Database
    listener: Listener
    storage: Storage
    public_url: str
    # The same in every edge process: what one signs in a manifest, another serves.
    path_keys: PathKeys
    stream_url: str | None = None
    images_url: str | None = None
    licences: LicenceServers = dataclasses.field(default_factory=LicenceServers)
    # Networks whose X-Forwarded-For is believed.
    trusted_proxies: Sequence[Network] = ()
    # Where beacons go; an edge without it takes none, and its player page sends none.
    intake: Intake | None = None
    # How long a request for a segment that nobody has made yet may wait before it is told to come back.
    segment_wait_s: float = 30.0
    # The way to what is live; without it no stream is ever ready.
    origins: Origins | None = None
    # Where WebRTC publishers go; without it there is no /whip.
    whip: WhipSessions | None = None
