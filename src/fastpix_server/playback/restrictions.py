"""Which websites and programs may ask (contract section 6). Pure.

Invariants: names are compared in one form (lower case, A-labels, no port, no final dot), label by label from the right;
an Origin or Referer that no browser writes names nobody, and is refused wherever a rule about domains is in force; a
rule that cannot be understood is a refusal.
"""

import functools
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import idna

ANY = "*"
NAME_MAX_CHARS = 253  # RFC 1035, 2.3.4
# One entry per distinct text of any rule in use; each costs a microsecond to keep and fifty to work out.
_NORMAL_MAX = 8192

# scheme://host[:port], and for a Referer what follows. No user info, no backslash, no escape in the host: readers of
# such URLs disagree about where the host is.
_PAGE = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^/?#\\@%:\[\]\s]+)(?::[0-9]{0,5})?(/[^\s]*)?", re.IGNORECASE)
_ENTRY = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://)?(\[[0-9a-f:.]+\]|[^/?#\\@%:\[\]\s]+)(?::[0-9]{1,5}|:\*)?/?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Viewer:
    """What a request says about who asks. `host` is that of the page, in normal form; "" when unknown.

    `is_odd`: Origin or Referer was there, and was nothing that a browser writes.
    """

    host: str = ""
    user_agent: str = ""
    is_odd: bool = False

    @classmethod
    def from_headers(cls, *, origin: str, referer: str, user_agent: str) -> "Viewer":
        """Origin, or else Referer. "null" is what browsers send for sandboxed frames and files: an origin that is
        nobody's, so the Referer decides."""
        named = referer if origin in ("", "null") else origin
        if not named:
            return cls("", user_agent)
        host = host_of(named)
        return cls(host, user_agent, is_odd=not host)


def allows_viewer(domains: object, viewer: Viewer) -> bool:
    if viewer.is_odd and is_restricting(domains):
        return False
    return _passes(domains, lambda entries: any(matches_host(viewer.host, entry) for entry in entries))


def allows_user_agent(user_agents: object, viewer: Viewer) -> bool:
    """Entries are parts of the header, upper and lower case told apart."""
    return _passes(user_agents, lambda entries: any(entry in viewer.user_agent for entry in entries))


def is_restricting(rule: object) -> bool:
    """Is there anyone whom this rule could refuse?"""
    if rule is None:
        return False
    if not isinstance(rule, Mapping) or rule.get("defaultPolicy", "allow") != "allow":
        return True
    return bool(_entries(rule.get("deny")))


def matches_host(host: str, entry: str) -> bool:
    """`example.com`: itself and what is below it. `*.example.com`: only what is below. `*`: any page that is known."""
    if not host:
        return False
    name = _normal_entry(entry)
    if name == ANY:
        return True
    if host == name or not name or _is_address(host) or _is_address(name):
        return bool(name) and host == name
    return host.endswith(name[1:] if name.startswith("*.") else f".{name}")


def host_of(page: str) -> str:
    """The host of a page's URL in normal form; "" for what no browser writes."""
    found = _PAGE.fullmatch(page)
    return _normal_name(found[1]) if found is not None else ""


def _passes(rule: object, matches: Callable[[tuple[str, ...]], bool]) -> bool:
    """`defaultPolicy` allow: all but `deny`; deny: only `allow`. The other list is ignored. No rule: everybody."""
    if rule is None:
        return True
    if not isinstance(rule, Mapping):
        return False
    if rule.get("defaultPolicy", "allow") == "allow":
        return not matches(_entries(rule.get("deny")))
    return matches(_entries(rule.get("allow")))


def _entries(listed: object) -> tuple[str, ...]:
    """Empty entries are dropped: an empty text is part of every user agent."""
    return tuple(e for e in listed if isinstance(e, str) and e) if isinstance(listed, list | tuple) else ()


@functools.lru_cache(maxsize=_NORMAL_MAX)
def _normal_entry(entry: str) -> str:
    """People paste `https://Example.com:8080/`; "" for what names no host."""
    found = _ENTRY.fullmatch(entry.strip())
    if found is None:
        return ""
    if found[1] == ANY:
        return ANY
    is_wild = found[1].startswith("*.")
    name = _normal_name(found[1][2:] if is_wild else found[1])
    if is_wild and (not name or _is_address(name)):
        return ""
    return f"*.{name}" if is_wild else name


@functools.lru_cache(maxsize=_NORMAL_MAX)
def _normal_name(name: str) -> str:
    if name.startswith("["):
        return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]" if _is_address(name) else ""
    name = name.lower().removesuffix(".")
    if not name or len(name) > NAME_MAX_CHARS or "*" in name:
        return ""
    if name.isascii():
        # Not checked further: names with underscores exist, and a page of that name may be named in a rule.
        return "" if "" in name.split(".") else name
    try:
        return idna.encode(name, uts46=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""


@functools.lru_cache(maxsize=_NORMAL_MAX)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
