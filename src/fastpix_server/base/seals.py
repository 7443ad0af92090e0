"""Secrets at rest, as domains see them: whoever holds the master key is given to them by the app."""

from typing import Protocol


class Seals(Protocol):
    """What the master key does for values at rest; `aad` binds a value to its place."""

    def seal(self, plain: bytes, aad: str) -> bytes: ...
    def open(self, sealed: bytes, aad: str) -> bytes: ...
