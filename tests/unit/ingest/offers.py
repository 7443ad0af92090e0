"""Offers of WHIP publishers, written out, to be changed by tests."""

FINGERPRINT = ":".join(["AB"] * 32)

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
TRANSPORT = (
    "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef0123456789\r\n"
    f"a=fingerprint:sha-256 {FINGERPRINT}\r\na=setup:actpass\r\n"
)
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n"
    + TRANSPORT
    + "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=ssrc:1111 cname:a\r\n"
)
VP8 = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n"
H264 = (
    "a=rtpmap:102 H264/90000\r\na=rtcp-fb:102 nack\r\na=rtcp-fb:102 nack pli\r\na=rtcp-fb:102 goog-remb\r\n"
    "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
    "a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n"
)
SSRC = "a=ssrc-group:FID 2222 3333\r\na=ssrc:2222 cname:a\r\na=ssrc:3333 cname:a\r\n"
CANDIDATES = (
    "a=candidate:1 1 udp 2130706431 203.0.113.9 5000 typ host\r\n"
    "a=candidate:2 1 udp 2130706431 7e1b.local 5001 typ host\r\na=end-of-candidates\r\n"
)


def video(codecs: str = VP8 + H264) -> str:
    return "m=video 9 UDP/TLS/RTP/SAVPF 96 102 103\r\na=mid:1\r\na=sendonly\r\n" + TRANSPORT + codecs + SSRC


def browser() -> str:
    """Sound and picture, VP8 before H.264, as browsers offer them."""
    return HEAD + AUDIO + video()
