"""What the API needs to answer: handed over once by the app, the same for every request."""

import dataclasses
from typing import Literal

from fastpix_server.base.client_address import Network
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.storage.open import Storage
from fastpix_server.views.queries.export import Files

Generation = Literal["auto", "1", "2", "3"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiContext:
    """URLs have no trailing slash. `pepper` keys the hashes of access-token secrets.

    `rate_per_s` and `rate_burst` bound the requests of one access token in this process; the contract recommends
    50 and 100 (section 1). Without a `listener`, revoked access tokens work until the memory of them is over; without
    `video_data` (what asks the analytics database) the operations below /data answer 503.
    """

    db: Database
    storage: Storage
    pepper: bytes = dataclasses.field(repr=False)
    public_url: str
    stream_url: str | None = None
    images_url: str | None = None
    generation: Generation = "auto"
    rate_per_s: float = 50.0
    rate_burst: int = 100
    trusted_proxies: tuple[Network, ...] = ()
    listener: Listener | None = None
    video_data: Files | None = None
