"""The asynchronous client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec

from fastpix import answers, asking
from fastpix._async.access import AsyncAccessTokensOperations, AsyncSigningKeysOperations, AsyncWorkspaceOperations
from fastpix._async.api import AsyncApi
from fastpix._async.data import AsyncDataOperations
from fastpix._async.http import AsyncHttp
from fastpix._async.live_streams import AsyncLiveStreamsOperations, AsyncSimulcastsOperations
from fastpix._async.media import AsyncMediaOperations
from fastpix._async.playback_ids import AsyncPlaybackIdsOperations
from fastpix._async.playlists import AsyncDrmConfigurationsOperations, AsyncPlaylistsOperations
from fastpix._async.tracks import AsyncTracksOperations
from fastpix._async.uploads import AsyncUploadsOperations
from fastpix._async.webhooks import AsyncWebhooksOperations
from fastpix.answers import RawAnswer
from fastpix.operations import Operation
from fastpix.options import Options, Retries

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
T = TypeVar("T")


class AsyncFastPix:
    """The FastPix API of one workspace, of this platform or of the official service.

    What is not given is read from FASTPIX_USERNAME, FASTPIX_PASSWORD and FASTPIX_BASE_URL (default:
    `https://api.fastpix.com/v1/`). Use it as a context manager, or close it with `aclose()`.
    One client serves many tasks at once.
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
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        """`timeout_s` bounds each wait of an attempt. `retries` is how many more attempts there are, or a whole plan.

        An `http_client` of your own (a proxy, certificates) stays yours to close.
        """
        options = Options().changed(timeout_s=timeout_s, retries=retries, headers=headers)
        self._use(AsyncApi(AsyncHttp(asking.credentials(username, password, base_url), http_client), options))

    def _use(self, api: AsyncApi) -> None:
        self._api = api
        self.media = AsyncMediaOperations(api)
        self.uploads = AsyncUploadsOperations(api)
        self.tracks = AsyncTracksOperations(api)
        self.playback_ids = AsyncPlaybackIdsOperations(api)
        self.playlists = AsyncPlaylistsOperations(api)
        self.drm_configurations = AsyncDrmConfigurationsOperations(api)
        self.live_streams = AsyncLiveStreamsOperations(api)
        self.simulcasts = AsyncSimulcastsOperations(api)
        self.signing_keys = AsyncSigningKeysOperations(api)
        self.access_tokens = AsyncAccessTokensOperations(api)
        self.workspace = AsyncWorkspaceOperations(api)
        self.webhooks = AsyncWebhooksOperations(api)
        self.data = AsyncDataOperations(api)

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
    ) -> AsyncFastPix:
        """The same client with other options. Both share their connections, which close with the first.

        With an `idempotency_key` a request that is repeated, by another process even, is done once: use the result for
        one call.
        """
        options = self._api.options.changed(
            timeout_s=timeout_s, retries=retries, headers=headers, idempotency_key=idempotency_key
        )
        other = object.__new__(type(self))
        other._use(AsyncApi(self._api.http, options))
        return other

    async def raw(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> RawAnswer[T]:
        """Calls a method of this client and returns its value with the answer it came from: status, headers, bytes.

        `await client.raw(client.media.get, media_id="...")`
        """
        with answers.keeping() as kept:
            value = await method(*args, **kwargs)
        return answers.raw(value, kept)

    async def request(
        self, method: str, path: str, *, query: Mapping[str, asking.Value] | None = None, body: Any = None
    ) -> Any:
        """Asks for what this client has no method for, and returns the JSON. `path` is below the base URL."""
        operation = Operation("", method.upper(), "/" + path.lstrip("/"))
        arrived = await self._api.send(asking.request(operation, None, query, body))
        try:
            return msgspec.json.decode(arrived.body) if arrived.body else None
        except msgspec.MsgspecError as fault:
            raise answers.bad(arrived, "The answer is no JSON") from fault

    async def aclose(self) -> None:
        """Closes the connections, also for clients made by `with_options`."""
        await self._api.http.aclose()

    async def __aenter__(self) -> AsyncFastPix:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._api.http.credentials!r}>"
