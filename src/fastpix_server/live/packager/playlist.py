"""Live playlists as text (RFC 8216bis): media playlists with parts, hints, delta updates and rendition reports, the
long form for going back to the beginning, and the multivariant playlist.

Invariants: pure functions of what they are given; every URI is relative; low-latency tags stand only where parts
exist, and players that do not know them lose nothing by passing over them. TARGETDURATION comes from outside and is
the same in every playlist of a session.
"""

import dataclasses
import datetime
from collections.abc import Sequence
from itertools import islice

from fastpix_server.live.model import RenditionInfo
from fastpix_server.live.packager.segments import PART_MAX_S, WINDOW_S, Rendition, Segment

# 4.4.4.9: parts are listed near the live edge only; players that are further behind load whole segments.
PARTS_BEHIND_TARGETS = 3
# 4.4.3.8: three part targets is what is recommended to survive a request that comes late.
PART_HOLD_BACK_S = 3 * PART_MAX_S
HOLD_BACK_TARGETS = 3
SKIP_TARGETS = 6  # the least that 4.4.3.8 allows
# A segment whose end is nearer than this has no further part, as far as can be told: those of sound differ by a frame.
_PART_LEAST_S = 0.05
# In long playlists only each eighth segment repeats its time of day: they are sent again and again.
PDT_EVERY = 8
DVR_PARAMETER = "dvrMode=true"


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """Which playlist is wanted, and what all playlists of the session have in common."""

    target_duration_s: int
    is_ended: bool
    is_dvr: bool = False
    is_delta: bool = False


def listed(rendition: Rendition, form: Form) -> list[Segment]:
    """The entries of the playlist, oldest first; the last one may still be open."""
    if form.is_dvr:
        return [s for s in rendition.segments if s.is_done or s.parts]
    shown: list[Segment] = []
    length_s = 0.0
    for segment in reversed(rendition.segments):
        if length_s >= WINDOW_S:
            break
        if segment.is_done or segment.parts:
            shown.append(segment)
            length_s += segment.duration_s
    return shown[::-1]


def media(rendition: Rendition, others: Sequence[Rendition], form: Form, *, expected_s: float) -> str:
    """`expected_s` is how long the open segment will probably last: it tells what the next part will be called."""
    segments = listed(rendition, form)
    has_parts = not form.is_ended and any(s.parts for s in segments)
    first_with_parts = _first_with_parts(segments, form) if has_parts else len(segments)
    skipped = _skipped(segments, form) if form.is_delta and not form.is_ended else 0
    lines = _head(segments, form, has_parts, skipped)
    init_epoch = _epoch_of_map(segments[:skipped])
    for at, segment in enumerate(islice(segments, skipped, None), skipped):
        if segment.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.epoch != init_epoch and not segment.is_gap:
            lines.append(f'#EXT-X-MAP:URI="init-{segment.epoch}.mp4"')
            init_epoch = segment.epoch
        if not form.is_dvr or at == 0 or segment.is_discontinuity or segment.number % PDT_EVERY == 0:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_instant(segment.pdt_ms)}")
        if at >= first_with_parts:
            lines += _parts(segment)
        if segment.is_done:
            lines += [*(("#EXT-X-GAP",) if segment.is_gap else ()), f"#EXTINF:{segment.duration_s:.5f},"]
            lines.append(f"{segment.number}.m4s")
    if form.is_ended:
        lines.append("#EXT-X-ENDLIST")
    elif has_parts:
        lines += _tail(rendition, others, segments[-1], form, expected_s)
    return "\n".join(lines) + "\n"


def _head(segments: Sequence[Segment], form: Form, has_parts: bool, skipped: int) -> list[str]:
    target = form.target_duration_s
    lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-INDEPENDENT-SEGMENTS", f"#EXT-X-TARGETDURATION:{target}"]
    if not form.is_ended:
        control = f"CAN-BLOCK-RELOAD=YES,HOLD-BACK={HOLD_BACK_TARGETS * target:.3f},"
        control += f"CAN-SKIP-UNTIL={SKIP_TARGETS * target:.1f}"
        if has_parts:
            control += f",PART-HOLD-BACK={PART_HOLD_BACK_S:.3f}"
        lines.append(f"#EXT-X-SERVER-CONTROL:{control}")
        if has_parts:
            lines.append(f"#EXT-X-PART-INF:PART-TARGET={PART_MAX_S:.5f}")
    first = segments[0] if segments else None
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first.number if first else 0}")
    # Each epoch after the first begins with one discontinuity, in every rendition: the count is the epoch itself.
    discontinuities = first.epoch - first.is_discontinuity if first else 0
    if discontinuities:
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}")
    if form.is_dvr and (first is None or first.number == 0):
        lines.append("#EXT-X-PLAYLIST-TYPE:EVENT")
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    return lines


def _epoch_of_map(segments: Sequence[Segment]) -> int | None:
    """Of the map that is in force after these segments."""
    return next((s.epoch for s in reversed(segments) if not s.is_gap), None)


def _first_with_parts(segments: Sequence[Segment], form: Form) -> int:
    """Index of the first segment that ends less than three target durations from the end."""
    behind_s = 0.0
    for at in range(len(segments) - 1, -1, -1):
        if behind_s >= PARTS_BEHIND_TARGETS * form.target_duration_s:
            return at + 1
        behind_s += segments[at].duration_s
    return 0


def _skipped(segments: Sequence[Segment], form: Form) -> int:
    """How many segments a delta update leaves out: whole ones older than the skip boundary (6.2.5.1)."""
    behind_s = 0.0
    boundary_s = SKIP_TARGETS * form.target_duration_s
    for at in range(len(segments) - 1, -1, -1):
        behind_s += segments[at].duration_s
        if behind_s > boundary_s:
            return at if at > 1 else 0  # the tag itself costs as much as one segment saves
    return 0


def _parts(segment: Segment) -> list[str]:
    return [
        f'#EXT-X-PART:DURATION={part.duration / segment.timescale:.5f},URI="{segment.number}.{k}.m4s"'
        + (",INDEPENDENT=YES" if part.is_independent else "")
        for k, part in enumerate(segment.parts)
    ]


def _tail(rendition: Rendition, others: Sequence[Rendition], last: Segment, form: Form, expected_s: float) -> list[str]:
    """What will come next here, and how far the other renditions are."""
    is_full = last.is_done or abs(last.duration_s - expected_s) < _PART_LEAST_S
    number, part = (last.number + 1, 0) if is_full else (last.number, len(last.parts))
    lines = [f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{number}.{part}.m4s"']
    suffix = f"?{DVR_PARAMETER}" if form.is_dvr else ""
    for other in others:
        newest = other.last_part() if other is not rendition else None
        if newest is not None:
            lines.append(
                f'#EXT-X-RENDITION-REPORT:URI="../{other.name}/index.m3u8{suffix}",'
                f"LAST-MSN={newest[0]},LAST-PART={newest[1]}"
            )
    return lines


def _instant(ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(ms // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """A video rendition as the multivariant playlist shows it. The rates include the sound."""

    info: RenditionInfo
    peak_bps: int


def multivariant(variants: Sequence[Variant], audio: Variant | None, *, root: str, is_dvr: bool = False) -> str:
    """`variants` in the order to list; with none, the sound is the only variant. `root`: folder of the renditions."""
    suffix = f"?{DVR_PARAMETER}" if is_dvr else ""
    lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-INDEPENDENT-SEGMENTS"]
    if audio is not None and variants:
        lines.append(
            '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",LANGUAGE="und",NAME="default",DEFAULT=YES,AUTOSELECT=YES,'
            f'CHANNELS="{audio.info.channels or 2}",URI="{root}/{audio.info.name}/index.m3u8{suffix}"'
        )
    for variant in variants:
        info = variant.info
        codecs = info.codec + (f",{audio.info.codec}" if audio else "")
        lines.append(
            f'#EXT-X-STREAM-INF:BANDWIDTH={variant.peak_bps},CODECS="{codecs}"'
            + (f",RESOLUTION={info.width}x{info.height}" if info.width and info.height else "")
            + (f",FRAME-RATE={info.fps:.3f}" if info.fps else "")
            + (',AUDIO="audio"' if audio else "")
        )
        lines.append(f"{root}/{info.name}/index.m3u8{suffix}")
    if audio is not None and not variants:
        lines.append(f'#EXT-X-STREAM-INF:BANDWIDTH={audio.peak_bps},CODECS="{audio.info.codec}"')
        lines.append(f"{root}/{audio.info.name}/index.m3u8{suffix}")
    return "\n".join(lines) + "\n"
