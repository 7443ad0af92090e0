"""Outgoing HTTP that reaches public addresses only, checked on the address that is dialled.

Invariants: every socket of a guarded client is made by `_guarded_socket`, after name resolution and for each redirect
and retry alike, so neither DNS rebinding nor a strange spelling of an address can pass; proxies, netrc and other
settings of the environment are ignored; cookies are not kept. Why so: docs/decisions/0010-outgoing-http.md.
"""

import dataclasses
import functools
import ipaddress
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import aiohttp

# IANA special-purpose registries (RFC 6890 and successors), written out because `is_global` differs between releases of
# Python. Multicast, reserved and unspecified addresses are in it too.
_NEVER_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")  # the only block from which IANA gives out global unicast addresses
_NEVER_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them: it tunnels to any IPv4 address
            "2001:db8::/32",
            "2002::/16",  # 6to4: tunnels to any IPv4 address
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how hosts without IPv4 reach it; judged by the IPv4 address inside

Network = IPv4Network | IPv6Network


class AddressRefused(OSError):
    """The dialled address is not public and not allowed.

    The text is the same for every address, because aiohttp keeps the type of an error only when all addresses of a
    name fail with one text; the address is in `address`.
    """

    def __init__(self, address: str) -> None:
        super().__init__("the address is not a public one")
        self.address = address


@dataclasses.dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses always; private ones only inside `allow_cidrs`."""

    allow_cidrs: tuple[Network, ...] = ()

    def is_allowed(self, ip: str) -> bool:
        """`ip` is a numeric address as a socket takes it; anything else is not allowed."""
        try:
            address = ipaddress.ip_address(ip.partition("%")[0])
        except ValueError:
            return False
        inner = _unwrapped(address)
        return any(a in network for a in (address, inner) for network in self.allow_cidrs) or _is_public(inner)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, when the operating system or a gateway will use that."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NEVER_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _NEVER_V6) and not _is_isatap(address)


def _is_isatap(address: IPv6Address) -> bool:
    """RFC 5214: the interface part `[02]00:5efe:a.b.c.d` tunnels to that IPv4 address on the local site."""
    return (int(address) >> 32) & 0xFCFFFFFF == 0x00005EFE


def _guarded_socket(policy: AddressPolicy, info: Any) -> socket.socket:
    family, kind, protocol, _, address = info
    if family not in (socket.AF_INET, socket.AF_INET6) or not policy.is_allowed(str(address[0])):
        raise AddressRefused(str(address[0]))
    return socket.socket(family, kind, protocol)


def open_client(
    policy: AddressPolicy,
    *,
    connect_timeout_s: float = 10.0,
    read_timeout_s: float = 30.0,
    total_timeout_s: float | None = None,
    resolver: aiohttp.abc.AbstractResolver | None = None,
    auto_decompress: bool = True,
    headers: dict[str, str] | None = None,
) -> aiohttp.ClientSession:
    """A session for `async with`. `read_timeout_s` is between two reads; `total_timeout_s` for a whole request.

    Redirects that the caller lets aiohttp follow are guarded too, but their number and schemes are the caller's to
    check. A refused address is raised as aiohttp.ClientConnectorError: see `refused_address`.
    """
    connector = aiohttp.TCPConnector(
        socket_factory=functools.partial(_guarded_socket, policy), resolver=resolver, use_dns_cache=False, limit=100
    )
    timeout = aiohttp.ClientTimeout(
        total=total_timeout_s, connect=connect_timeout_s, sock_connect=connect_timeout_s, sock_read=read_timeout_s
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=auto_decompress,
        headers=headers,
    )


def refused_address(error: BaseException) -> str | None:
    """The address that the guard refused, when that is why the request failed."""
    cause: BaseException | None = error
    for _ in range(10):  # chains are two long; the bound is against a cycle
        if isinstance(cause, AddressRefused):
            return cause.address
        if cause is None:
            return None
        cause = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
    return None
