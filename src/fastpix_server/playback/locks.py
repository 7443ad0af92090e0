"""How manifests name the key of an encrypted id: HLS key tags (RFC 8216, 4.3.2.4) and DASH ContentProtection.

Invariants: only public things stand here (the key's id, never the key, no token); an id that is not encrypted has no
locks; one that is encrypted never comes out without.
"""

import uuid

from fastpix_server.engine.protect import COMMON_SYSTEM, WIDEVINE_SYSTEM, base64_of, common_pssh, widevine_pssh
from fastpix_server.playback.model import PlaybackId

_FAIRPLAY = "com.apple.streamingkeydelivery"
# hls.js knows the system by this name and reads the id of the key out of the URI; no registry has one for it.
_CLEARKEY = "org.w3.clearkey"
# The system id that DASH-IF gave ClearKey; dash.js looks for it, Shaka Player for the common one.
_CLEARKEY_DASH = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"


def hls_keys(playback_id: PlaybackId) -> list[str]:
    """`EXT-X-KEY` tags for a media playlist. A player takes the first format that it knows."""
    key_id = _key_id(playback_id)
    if key_id is None:
        return []
    number = f"0x{key_id.replace('-', '').upper()}"
    return [
        f'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="{uri}",{f"KEYID={number}," if named else ""}'
        f'KEYFORMAT="{form}",KEYFORMATVERSIONS="1"'
        for form, uri, named in (
            (f"urn:uuid:{WIDEVINE_SYSTEM}", _data(widevine_pssh(key_id)), True),
            (_FAIRPLAY, f"skd://{key_id}", False),
            (_CLEARKEY, _data(uuid.UUID(key_id).bytes), True),
        )
    ]


def hls_session_keys(playback_id: PlaybackId) -> list[str]:
    """The same for the multivariant playlist, so that a player may ask for its licence before it has a segment."""
    return [key.replace("#EXT-X-KEY:", "#EXT-X-SESSION-KEY:", 1) for key in hls_keys(playback_id)]


def dash_protection(playback_id: PlaybackId) -> str:
    """`ContentProtection` elements for every AdaptationSet. FairPlay is not among them: Apple plays no DASH."""
    key_id = _key_id(playback_id)
    if key_id is None:
        return ""
    common, widevine = base64_of(common_pssh(key_id)), base64_of(widevine_pssh(key_id))
    head = "      <ContentProtection schemeIdUri="
    return (
        f'{head}"urn:mpeg:dash:mp4protection:2011" value="cbcs" cenc:default_KID="{key_id}"/>\n'
        f'{head}"urn:uuid:{COMMON_SYSTEM}"><cenc:pssh>{common}</cenc:pssh></ContentProtection>\n'
        f'{head}"{_CLEARKEY_DASH}" value="ClearKey1.0"><cenc:pssh>{common}</cenc:pssh></ContentProtection>\n'
        f'{head}"urn:uuid:{WIDEVINE_SYSTEM}"><cenc:pssh>{widevine}</cenc:pssh></ContentProtection>\n'
    )


def _key_id(playback_id: PlaybackId) -> str | None:
    if playback_id.access_policy != "drm":
        return None
    assert playback_id.content_key_id is not None, "made in the transaction that made the id"
    return playback_id.content_key_id


def _data(value: bytes) -> str:
    return f"data:text/plain;base64,{base64_of(value)}"
