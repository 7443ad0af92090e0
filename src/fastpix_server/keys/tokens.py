"""Playback tokens (contract section 6): read, prove genuine, and judge. Pure: no database, no clock, no memory.

Invariants: RS256 and nothing else; the key is looked up by `kid` only, never taken from or fetched for a token;
what is not clearly right is refused with a reason; no input raises. The order is peek (who says so?), verify (is it
true?), judge (does it open this, now?). Claims that were not verified are read for the `kid` and nothing else.
"""

import base64
import binascii
import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from fastpix_server.base import ids

Reason = Literal[
    "token_oversized",
    "token_malformed",
    "token_algorithm",
    "token_kid_missing",
    "token_kid_conflict",
    "token_kid_malformed",
    "token_key_unknown",
    "token_signature",
    "token_claims",
    "token_no_expiry",
    "token_expired",
    "token_not_yet_valid",
    "token_audience",
    "token_subject",
]
Purpose = Literal["media", "drm"]

ALGORITHM = "RS256"
# A token of ours has about 700 characters; `groups` and own claims get room; servers and proxies allow 8 kB a URL.
TOKEN_MAX_CHARS = 4096
# Clocks of the token's maker and ours differ by seconds, not minutes (contract section 6).
LEEWAY_S = 60
# The end of the year 9999. A time beyond it is in milliseconds by mistake, and would be valid for 50,000 years.
TIME_MAX_S = 253_402_300_799

_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_UUID_SHAPED = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PURPOSES: tuple[Purpose, ...] = ("media", "drm")
# Header names that change what a signature means must be understood or refused (RFC 7515, 4.1.11; RFC 7797).
_UNSUPPORTED_HEADERS = ("crit", "b64", "zip")
_registry = jws.JWSRegistry(algorithms=[ALGORITHM], strict_check_header=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason


@dataclasses.dataclass(frozen=True, slots=True)
class Peeked:
    """What an unproven token says of itself: which key to ask. Nothing here is to be believed."""

    kid: str


@dataclasses.dataclass(frozen=True, slots=True)
class Genuine:
    """The whole payload of a token whose signature is right."""

    kid: str
    payload: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Claims:
    """A genuine token that is for this playback id. `expires_at_s` is as signed, without the leeway."""

    kid: str
    purposes: frozenset[Purpose]
    expires_at_s: float


def peek(token: str) -> Peeked | Refused:
    """Shape, algorithm and `kid`; the header's or else the payload's."""
    if len(token) > TOKEN_MAX_CHARS:
        return Refused("token_oversized")
    parts = _PARTS.fullmatch(token)
    if parts is None:
        return Refused("token_malformed")
    header, payload = _json_object(parts[1]), _json_object(parts[2])
    if header is None or payload is None:
        return Refused("token_malformed")
    if header.get("alg") != ALGORITHM:
        return Refused("token_algorithm")
    if any(name in header for name in _UNSUPPORTED_HEADERS):
        return Refused("token_malformed")
    return _kid(header.get("kid"), payload.get("kid"))


def import_key(public_pem: str) -> RSAKey:
    return RSAKey.import_key(public_pem)


def verify(token: str, key: RSAKey | str) -> Genuine | Refused:
    """Proves that the holder of the key signed exactly this. `key` as a text is its SubjectPublicKeyInfo PEM."""
    peeked = peek(token)
    if isinstance(peeked, Refused):
        return peeked
    try:
        signed = jws.deserialize_compact(token, import_key(key) if isinstance(key, str) else key, registry=_registry)
    except (JoseError, ValueError, TypeError):
        return Refused("token_signature")
    payload = _parsed(signed.payload)
    return Refused("token_malformed") if payload is None else Genuine(peeked.kid, payload)


def judge(genuine: Genuine, *, playback_id: str, workspace_id: str, now_s: float) -> Claims | Refused:
    """Is it for this id, in this workspace, now? Any issuer will do; a subject that is another workspace will not."""
    payload = genuine.payload
    purposes = _purposes(payload.get("aud"), playback_id)
    times = {name: _time_s(payload.get(name)) for name in ("exp", "nbf", "iat")}
    subject = payload.get("sub")
    if payload.get("exp") is None:
        return Refused("token_no_expiry")
    if any(t is not None and math.isnan(t) for t in times.values()) or not isinstance(subject, str | None):
        return Refused("token_claims")
    if not purposes:
        return Refused("token_audience")
    if subject and _UUID_SHAPED.fullmatch(subject) and subject.lower() != workspace_id:
        return Refused("token_subject")
    expires_at_s = times["exp"]
    assert expires_at_s is not None, "its absence was refused above"
    if has_expired(expires_at_s, now_s):
        return Refused("token_expired")
    if any(begin_s is not None and begin_s > now_s + LEEWAY_S for begin_s in (times["nbf"], times["iat"])):
        return Refused("token_not_yet_valid")
    return Claims(genuine.kid, purposes, expires_at_s)


def named_ids(genuine: Genuine) -> frozenset[str]:
    """The playback ids whose video the token speaks of, whatever else may be wrong with it: for who has many tokens
    and many ids, and judges the pairs that can be right."""
    audience = genuine.payload.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    return frozenset(one.removeprefix("media:") for one in named if isinstance(one, str) and one.startswith("media:"))


def has_expired(expires_at_s: float, now_s: float) -> bool:
    return now_s >= expires_at_s + LEEWAY_S


def _kid(in_header: object, in_payload: object) -> Peeked | Refused:
    """Two names that differ are a trick or a mistake: which of them would be right is not ours to guess."""
    named = [kid for kid in (in_header, in_payload) if kid is not None]
    if not named:
        return Refused("token_kid_missing")
    if len(named) == 2 and named[0] != named[1]:
        return Refused("token_kid_conflict")
    kid = named[0]
    if not isinstance(kid, str) or not ids.is_uuid(kid):
        return Refused("token_kid_malformed")
    return Peeked(kid)


def _purposes(audience: object, playback_id: str) -> frozenset[Purpose]:
    named = audience if isinstance(audience, list) else [audience]
    return frozenset(purpose for purpose in _PURPOSES if f"{purpose}:{playback_id}" in named)


def _time_s(value: object) -> float | None:
    """A NumericDate (RFC 7519, section 2); None when absent, NaN when it is none. `true` is no number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TIME_MAX_S:
        return math.nan
    return float(value)


def _json_object(part: str) -> dict[str, Any] | None:
    try:
        return _parsed(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return None


def _parsed(data: bytes) -> dict[str, Any] | None:
    """A JSON object without a name twice: parsers disagree on which of the two counts."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name is there twice")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
