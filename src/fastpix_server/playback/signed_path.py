"""Short signed paths: what a viewer who was let in gets instead of a token on every segment.

A folder `/{playback id}/{pass}/{revision}/...` whose pass is `{key number}.{expiry}.{signing key}.{mac}`:
  mac = base64url(HMAC-SHA256(path key, "{playback id}/{key number}.{expiry}.{signing key}/{revision}"))[:22]
so whoever has the path key, an edge or a CDN, can check it from the URL alone. Pictures have no revision: in
`/{playback id}/{pass}/{picture}` the mac covers the word "pictures" in its place.

Invariants: a pass opens one version of one playback id until its expiry; all URIs of playlists are relative, so one
signature in the multivariant playlist or the DASH manifest covers every file below it; it is compared in constant time,
and has one spelling. A pass names the key that signed the viewer's token: it dies with it at the edge.
"""

import base64
import hmac
import math
import re
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Reason = Literal["path_malformed", "path_signature", "path_expired", "path_key_unknown"]

# What a pass is for that stands above pictures, which have no revision: all pictures of that id and nothing else.
# No revision (hexadecimal digits) looks like it.
PICTURES = "pictures"

NUMBER_MAX = 9999
# All viewers who come within the same hour get the same URLs. Every expiry of its own would be a URL of its own, and a
# cache in front of us would keep and fetch each segment once per viewer. An hour: one miss per segment and hour.
ROUND_S = 3600
# A viewer may watch at half the speed, or be called away for an hour; then the page is loaded again.
BREAK_S = 3600
PACE = 2

# About 400 bytes each; one per media and hour that is watched.
PROVEN_MAX = 10_000

_MAC_BYTES = 16  # 128 bits: guessing online is hopeless, and the URL stays short
_KEY_BYTES = 32
NO_SIGNING_KEY = "0"
_PASS = re.compile(r"([1-9][0-9]{0,3})\.([1-9][0-9]{9,10})\.([A-Za-z0-9_-]{22}|0)\.([A-Za-z0-9_-]{22})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a good path stands for. `kid` is None where no token was needed: a public id with restrictions."""

    expires_at_s: int
    kid: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason


class PathKeys:
    """Signs with key `number`; takes that of its neighbours too.

    Neighbours, so that raising the number is no outage: while processes restart one by one, those with the old number
    take what the new ones sign, and the new ones what is still in players. A key is out of use after two steps.
    """

    def __init__(self, master: bytes, number: int = 1) -> None:
        if not 1 <= number <= NUMBER_MAX:
            raise ValueError(f"the number of the path key is 1 ... {NUMBER_MAX}")
        self._number = number
        self._keys: Mapping[int, bytes] = {n: derive(master, n) for n in accepted(number)}
        # What was proven stays so: the viewers of an hour share a pass, and ask with it for thousands of segments.
        self._proven: OrderedDict[tuple[str, str, str], Pass] = OrderedDict()

    @classmethod
    def random(cls) -> Self:
        """For one process on its own, as in tests: no other process knows its paths."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    def sign(self, playback_id: str, scope: str, expires_at_s: int, kid: str | None) -> str:
        """The pass, to stand between playback id and revision (or picture)."""
        head = f"{self._number}.{expires_at_s}.{_short(kid)}"
        return f"{head}.{_mac(self._keys[self._number], playback_id, head, scope)}"

    def check(self, text: str, playback_id: str, scope: str, now_s: float) -> Pass | Refused:
        """`scope` is the revision below it, or PICTURES. Whether `kid` still lives is for the caller to ask."""
        known = self._proven.get((text, playback_id, scope))
        if known is None:
            proven = self._prove(text, playback_id, scope)
            if isinstance(proven, Refused):
                return proven
            known = self._remember((text, playback_id, scope), proven)
        return Refused("path_expired") if known.expires_at_s <= now_s else known

    def _prove(self, text: str, playback_id: str, scope: str) -> Pass | Refused:
        found = _PASS.fullmatch(text)
        if found is None:
            return Refused("path_malformed")
        key = self._keys.get(int(found[1]))
        if key is None:
            return Refused("path_key_unknown")
        expected = _mac(key, playback_id, text.rpartition(".")[0], scope)
        if not hmac.compare_digest(expected, found[4]):
            return Refused("path_signature")
        return Pass(int(found[2]), _long(found[3]))

    def _remember(self, name: tuple[str, str, str], proven: Pass) -> Pass:
        """Good ones only: forged passes are without number."""
        self._proven[name] = proven
        if len(self._proven) > PROVEN_MAX:
            self._proven.popitem(last=False)
        return proven


def accepted(number: int) -> range:
    """The numbers of the keys that a process takes which signs with that one."""
    return range(max(1, number - 1), min(NUMBER_MAX, number + 1) + 1)


def derive(master: bytes, number: int) -> bytes:
    """The key of that number, by HKDF-SHA256 from the master key: a CDN that is given it learns no other."""
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"fastpix/signed-path/{number}".encode()).derive(master)


def expiry_s(duration_s: Fraction | float, now_s: float) -> int:
    """When a pass that is given out now ends: long enough to watch all of it, rounded up to a full hour."""
    need_s = now_s + PACE * float(duration_s) + BREAK_S
    return math.ceil(need_s / ROUND_S) * ROUND_S


def _mac(key: bytes, playback_id: str, head: str, scope: str) -> str:
    digest = hmac.digest(key, f"{playback_id}/{head}/{scope}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode("ascii").rstrip("=")


def _short(kid: str | None) -> str:
    if kid is None:
        return NO_SIGNING_KEY
    return base64.urlsafe_b64encode(uuid.UUID(kid).bytes).decode("ascii").rstrip("=")


def _long(short: str) -> str | None:
    """Only after the mac was right: then `short` is what `_short` made."""
    return None if short == NO_SIGNING_KEY else str(uuid.UUID(bytes=base64.urlsafe_b64decode(short + "==")))
