"""SDP of WHIP (RFC 9725, RFC 8866): is this an offer that we can take, and the answer's candidates.

Invariants: an offer's ICE candidates are thrown away. We answer checks that come from the publisher and send to no
address that has not proven that it knows the session's ICE password, so an offer cannot make us send anywhere. A
publisher that leaves it to us who begins DTLS begins it: aiortc as the one that begins speaks to ECDSA certificates
only, and GStreamer's are of RSA.
"""

import dataclasses
import ipaddress
from collections.abc import Sequence

from aiortc.codecs import CODECS, is_rtx
from aiortc.rtcpeerconnection import is_codec_compatible
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpCodecParameters
from aiortc.sdp import MediaDescription, SessionDescription

from fastpix_server.ingest.model import Kind
from fastpix_server.ingest.whip_model import MAX_OFFER_BYTES, Unusable

MAX_OFFER_LINES = 2000
_EITHER_SETUP, _THEIR_SETUP = "a=setup:actpass", "a=setup:active"
_CANDIDATES = ("a=candidate:", "a=end-of-candidates", "a=remote-candidates:")


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """`sdp` as we give it to the peer connection; `kinds` in the offer's order."""

    sdp: str
    kinds: tuple[Kind, ...]


def read_offer(sdp: str) -> Offer | Unusable:
    """Checks everything that can be checked before a port is opened."""
    lines = sdp.splitlines()
    if len(sdp.encode()) > MAX_OFFER_BYTES or len(lines) > MAX_OFFER_LINES:
        return Unusable("malformed", f"An offer has at most {MAX_OFFER_BYTES} bytes and {MAX_OFFER_LINES} lines.")
    kept = (_THEIR_SETUP if line.strip() == _EITHER_SETUP else line for line in lines)
    passive = "".join(line + "\r\n" for line in kept if not line.startswith(_CANDIDATES))
    try:
        description = SessionDescription.parse(passive)
        found = _judge(description)
    except Exception:  # the parser meets hostile text and fails in any way that Python can
        return Unusable("malformed", "The body is not an SDP offer.")
    return found if isinstance(found, Unusable) else Offer(passive, found)


def preferences(kind: Kind) -> list[RTCRtpCodecCapability]:
    """What the answer may name: H.264 with retransmission, Opus."""
    return [
        RTCRtpCodecCapability(c.mimeType, c.clockRate, c.channels, {} if is_rtx(c) else c.parameters)
        for c in CODECS[kind]
        if c.name == "opus" or c.name == "H264" or is_rtx(c)
    ]


def announce(answer: str, addresses: Sequence[str]) -> str:
    """Names further addresses, at which a router forwards the same ports to us, beside each candidate of our own."""
    lines: list[str] = []
    for line in answer.splitlines():
        lines.append(line)
        fields = line.split(" ")
        if not line.startswith("a=candidate:") or len(fields) < 8 or fields[7] != "host":
            continue
        version = ipaddress.ip_address(fields[4]).version
        for number, address in enumerate(addresses):
            if ipaddress.ip_address(address).version == version and address != fields[4]:
                # Another address is another foundation (RFC 8445, 5.1.1.3); hosts of our own come first.
                priority = str(int(fields[3]) - 1 - number)
                lines.append(" ".join([f"{fields[0]}9{number}", *fields[1:3], priority, address, *fields[5:]]))
    return "".join(line + "\r\n" for line in lines)


def _judge(description: SessionDescription) -> tuple[Kind, ...] | Unusable:
    kinds: list[Kind] = []
    for media in description.media:
        if media.kind not in ("audio", "video"):
            return Unusable("unsupported", f"A section of kind {media.kind[:20]} is not taken: only audio and video.")
        kind: Kind = "audio" if media.kind == "audio" else "video"
        if kind in kinds:
            return Unusable("unsupported", f"Two sections of {kind} are not taken: one picture and one sound.")
        if (fault := _judge_media(kind, media)) is not None:
            return fault
        kinds.append(kind)
    if not kinds:
        return Unusable("unsupported", "The offer has no audio and no video.")
    bundled = [set(group.items) for group in description.group if group.semantic == "BUNDLE"]
    if len(kinds) > 1 and {media.rtp.muxId for media in description.media} not in bundled:
        return Unusable("unsupported", "All sections must be in one BUNDLE group (RFC 9725, 4.4.1).")
    return tuple(kinds)


def _judge_media(kind: Kind, media: MediaDescription) -> Unusable | None:
    if media.direction not in ("sendonly", "sendrecv"):
        return Unusable("unsupported", f"The {kind} section must be sendonly.")
    ice, dtls = media.ice, media.dtls
    if ice is None or not ice.usernameFragment or not ice.password or dtls is None or not dtls.fingerprints:
        return Unusable("malformed", f"The {kind} section has no ICE credentials or no DTLS fingerprint.")
    if any(_is_wanted(kind, codec) for codec in media.rtp.codecs):
        return None
    wanted = "Opus" if kind == "audio" else "H.264 (constrained baseline, packetization-mode=1)"
    return Unusable("unsupported", f"The {kind} section does not offer {wanted}.")


def _is_wanted(kind: Kind, codec: RTCRtpCodecParameters) -> bool:
    ours = (c for c in CODECS[kind] if c.name in ("opus", "H264"))
    return any(is_codec_compatible(c, codec) for c in ours)
