"""WHIP between processes: an edge hands offers to an ingest process over its origin server. Both ends are here.

Invariants: the origin server has authenticated the edge before these handlers run; a session's public id names the
ingest process that holds it, so any edge can end it; offers are tried on another process only when one cannot be
reached or is full, never after a refusal that another would repeat.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Protocol

import aiohttp
import msgspec
from aiohttp import web

from fastpix_server.base import errors, log
from fastpix_server.ingest.model import Refused
from fastpix_server.ingest.whip_model import MAX_OFFER_BYTES, Accepted, Outcome, Unusable, WhipSessions

_log = log.get(__name__)

PATH = "/whip"
# JSON escapes line ends and quotes, and adds the key and the address.
MAX_BODY_BYTES = 2 * MAX_OFFER_BYTES + 1024
TRIES = 3
# The door asks the database, aiortc opens ports: a second at most on a busy machine.
TIMEOUT_S = 15.0


class _Offer(msgspec.Struct):
    sdp: str
    stream_key: str
    peer: str


class _Outcome(msgspec.Struct):
    """`kind` is accepted, malformed, unsupported, or the reason of a Refused."""

    kind: str
    session_id: str = ""
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Ingest:
    """A living ingest process: its name (no dot in it) and the base URL of its origin server."""

    name: str
    url: str


class Ingests(Protocol):
    """Which ingest processes there are, and how an edge proves itself to their origin servers."""

    async def living(self) -> Sequence[Ingest]: ...

    def headers(self) -> Mapping[str, str]: ...


def origin_routes(sessions: WhipSessions) -> list[web.RouteDef]:
    """For the origin server of the ingest process that holds `sessions`."""

    async def offer(request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await _read(request), type=_Offer)
        except (msgspec.DecodeError, ValueError):
            return web.Response(status=400)
        outcome = await sessions.offer(asked.sdp, asked.stream_key, asked.peer)
        return web.Response(body=msgspec.json.encode(_packed(outcome)), content_type="application/json")

    async def end(request: web.Request) -> web.Response:
        return web.Response(status=200 if await sessions.end(request.match_info["session_id"]) else 404)

    return [web.post(PATH, offer), web.delete(PATH + "/{session_id}", end)]


class RemoteWhip:
    """The sessions of all ingest processes, as an edge sees them. Is a WhipSessions."""

    def __init__(self, client: aiohttp.ClientSession, ingests: Ingests) -> None:
        self._client = client
        self._ingests = ingests

    async def offer(self, sdp: str, stream_key: str, peer: str) -> Outcome:
        """Any process will do: the stream goes to whichever took its publisher."""
        living = list(await self._ingests.living())
        random.shuffle(living)
        body = msgspec.json.encode(_Offer(sdp, stream_key, peer))
        outcome: Outcome = Refused("unavailable")
        for ingest in living[:TRIES]:
            outcome = await self._offer(ingest, body)
            if not (isinstance(outcome, Refused) and outcome.reason in ("busy", "unavailable")):
                break
        return outcome

    async def end(self, session_id: str) -> bool:
        name, _, inner = session_id.partition(".")
        ingest = next((one for one in await self._ingests.living() if one.name == name), None)
        if ingest is None or not inner.isalnum():
            return False
        try:
            url = f"{ingest.url}{PATH}/{inner}"
            async with self._client.delete(url, headers=self._ingests.headers(), timeout=_timeout()) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError) as fault:
            raise errors.Unavailable("The ingest process of this session does not answer.") from fault

    async def _offer(self, ingest: Ingest, body: bytes) -> Outcome:
        headers = {**self._ingests.headers(), "Content-Type": "application/json"}
        try:
            async with self._client.post(
                ingest.url + PATH, data=body, headers=headers, timeout=_timeout(), allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    _log.warning("whip_hop_refused", ingest=ingest.name, status=answer.status)
                    return Refused("unavailable")
                packed = msgspec.json.decode(await answer.read(), type=_Outcome)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as fault:
            _log.warning("whip_hop_failed", ingest=ingest.name, error=repr(fault))
            return Refused("unavailable")
        return _unpacked(packed, ingest)


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=TIMEOUT_S)


async def _read(request: web.Request) -> bytes:
    """The body; ValueError when it is longer than an edge would send."""
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("too long")
    return bytes(body)


def _packed(outcome: Outcome) -> _Outcome:
    if isinstance(outcome, Accepted):
        return _Outcome("accepted", outcome.session_id, outcome.answer_sdp)
    if isinstance(outcome, Unusable):
        return _Outcome(outcome.reason, text=outcome.text)
    return _Outcome(outcome.reason)


def _unpacked(packed: _Outcome, ingest: Ingest) -> Outcome:
    match packed.kind:
        case "accepted":
            return Accepted(f"{ingest.name}.{packed.session_id}", packed.text)
        case "malformed" | "unsupported":
            return Unusable(packed.kind, packed.text)
        case "unknown_key" | "disabled" | "already_publishing" | "busy":
            return Refused(packed.kind)
        case _:
            return Refused("unavailable")
