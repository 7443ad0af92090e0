"""HLS playlists of recordings and clips: closed lists of stored segments, as pure text.

Invariants: every playlist of a recording has the same number of segments with discontinuities at the same places, as
players align renditions by them; a segment that a rendition lacks is listed as a gap (EXT-X-GAP), not left out.
"""

import datetime
from collections.abc import Sequence

from fastpix_server.playback.model import Measured
from fastpix_server.playback.rates import target_duration_s
from fastpix_server.playback.recording import Facts, Recording, Stretch, Track

_GROUP = "audio"


def multivariant(
    recording: Recording, videos: Sequence[Facts], *, root: str, query: str = "", with_audio_only: bool = True
) -> str:
    """`videos` in the order to list; `root` is the folder of the renditions' URIs, `query` what every URI ends in."""
    audios = recording.audios
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    if videos:
        lines += [_media(audio, f"{root}/{audio.name}/index.m3u8{query}", k == 0) for k, audio in enumerate(audios)]
    for video in videos:
        lines += [_variant(recording, video), f"{root}/{video.name}/index.m3u8{query}"]
    if audios and (with_audio_only or not videos):
        sound = recording.measured[audios[0].name]
        group = f',AUDIO="{_GROUP}"' if videos else ""
        lines += [
            f'#EXT-X-STREAM-INF:{_bandwidth(sound)},CODECS="{audios[0].codec}"{group}',
            f"{root}/{audios[0].name}/index.m3u8{query}",
        ]
    return "\n".join(lines) + "\n"


def media(recording: Recording, name: str, *, is_closed: bool = True) -> str:
    """All segments of one rendition; URIs are relative to the playlist itself. One that is not closed will grow."""
    tracks = [(stretch, stretch.track(name)) for stretch in recording.stretches]
    longest_s = max((track or stretch.tracks[0]).longest_s for stretch, track in tracks)
    has_gaps = any(track is None or track.has_gaps for _, track in tracks)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{8 if has_gaps else 7}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f"#EXT-X-TARGETDURATION:{target_duration_s([longest_s])}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if is_closed else 'EVENT'}",
    ]
    for k, (stretch, track) in enumerate(tracks):
        if k:
            lines.append("#EXT-X-DISCONTINUITY")
        lines += _stretch(stretch, track)
    if is_closed:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _stretch(stretch: Stretch, track: Track | None) -> list[str]:
    lines = [f"#EXT-X-PROGRAM-DATE-TIME:{_clock(stretch.pdt_ms)}"]
    if track is None:
        lead = stretch.tracks[0]
        for k, duration in enumerate(lead.durations, stretch.first):
            lines += ["#EXT-X-GAP", *_segment(k, duration / lead.facts.timescale)]
        return lines
    lines.append(f'#EXT-X-MAP:URI="init-{stretch.epoch}.mp4"')
    for k, (duration, size) in enumerate(zip(track.durations, track.sizes, strict=True), stretch.first):
        if not size:
            lines.append("#EXT-X-GAP")
        lines += _segment(k, duration / track.facts.timescale)
    return lines


def _segment(number: int, length_s: float) -> tuple[str, str]:
    return f"#EXTINF:{length_s:.6f},", f"{number}.m4s"


def _media(audio: Facts, uri: str, is_default: bool) -> str:
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_GROUP}",LANGUAGE="und",NAME="{"default" if is_default else audio.name}",'
        f'DEFAULT={"YES" if is_default else "NO"},AUTOSELECT=YES,CHANNELS="{audio.channels}",URI="{uri}"'
    )


def _variant(recording: Recording, video: Facts) -> str:
    audios = recording.audios
    rates = recording.measured
    picture = rates[video.name]
    most = Measured(
        picture.peak_bps + max((rates[a.name].peak_bps for a in audios), default=0),
        picture.average_bps + max((rates[a.name].average_bps for a in audios), default=0),
    )
    codecs = ",".join([video.codec, *sorted({a.codec for a in audios})])
    return (
        f'#EXT-X-STREAM-INF:{_bandwidth(most)},CODECS="{codecs}",RESOLUTION={video.width}x{video.height}'
        + (f",FRAME-RATE={video.fps:.3f}" if video.fps > 0 else "")
        + (f',AUDIO="{_GROUP}"' if audios else "")
    )


def _bandwidth(rates: Measured) -> str:
    return f"BANDWIDTH={rates.peak_bps},AVERAGE-BANDWIDTH={rates.average_bps}"


def _clock(pdt_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(pdt_ms // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{pdt_ms % 1000:03d}Z"
