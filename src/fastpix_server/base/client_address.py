"""Whose address a request comes from, behind any number of proxies, and whom one address stands for.

Invariants: only what a trusted proxy wrote is believed. `X-Forwarded-For` is read from the right: each hop appends the
address that it saw, so the rightmost entry that is no trusted proxy of ours is the client, and everything left of it is
the client's own word. The result is always an address in canonical form, or UNKNOWN; never a caller's text.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = "unknown"  # a peer without an address: a Unix socket
# Proxies in a row that are ours; chains of CDN, load balancer and ingress have three or four.
HOPS_MAX = 16
# The longest entry is a bracketed IPv6 address with a zone and a port; what is longer is no address.
ENTRY_MAX_CHARS = 80
# One customer has at least a /64 of IPv6 (RFC 6177) and can use all of it.
_IPV6_CUSTOMER_BITS = 64
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::[0-9]{1,5})?")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """`peer` is who connected, `forwarded` the values of the X-Forwarded-For headers in their order.

    An entry that is no address ends the walk: the client is then the proxy that vouched for it.
    """
    found = parse_address(peer or "")
    if found is None:
        return UNKNOWN
    for entry in _from_the_right(forwarded):
        if not is_within(found, trusted):
            break
        before = parse_address(entry)
        if before is None:
            break
        found = before
    return str(found)


def customer_of(address: str) -> str:
    """The smallest network that one customer controls: an IPv4 address, or the /64 of an IPv6 address."""
    found = parse_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(found) >> 64 << 64, _IPV6_CUSTOMER_BITS)))
    return address if found is None else str(found)


def parse_address(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; an IPv4 address in IPv6 clothes is IPv4."""
    text = text.strip()
    if not text or len(text) > ENTRY_MAX_CHARS:
        return None
    match = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    try:
        found = ipaddress.ip_address((match[1] if match else text).partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _from_the_right(values: Sequence[str]) -> Iterable[str]:
    """At most HOPS_MAX entries, however long the header is."""
    left = HOPS_MAX
    for value in reversed(values):
        rest = value
        while left > 0:
            rest, comma, entry = rest.rpartition(",")
            yield entry
            left -= 1
            if not comma:
                break
