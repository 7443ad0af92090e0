"""HLS playlists (RFC 8216, with fMP4 as of version 7) from a plan: pure text, no look at storage.

Invariants: every URI is relative, so a playlist works under any host and prefix; a media playlist is complete from the
moment of publishing and never changes, because its URL carries the plan's revision.
"""

from collections.abc import Iterable, Sequence

from fastpix_server.engine.plan import AudioRendition, VideoRendition
from fastpix_server.playback import texts
from fastpix_server.playback.model import Sound, Target, Text
from fastpix_server.playback.rates import durations_s, rates, target_duration_s

_HEAD = ("#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS")
_GROUP = "audio"
_TEXTS = "text"


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
    sounds = target.sounds
    # Alone, the sound of media without a picture is the variant itself.
    is_grouped = bool(sounds) and (bool(videos) or len(sounds) > 1)
    lines = [*_HEAD, *keys]
    if is_grouped:
        lines += [_media(sound.rendition, name, root, k == 0) for k, (sound, name) in enumerate(named(sounds))]
    lines += [_text(text, name, root) for text, name in named_texts(target.extras.texts)]
    lines += [line for video in videos for line in _video_variant(target, video, sounds, root)]
    if sounds and (with_audio_only or not videos):
        lines += _audio_variant(target, sounds[0], root, grouped=is_grouped)
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


def text(target: Target) -> str:
    """The list of a subtitle track's segments, which is the same for every track."""
    lengths_s = texts.durations_s(target.plan.timeline)
    lines = [
        *_HEAD[:2],
        f"#EXT-X-TARGETDURATION:{target_duration_s(lengths_s)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
    ]
    for k, length_s in enumerate(lengths_s):
        lines += [f"#EXTINF:{float(length_s):.6f},", f"{k}.vtt"]
    lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def named(sounds: Sequence[Sound]) -> list[tuple[Sound, str]]:
    """Each sound with the name for a player's menu; names are unique within a group (RFC 8216, 4.3.4.1.1)."""
    return list(zip(sounds, _unique(sound.rendition.title for sound in sounds), strict=True))


def named_texts(tracks: Sequence[Text]) -> list[tuple[Text, str]]:
    """As `named`, for subtitles, whose group is their own."""
    return list(zip(tracks, _unique(track.label.title for track in tracks), strict=True))


def _unique(titles: Iterable[str]) -> list[str]:
    taken: list[str] = []
    for title in titles:
        base = _quotable(title) or "default"
        name, number = base, 2
        while name in taken:
            name, number = f"{base} {number}", number + 1
        taken.append(name)
    return taken


def _media(audio: AudioRendition, name: str, root: str, is_default: bool) -> str:
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_GROUP}",LANGUAGE="{_quotable(audio.language) or "und"}",NAME="{name}",'
        f'DEFAULT={"YES" if is_default else "NO"},AUTOSELECT=YES,CHANNELS="{audio.channels}",'
        f'URI="{root}/{audio.name}/index.m3u8"'
    )


def _text(text: Text, name: str, root: str) -> str:
    """Never on by itself: a viewer, or what a player knows of him, chooses (RFC 8216, 4.3.4.1)."""
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="{_TEXTS}",LANGUAGE="{_quotable(text.label.language) or "und"}",'
        f'NAME="{name}",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="{root}/{text.name}/index.m3u8"'
    )


def _video_variant(target: Target, video: VideoRendition, sounds: Sequence[Sound], root: str) -> list[str]:
    plan = target.plan
    picture = rates(plan, video, target.measured)
    heard = [rates(sound.target.plan, sound.rendition, sound.target.measured) for sound in sounds]
    peak = picture.peak_bps + max((s.peak_bps for s in heard), default=0)
    average = picture.average_bps + max((s.average_bps for s in heard), default=0)
    codecs = ",".join([video.codec, *sorted({sound.rendition.codec for sound in sounds})])
    return [
        f"#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},"
        f'CODECS="{codecs}",RESOLUTION={video.width}x{video.height},FRAME-RATE={float(plan.timeline.fps):.3f}'
        + (f',AUDIO="{_GROUP}"' if sounds else "")
        + (f',SUBTITLES="{_TEXTS}"' if target.extras.texts else ""),
        f"{root}/{video.name}/index.m3u8",
    ]


def _audio_variant(target: Target, first: Sound, root: str, *, grouped: bool) -> list[str]:
    audio = first.rendition
    heard = rates(first.target.plan, audio, first.target.measured)
    return [
        f'#EXT-X-STREAM-INF:BANDWIDTH={heard.peak_bps},AVERAGE-BANDWIDTH={heard.average_bps},CODECS="{audio.codec}"'
        + (f',AUDIO="{_GROUP}"' if grouped else "")
        + (f',SUBTITLES="{_TEXTS}"' if target.extras.texts else ""),
        f"{root}/{audio.name}/index.m3u8",
    ]


def _quotable(text: str) -> str:
    """A quoted string holds no quote and no line break (RFC 8216, 4.2)."""
    return "".join(" " if c in '"\r\n' or not c.isprintable() else c for c in text).strip()
