"""Offers: what we take, what we refuse and in which words; hostile ones cost nothing and raise nothing."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ingest import offers

from fastpix_server.ingest import whip_offer
from fastpix_server.ingest.whip_model import MAX_OFFER_BYTES, Unusable
from fastpix_server.ingest.whip_offer import Offer


def test_an_offer_of_a_browser_is_taken():
    offer = whip_offer.read_offer(offers.browser())
    assert isinstance(offer, Offer)
    assert offer.kinds == ("audio", "video")


def test_the_addresses_that_an_offer_names_are_not_kept():
    offer = whip_offer.read_offer(offers.browser() + offers.CANDIDATES)
    assert isinstance(offer, Offer)
    assert "203.0.113.9" not in offer.sdp
    assert "candidate" not in offer.sdp


@pytest.mark.parametrize(("offered", "kept"), [("actpass", "active"), ("active", "active"), ("passive", "passive")])
def test_the_publisher_begins_dtls_where_it_leaves_that_to_us(offered: str, kept: str) -> None:
    """GStreamer's certificates are of RSA, and aiortc does not begin with those."""
    offer = whip_offer.read_offer(offers.browser().replace("setup:actpass", f"setup:{offered}"))
    assert isinstance(offer, Offer)
    assert re.findall("a=setup:(.*)\r", offer.sdp) == [kept, kept]


@pytest.mark.parametrize(
    ("sdp", "reason", "word"),
    [
        (offers.HEAD + offers.AUDIO + offers.video(offers.VP8), "unsupported", "H.264"),
        (offers.browser().replace("42e01f", "64001f"), "unsupported", "H.264"),
        (offers.browser().replace("packetization-mode=1", "packetization-mode=0"), "unsupported", "H.264"),
        (offers.browser().replace("opus/48000/2", "PCMX/8000"), "unsupported", "Opus"),
        (offers.browser().replace("sendonly", "recvonly"), "unsupported", "sendonly"),
        (offers.browser().replace("BUNDLE 0 1", "BUNDLE 0"), "unsupported", "BUNDLE"),
        (offers.HEAD + offers.video() + offers.video().replace("mid:1", "mid:0"), "unsupported", "Two sections"),
        (offers.HEAD, "unsupported", "no audio and no video"),
        (
            offers.browser() + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n",
            "unsupported",
            "application",
        ),
        (offers.browser().replace("a=ice-ufrag:abcd\r\n", ""), "malformed", "ICE"),
        (offers.browser().replace("a=fingerprint", "a=finger"), "malformed", "fingerprint"),
        ("hello", "unsupported", "no audio"),
        ("m=video", "malformed", "SDP"),
        ("v=0\r\n" + "a=x\r\n" * 3000, "malformed", "lines"),
        ("v=0\r\n" + "a" * MAX_OFFER_BYTES, "malformed", "bytes"),
    ],
)
def test_an_offer_that_cannot_be_taken_is_refused_in_words(sdp: str, reason: str, word: str):
    found = whip_offer.read_offer(sdp)
    assert isinstance(found, Unusable)
    assert found.reason == reason
    assert word in found.text


@given(st.integers(0, 2**32))
def test_a_damaged_offer_raises_nothing(seed: int):
    chance = random.Random(seed)
    text = list(offers.browser())
    for _ in range(chance.randint(1, 40)):
        at = chance.randrange(len(text))
        text[at : at + chance.randint(0, 30)] = chance.choice(["", "\r\n", "a=", "9" * 40, "\0", "é", "m=video "])
    whip_offer.read_offer("".join(text))


def test_announced_addresses_stand_beside_our_own_of_the_same_family():
    answer = "m=video 9 X 96\r\na=candidate:f1 1 udp 2130706431 10.0.0.5 4000 typ host\r\na=end-of-candidates\r\n"
    lines = whip_offer.announce(answer, ["198.51.100.7", "2001:db8::1"]).splitlines()
    assert lines[1] == "a=candidate:f1 1 udp 2130706431 10.0.0.5 4000 typ host"
    assert lines[2] == "a=candidate:f190 1 udp 2130706430 198.51.100.7 4000 typ host"
    assert len(lines) == 4
