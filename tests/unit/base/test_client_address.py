"""Whose address it is: only trusted proxies are believed, and nothing that a stranger writes can be more than noise."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.base.client_address import (
    HOPS_MAX,
    UNKNOWN,
    client_address,
    customer_of,
    parse_address,
)

OURS = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8")))
addresses = st.ip_addresses().filter(lambda a: getattr(a, "ipv4_mapped", None) is None).map(str)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # a stranger's own word
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.99, 198.51.100.1"], "198.51.100.1"),  # what the client invented is left of it
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),  # two headers are one list
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:DB8::1]:443"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fd00::1%eth0", ["2001:db8::1"], "2001:db8::1"),
        (None, ["198.51.100.1"], UNKNOWN),
        ("a socket", ["198.51.100.1"], UNKNOWN),
        ("10.0.0.1", [""], "10.0.0.1"),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_of_ours_is_the_client(peer, forwarded, expected):
    assert client_address(peer, forwarded, OURS) == expected


@given(peer=addresses, forwarded=st.lists(st.text()))
def test_without_trusted_proxies_the_header_is_never_read(peer, forwarded):
    assert client_address(peer, forwarded, ()) == peer


@given(invented=st.lists(st.text(), max_size=4), real=addresses.filter(lambda a: not a.startswith(("10.", "fd"))))
def test_nothing_that_a_client_sends_changes_the_address_that_our_proxy_saw(invented, real):
    assert client_address("10.0.0.1", [*invented, real], OURS) == real
    assert client_address("10.0.0.1", [", ".join([*invented, real])], OURS) == real


@given(peer=st.none() | st.text() | addresses, forwarded=st.lists(st.text() | addresses.map(lambda a: f"[{a}]:1")))
def test_the_answer_is_an_address_in_canonical_form_whatever_was_sent(peer, forwarded):
    found = client_address(peer, forwarded, [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")])
    assert found == UNKNOWN or str(ipaddress.ip_address(found)) == found
    assert customer_of(found)


def test_a_longer_chain_than_ours_could_be_is_not_followed():
    forwarded = ["198.51.100.1" + ", 10.0.0.2" * HOPS_MAX]
    assert client_address("10.0.0.1", forwarded, OURS) == "10.0.0.2"
    assert client_address("10.0.0.1", ["198.51.100.1" + ", 10.0.0.2" * (HOPS_MAX - 1)], OURS) == "198.51.100.1"


def test_one_customer_is_an_ipv4_address_or_a_64_of_ipv6():
    assert customer_of("198.51.100.1") == "198.51.100.1"
    assert customer_of("2001:db8:1:2:3::4") == customer_of("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert customer_of("2001:db8:1:3::") != customer_of("2001:db8:1:2::")
    assert customer_of(UNKNOWN) == UNKNOWN


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4:", "[1.2.3.4", "[::1]:123456", "1.2.3.4, 5.6.7.8", "1" * 100])
def test_what_is_no_address_is_none(text):
    assert parse_address(text) is None
