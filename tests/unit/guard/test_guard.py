"""No spelling, redirect or resolver trick reaches a private address."""

import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from fastpix_server.base.guard import AddressPolicy, open_client, refused_address

PUBLIC_ONLY = AddressPolicy()


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::10.1.2.3",
        "64:ff9b:1::7f00:1",
        "100::1",
        "2001::1",
        "2001:0:53aa:64c:0:0:80ff:fffe",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2606:4700::5efe:a00:1",
        "2606:4700::200:5efe:a00:1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "ff02::1",
        "localhost",
        "",
        "127.1",
    ],
)
def test_an_address_that_is_not_public_is_refused(ip: str) -> None:
    assert not PUBLIC_ONLY.is_allowed(ip)


@pytest.mark.parametrize(
    "ip",
    [
        "1.1.1.1",
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.1",
        "192.167.255.255",
        "100.63.255.255",
        "100.128.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_a_public_address_is_allowed(ip: str) -> None:
    assert PUBLIC_ONLY.is_allowed(ip)


def test_an_allowed_range_opens_itself_and_nothing_else() -> None:
    policy = AddressPolicy((ipaddress.IPv4Network("10.1.0.0/16"), ipaddress.IPv6Network("fd00::/64")))
    assert policy.is_allowed("10.1.2.3")
    assert policy.is_allowed("::ffff:10.1.2.3")
    assert policy.is_allowed("fd00::7")
    assert not policy.is_allowed("10.2.0.1")
    assert not policy.is_allowed("fd00:0:0:1::7")
    assert not policy.is_allowed("127.0.0.1")


class Target:
    """A private server that must stay unseen: it counts who reached it."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.port = 0

    async def secret(self, request: web.Request) -> web.Response:
        self.hits.append(request.path)
        if request.path == "/redirect":
            raise web.HTTPFound(f"http://127.0.0.2:{self.port}/secret")
        return web.Response(text="SECRET")


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    found = Target()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.secret)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


HOSTILE_HOSTS = [
    "127.0.0.1",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
    "169.254.169.254",
    "10.0.0.1",
    "100.64.0.1",
    "192.0.0.1",
    "198.18.0.1",
    "user:pass@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com%40127.0.0.1",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
async def test_a_hostile_url_never_reaches_the_private_server(target: Target, host: str) -> None:
    async with open_client(PUBLIC_ONLY, connect_timeout_s=2, read_timeout_s=2) as client:
        with pytest.raises((aiohttp.ClientError, OSError, ValueError)):
            await client.get(f"http://{host}:{target.port}/secret")
    assert target.hits == []


async def test_the_refusal_names_the_address(target: Target) -> None:
    async with open_client(PUBLIC_ONLY) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as fault:
            await client.get(f"http://localhost:{target.port}/secret")
    assert refused_address(fault.value) in ("127.0.0.1", "::1")
    assert refused_address(ValueError("something else")) is None


ALLOWS_ONE = AddressPolicy((ipaddress.IPv4Network("127.0.0.1/32"),))


async def test_an_allowed_address_is_reached(target: Target) -> None:
    async with open_client(ALLOWS_ONE) as client, client.get(f"http://127.0.0.1:{target.port}/ok") as answer:
        assert await answer.text() == "SECRET"
    assert target.hits == ["/ok"]


async def test_a_redirect_to_a_private_address_is_refused(target: Target) -> None:
    async with open_client(ALLOWS_ONE) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as fault:
            await client.get(f"http://127.0.0.1:{target.port}/redirect")
    assert refused_address(fault.value) == "127.0.0.2"
    assert target.hits == ["/redirect"]


class Rebinding(aiohttp.abc.AbstractResolver):
    """Public at the first question, private at every later one."""

    def __init__(self, first: str) -> None:
        self.answers = [first]

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        ip = self.answers.pop() if self.answers else "127.0.0.1"
        return [{"hostname": host, "host": ip, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None: ...


async def test_dns_rebinding_does_not_help(target: Target) -> None:
    resolver = Rebinding("8.8.8.8")
    await resolver.resolve("evil.example")  # what a check before the request would have seen
    async with open_client(PUBLIC_ONLY, resolver=resolver) as client:
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectorError) as fault:
                await client.get(URL(f"http://evil.example:{target.port}/"))
            assert refused_address(fault.value) == "127.0.0.1"
    assert target.hits == []


async def test_proxies_of_the_environment_are_ignored(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{target.port}")
    async with open_client(PUBLIC_ONLY) as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get("http://10.0.0.1/")
    assert target.hits == []


async def test_unix_sockets_cannot_be_dialled() -> None:
    async with open_client(PUBLIC_ONLY) as client:
        with pytest.raises((aiohttp.ClientError, ValueError, AssertionError)):
            await client.get("unix:///var/run/docker.sock")
