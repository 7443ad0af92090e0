"""The ClearKey licence exchange (W3C Encrypted Media Extensions, 9.1.3 and 9.1.4): JSON in, a JWK set out. Pure.

Invariant: a key is only answered to who names its id; bytes that are no request of this form are refused by field.
"""

import base64
import binascii
import json
from typing import Any

import msgspec

from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.engine.protect import ContentKey

# A browser asks for the keys of one initialisation: one of ours names one.
MAX_KIDS = 64


def answer(request: bytes, key: ContentKey) -> bytes:
    """Raises Invalid for what is no licence request, BadState when none of the asked keys is this video's."""
    if key.id_bytes not in _kids(request):
        raise errors.BadState("None of the keys that were asked for belongs to this video.", message="unknown key id")
    found = {"kty": "oct", "kid": _text(key.id_bytes), "k": _text(key.key)}
    return msgspec.json.encode({"keys": [found], "type": "temporary"})


def _kids(request: bytes) -> list[bytes]:
    try:
        asked: Any = json.loads(request.decode("utf-8"))
    except (ValueError, RecursionError):
        raise errors.Invalid(FieldError("body", "is invalid")) from None
    if not isinstance(asked, dict):
        raise errors.Invalid(FieldError("body", "is invalid"))
    if asked.get("type", "temporary") != "temporary":
        raise errors.Invalid(FieldError("type", "must be temporary"))
    kids = asked.get("kids")
    if not isinstance(kids, list) or not 0 < len(kids) <= MAX_KIDS or not all(isinstance(kid, str) for kid in kids):
        raise errors.Invalid(FieldError("kids", "is invalid"))
    return [_bytes(kid) for kid in kids]


def _bytes(kid: str) -> bytes:
    """base64url without padding, as the recommendation has it."""
    try:
        return base64.b64decode(kid + "=" * (-len(kid) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise errors.Invalid(FieldError("kids", "is invalid")) from None


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")
