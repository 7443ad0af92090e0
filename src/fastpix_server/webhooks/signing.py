"""How deliveries are signed: HMAC-SHA256 over the exact bytes of the body, in base64 (contract section 4)."""

import base64
import binascii
import hashlib
import hmac
import secrets

SIGNATURE = "FastPix-Signature"
# Ours: by the secret before the newest, while that is still honoured (docs/decisions/0041-webhook-secrets.md).
PREVIOUS_SIGNATURE = "FastPix-Signature-Previous"

SECRET_BYTES = 32
# One that an owner brings: shorter ones are refused by receivers (contract section 4), longer ones gain nothing.
SECRET_MAX_BYTES = 64


def sign(key: bytes, data: bytes) -> str:
    """`key` is the decoded secret."""
    return base64.b64encode(hmac.digest(key, data, hashlib.sha256)).decode()


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def show_secret(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def read_secret(text: str) -> bytes | None:
    """None for what is no base64 of SECRET_BYTES to SECRET_MAX_BYTES bytes."""
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return secret if SECRET_BYTES <= len(secret) <= SECRET_MAX_BYTES else None
