"""How an edge proves itself to an origin server: the time, signed with a key that both derive.

Invariants: the key never travels, and a header that was overheard is good for SKEW_S. Requests and answers are not
encrypted (most are what viewers get anyway): origin servers listen on loopback, or on a private network.
"""

import hmac
import re
import time
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEADER = "X-Fastpix-Origin"
# Clocks of machines that share a database are closer than this.
SKEW_S = 60
_KEY_BYTES = 32
_FORM = re.compile(r"([0-9]{9,12})\.([0-9a-f]{64})", re.ASCII)


def key_of(path_master: bytes) -> bytes:
    """The key of the origin, from the secret that signed paths come from too."""
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"fastpix/origin/1").derive(path_master)


class OriginAuth:
    """`now_s` is the wall clock."""

    def __init__(self, key: bytes, now_s: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now_s = now_s

    def headers(self) -> dict[str, str]:
        at_s = str(int(self._now_s()))
        return {HEADER: f"{at_s}.{self._mac(at_s)}"}

    def is_good(self, headers: Mapping[str, str]) -> bool:
        found = _FORM.fullmatch(headers.get(HEADER, ""))
        if found is None or abs(int(found[1]) - self._now_s()) > SKEW_S:
            return False
        return hmac.compare_digest(found[2], self._mac(found[1]))

    def viewer(self, *parts: str) -> int:
        """A number for a viewer, the same at every edge, from which nobody learns an address."""
        digest = hmac.digest(self._key, "\0".join(("viewer", *parts)).encode("utf-8", "replace"), "sha256")
        return int.from_bytes(digest[:8])

    def _mac(self, at_s: str) -> str:
        return hmac.digest(self._key, f"origin {at_s}".encode(), "sha256").hex()
