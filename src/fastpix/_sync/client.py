# Made from _async/client.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""The synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec

from fastpix import answers, asking
from fastpix._sync.access import AccessTokensOperations, SigningKeysOperations, WorkspaceOperations
from fastpix._sync.api import Api
from fastpix._sync.data import DataOperations
from fastpix._sync.http import Http
from fastpix._sync.live_streams import LiveStreamsOperations, SimulcastsOperations
from fastpix._sync.media import MediaOperations
from fastpix._sync.playback_ids import PlaybackIdsOperations
from fastpix._sync.playlists import DrmConfigurationsOperations, PlaylistsOperations
from fastpix._sync.tracks import TracksOperations
from fastpix._sync.uploads import UploadsOperations
from fastpix._sync.webhooks import WebhooksOperations
from fastpix.answers import RawAnswer
from fastpix.operations import Operation
from fastpix.options import Options, Retries

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
T = TypeVar("T")


class FastPix:
    """The FastPix API of one workspace, of this platform or of the official service.

    What is not given is read from FASTPIX_USERNAME, FASTPIX_PASSWORD and FASTPIX_BASE_URL (default:
    `https://api.fastpix.com/v1/`). Use it as a context manager, or close it with `close()`.
    One client serves many threads at once.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        base_url: str | None = None,
        timeout_s: float = 30.0,
        retries: Retries | int = 3,
        headers: Mapping[str, str] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        """`timeout_s` bounds each wait of an attempt. `retries` is how many more attempts there are, or a whole plan.

        An `http_client` of your own (a proxy, certificates) stays yours to close.
        """
        options = Options().changed(timeout_s=timeout_s, retries=retries, headers=headers)
        self._use(Api(Http(asking.credentials(username, password, base_url), http_client), options))

    def _use(self, api: Api) -> None:
        self._api = api
        self.media = MediaOperations(api)
        self.uploads = UploadsOperations(api)
        self.tracks = TracksOperations(api)
        self.playback_ids = PlaybackIdsOperations(api)
        self.playlists = PlaylistsOperations(api)
        self.drm_configurations = DrmConfigurationsOperations(api)
        self.live_streams = LiveStreamsOperations(api)
        self.simulcasts = SimulcastsOperations(api)
        self.signing_keys = SigningKeysOperations(api)
        self.access_tokens = AccessTokensOperations(api)
        self.workspace = WorkspaceOperations(api)
        self.webhooks = WebhooksOperations(api)
        self.data = DataOperations(api)

    @property
    def base_url(self) -> str:
        """Without a slash at the end."""
        return self._api.http.credentials.base_url

    def with_options(
        self,
        *,
        timeout_s: float | None = None,
        retries: Retries | int | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> FastPix:
        """The same client with other options. Both share their connections, which close with the first.

        With an `idempotency_key` a request that is repeated, by another process even, is done once: use the result for
        one call.
        """
        options = self._api.options.changed(
            timeout_s=timeout_s, retries=retries, headers=headers, idempotency_key=idempotency_key
        )
        other = object.__new__(type(self))
        other._use(Api(self._api.http, options))
        return other

    def raw(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> RawAnswer[T]:
        """Calls a method of this client and returns its value with the answer it came from: status, headers, bytes.

        `client.raw(client.media.get, media_id="...")`
        """
        with answers.keeping() as kept:
            value = method(*args, **kwargs)
        return answers.raw(value, kept)

    def request(
        self, method: str, path: str, *, query: Mapping[str, asking.Value] | None = None, body: Any = None
    ) -> Any:
        """Asks for what this client has no method for, and returns the JSON. `path` is below the base URL."""
        operation = Operation("", method.upper(), "/" + path.lstrip("/"))
        arrived = self._api.send(asking.request(operation, None, query, body))
        try:
            return msgspec.json.decode(arrived.body) if arrived.body else None
        except msgspec.MsgspecError as fault:
            raise answers.bad(arrived, "The answer is no JSON") from fault

    def close(self) -> None:
        """Closes the connections, also for clients made by `with_options`."""
        self._api.http.close()

    def __enter__(self) -> FastPix:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._api.http.credentials!r}>"
