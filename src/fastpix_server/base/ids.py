"""Public identifiers (contract section 1): UUIDv4 in lower case, or 32 lower-case hex digits for streams."""

import re
import secrets
import uuid

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_uuid() -> str:
    return str(uuid.uuid4())


def new_hex32() -> str:
    return secrets.token_hex(16)


def is_uuid(text: str) -> bool:
    """True for the canonical lower-case form only, whatever the version digit says."""
    return _UUID.fullmatch(text) is not None
