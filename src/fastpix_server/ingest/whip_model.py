"""What WHIP says to whoever carries its HTTP, as values; importing them brings no WebRTC with it."""

import dataclasses
from typing import Literal, Protocol

from fastpix_server.ingest.model import Refused

# An offer of Chromium with every codec and extension has 8 KB.
MAX_OFFER_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """The session's id is a secret: who knows it may end the session."""

    session_id: str
    answer_sdp: str


@dataclasses.dataclass(frozen=True, slots=True)
class Unusable:
    """Why an offer cannot be taken: `malformed` is not SDP, `unsupported` asks for what we do not do."""

    reason: Literal["malformed", "unsupported"]
    text: str


Outcome = Accepted | Unusable | Refused


class WhipSessions(Protocol):
    """Where offers go: the sessions of this process, or those of an ingest process over HTTP."""

    async def offer(self, sdp: str, stream_key: str, peer: str) -> Outcome:
        """Takes an offer, or says why not."""

    async def end(self, session_id: str) -> bool:
        """Ends a session; False when there is none of this id (any more)."""
