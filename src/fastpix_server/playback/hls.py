"""HLS playlists (RFC 8216, with fMP4 as of version 7) from a plan: pure text, no look at storage.

Invariants: every URI is relative, so a playlist works under any host and prefix; a media playlist is complete from the
moment of publishing and never changes, because its URL carries the plan's revision.
"""

from collections.abc import Sequence

from fastpix_server.engine.plan import AudioRendition, VideoRendition
from fastpix_server.playback.model import Target
from fastpix_server.playback.rates import durations_s, rates, target_duration_s

_HEAD = ("#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS")
_GROUP = "audio"


def multivariant(
    target: Target,
    videos: Sequence[VideoRendition],
    *,
    root: str,
    with_audio_only: bool = True,
    keys: Sequence[str] = (),
) -> str:
    """The first playlist a player reads. `videos` in the order to list; `root` is the folder of the renditions' URIs.
    `keys` are tags of an encrypted id (locks.py).

    The audio-only variant comes last: a player that starts with the first variant must get a picture.
    """
    plan = target.plan
    lines = [*_HEAD, *keys]
    if plan.audios and videos:
        lines += [_media(audio, name, root, k == 0) for k, (audio, name) in enumerate(named(plan.audios))]
    lines += [line for video in videos for line in _video_variant(target, video, root)]
    if plan.audios and (with_audio_only or not videos):
        lines += _audio_variant(target, plan.audios[0], root, grouped=bool(videos))
    return "\n".join(lines) + "\n"


def media(target: Target, rendition: VideoRendition | AudioRendition, *, keys: Sequence[str] = ()) -> str:
    """The complete list of one rendition's segments; URIs are relative to the playlist itself."""
    lengths_s = durations_s(target.plan, rendition)
    lines = [
        *_HEAD,
        f"#EXT-X-TARGETDURATION:{target_duration_s(lengths_s)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        '#EXT-X-MAP:URI="init.mp4"',
        *keys,
    ]
    for k, length_s in enumerate(lengths_s):
        lines += [f"#EXTINF:{float(length_s):.6f},", f"{k}.m4s"]
    lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def named(audios: Sequence[AudioRendition]) -> list[tuple[AudioRendition, str]]:
    """Each audio with the name for a player's menu; names are unique within a group (RFC 8216, 4.3.4.1.1)."""
    taken: set[str] = set()
    named: list[tuple[AudioRendition, str]] = []
    for audio in audios:
        base = _quotable(audio.title) or "default"
        name, number = base, 2
        while name in taken:
            name, number = f"{base} {number}", number + 1
        taken.add(name)
        named.append((audio, name))
    return named


def _media(audio: AudioRendition, name: str, root: str, is_default: bool) -> str:
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_GROUP}",LANGUAGE="{_quotable(audio.language) or "und"}",NAME="{name}",'
        f'DEFAULT={"YES" if is_default else "NO"},AUTOSELECT=YES,CHANNELS="{audio.channels}",'
        f'URI="{root}/{audio.name}/index.m3u8"'
    )


def _video_variant(target: Target, video: VideoRendition, root: str) -> list[str]:
    plan = target.plan
    picture = rates(plan, video, target.measured)
    sounds = [rates(plan, audio, target.measured) for audio in plan.audios]
    peak = picture.peak_bps + max((s.peak_bps for s in sounds), default=0)
    average = picture.average_bps + max((s.average_bps for s in sounds), default=0)
    codecs = ",".join([video.codec, *sorted({audio.codec for audio in plan.audios})])
    return [
        f"#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},"
        f'CODECS="{codecs}",RESOLUTION={video.width}x{video.height},FRAME-RATE={float(plan.timeline.fps):.3f}'
        + (f',AUDIO="{_GROUP}"' if plan.audios else ""),
        f"{root}/{video.name}/index.m3u8",
    ]


def _audio_variant(target: Target, audio: AudioRendition, root: str, *, grouped: bool) -> list[str]:
    sound = rates(target.plan, audio, target.measured)
    return [
        f'#EXT-X-STREAM-INF:BANDWIDTH={sound.peak_bps},AVERAGE-BANDWIDTH={sound.average_bps},CODECS="{audio.codec}"'
        + (f',AUDIO="{_GROUP}"' if grouped else ""),
        f"{root}/{audio.name}/index.m3u8",
    ]


def _quotable(text: str) -> str:
    """A quoted string holds no quote and no line break (RFC 8216, 4.2)."""
    return "".join(" " if c in '"\r\n' or not c.isprintable() else c for c in text).strip()
