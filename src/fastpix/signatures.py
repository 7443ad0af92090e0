"""Webhooks that arrive: were they signed by one of your secrets? No request is made.

Invariants: the exact bytes of the body are checked, before they are parsed; every secret is compared, each in constant
time, so that the time tells nothing about which one is right.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence

import msgspec

from fastpix.answers import modern
from fastpix.errors import NotConfigured, SignatureInvalid
from fastpix.types import WebhookEvent

HEADER = "FastPix-Signature"


def verify_webhook(
    body: bytes, signature: str | Mapping[str, str], *, secret: str | Sequence[str] | None = None
) -> WebhookEvent:
    """The event, if its body was signed with one of the secrets; SignatureInvalid if not.

    `body` is what arrived, byte for byte; `signature` the header FastPix-Signature, or all headers. While you change
    the secret, pass the old and the new one. Default: FASTPIX_WEBHOOK_SECRET.
    """
    given = signature if isinstance(signature, str) else _header(signature)
    found = [_matches(body, given, key) for key in _keys(secret)]
    if not any(found):
        raise SignatureInvalid("The body was not signed with any of the secrets")
    try:
        return msgspec.convert(modern(msgspec.json.decode(body)), type=WebhookEvent, strict=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise SignatureInvalid(f"The body is signed, and no event ({fault})") from fault


def _keys(secret: str | Sequence[str] | None) -> list[bytes]:
    value = secret if secret is not None else os.environ.get("FASTPIX_WEBHOOK_SECRET")
    texts = [value] if isinstance(value, str) else list(value or ())
    if not texts or not all(texts):
        raise NotConfigured("No secret: pass secret=..., or set FASTPIX_WEBHOOK_SECRET")
    try:
        keys = [base64.b64decode(text, validate=True) for text in texts]
    except (binascii.Error, ValueError):
        raise NotConfigured("A webhook secret is base64; this one is not") from None
    if not all(keys):
        raise NotConfigured("A webhook secret must not be empty")
    return keys


def _matches(body: bytes, signature: str, key: bytes) -> bool:
    expected = base64.b64encode(hmac.digest(key, body, hashlib.sha256))
    return hmac.compare_digest(expected, signature.strip().encode())


def _header(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if name.lower() == HEADER.lower():
            return value
    raise SignatureInvalid(f"There is no header {HEADER}")
