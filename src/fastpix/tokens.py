"""Playback tokens, signed here: no request is made. Needs `pip install 'fastpix[tokens]'` (the package cryptography).

A token is a JWT of RS256 whose audience names one playback id. Invariants: a token always expires; the private key is
read for one signature and is in no error text.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from fastpix.errors import NotConfigured

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

HOUR_S = 3600


def sign_playback_token(
    *,
    signing_key_id: str,
    private_key: str,
    playback_id: str,
    expires_in_s: int = HOUR_S,
    audience: Literal["media", "drm"] = "media",
    claims: Mapping[str, Any] | None = None,
) -> str:
    """A token that opens one private playback id, its pictures and files, for `expires_in_s`.

    `private_key` is what `signing_keys.create()` answered (base64), or its PEM text. `audience="drm"` is for licences
    of encrypted video. `claims` are added as they are.
    """
    if expires_in_s <= 0:
        raise ValueError("expires_in_s must be more than 0")
    now_s = int(time.time())
    payload = {
        **(claims or {}),
        "kid": signing_key_id,
        "aud": f"{audience}:{playback_id}",
        "iss": "fastpix.com",
        "sub": "",
        "iat": now_s,
        "exp": now_s + expires_in_s,
    }
    head = {"alg": "RS256", "typ": "JWT", "kid": signing_key_id}
    signed = f"{_part(head)}.{_part(payload)}".encode()
    return f"{signed.decode()}.{_text(_signature(private_key, signed))}"


def _signature(private_key: str, data: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
    except ImportError:
        raise NotConfigured("Signing needs one more package: pip install 'fastpix[tokens]'") from None
    return _key(private_key).sign(data, padding.PKCS1v15(), hashes.SHA256())


def _key(private_key: str) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        pem = private_key.encode()
        if not pem.lstrip().startswith(b"-----BEGIN"):
            pem = base64.b64decode(pem, validate=True)
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, binascii.Error):
        raise NotConfigured("private_key is neither a PEM text nor base64 of one") from None
    if not isinstance(key, RSAPrivateKey):
        raise NotConfigured("private_key is no RSA key")
    return key


def _part(value: Mapping[str, Any]) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
