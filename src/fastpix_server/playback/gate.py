"""May this viewer see this playback id? A pure decision, with no look at the database or the clock of its own.

Invariant: what is not clearly allowed is refused. Restrictions hold for every policy (contract section 6); a private
or DRM id needs a genuine token, and as long as there are no signing keys no token is genuine.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

from fastpix_server.playback.model import AccessPolicy

Reason = Literal["token_missing", "domain", "user_agent"]


@dataclasses.dataclass(frozen=True, slots=True)
class Viewer:
    """What a request says about who asks. `host` is that of the page, from Origin or else Referer; "" when unknown."""

    host: str = ""
    user_agent: str = ""

    @classmethod
    def from_headers(cls, *, origin: str, referer: str, user_agent: str) -> "Viewer":
        # "null" is what browsers send for sandboxed frames and files: an origin without a host.
        return cls(_host(origin) or _host(referer), user_agent)


@dataclasses.dataclass(frozen=True, slots=True)
class Allowed:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason


def decide(policy: AccessPolicy, restrictions: Mapping[str, object], viewer: Viewer) -> Allowed | Refused:
    """First who may ask at all (domain, user agent), then the policy."""
    if not _passes(restrictions.get("domains"), lambda entries: _matches_host(viewer.host, entries)):
        return Refused("domain")
    if not _passes(restrictions.get("userAgents"), lambda entries: any(e in viewer.user_agent for e in entries)):
        return Refused("user_agent")
    if policy != "public":
        return Refused("token_missing")
    return Allowed()


def _passes(rule: object, matches: Callable[[tuple[str, ...]], bool]) -> bool:
    """`defaultPolicy` allow: all but `deny`; deny: only `allow`. The other list is ignored. No rule: everybody."""
    if not isinstance(rule, Mapping):
        return True
    if rule.get("defaultPolicy", "allow") == "deny":
        return matches(_entries(rule.get("allow")))
    return not matches(_entries(rule.get("deny")))


def _entries(listed: object) -> tuple[str, ...]:
    """Empty entries are dropped: an empty text is part of every user agent."""
    return tuple(e for e in listed if isinstance(e, str) and e) if isinstance(listed, list | tuple) else ()


def _matches_host(host: str, entries: Iterable[str]) -> bool:
    """`example.com` stands for itself and its subdomains, `*.example.com` for the subdomains only."""
    if not host:
        return False
    for entry in entries:
        name = entry.strip().lower().rstrip(".")
        if name.startswith("*."):
            if host.endswith(name[1:]):
                return True
        elif host == name or host.endswith("." + name):
            return True
    return False


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:  # a bracket without an address
        return ""
