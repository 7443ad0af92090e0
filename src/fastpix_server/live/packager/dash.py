"""The DASH manifest (ISO/IEC 23009-1) of a running or ended session, over the same segments that HLS lists: pure text.

Invariants: one Period per epoch; while the session runs its place is the time of day at which its first picture was
made, so gaps between connections stay gaps; times within are those of the segments (`tfdt`); every URL is relative.
Numbers of a template cannot leave one out: a rendition is listed from behind its newest gap.
"""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from fastpix_server.ingest.model import CLOCK_HZ
from fastpix_server.live.model import RenditionInfo
from fastpix_server.live.packager.segments import WINDOW_S, Segment

_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
_PROFILES = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"
# Players stay this many target durations behind, so that a segment is there when they ask for it.
_DELAY_TARGETS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A rendition's whole segments to list, of any epochs, and what it was in each of them."""

    name: str
    infos: Mapping[int, RenditionInfo]
    segments: Sequence[Segment]
    peak_bps: int


@dataclasses.dataclass(frozen=True, slots=True)
class Epoch:
    """`start` counts CLOCK_HZ on the session's clock, `wall_ms` is the time of day then."""

    number: int
    start: int
    wall_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """What one Period shows of one rendition."""

    info: RenditionInfo
    peak_bps: int
    segments: Sequence[Segment]


@dataclasses.dataclass(frozen=True, slots=True)
class _Period:
    epoch: Epoch
    parts: Sequence[_Part]
    start_ms: int
    offset: int  # of the session's clock, CLOCK_HZ, at the Period's start
    length_ms: int


def manifest(
    renditions: Sequence[Listed],
    epochs: Sequence[Epoch],
    *,
    root: str,
    target_duration_s: int,
    now_ms: int,
    is_ended: bool,
    is_dvr: bool,
) -> str:
    """`epochs` oldest first, all of the session's that are known; the first one is the origin of all times."""
    periods = _periods(renditions, epochs, is_ended)
    total_ms = max((p.start_ms + p.length_ms for p in periods), default=0)
    attributes = f'profiles="{_PROFILES}" minBufferTime="PT{target_duration_s}S"'
    attributes += f' maxSegmentDuration="PT{target_duration_s + 1}S"'
    if is_ended:
        attributes += f' type="static" mediaPresentationDuration="{_seconds(total_ms)}"'
        timing = ""
    else:
        depth_s = WINDOW_S if not is_dvr else total_ms / 1000 + target_duration_s
        attributes += (
            f' type="dynamic" availabilityStartTime="{_instant(epochs[0].wall_ms)}" publishTime="{_instant(now_ms)}"'
            f' minimumUpdatePeriod="PT{target_duration_s}S" timeShiftBufferDepth="PT{depth_s:.3f}S"'
            f' suggestedPresentationDelay="PT{_DELAY_TARGETS * target_duration_s}S"'
        )
        timing = f'  <UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="{_instant(now_ms)}"/>\n'
    body = "".join(_period(p, root, is_last=p is periods[-1], is_ended=is_ended) for p in periods)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" {attributes}>\n{body}{timing}</MPD>\n'
    )


def _periods(renditions: Sequence[Listed], epochs: Sequence[Epoch], is_ended: bool) -> list[_Period]:
    """Without overlap, whatever the walls' clocks say; an ended presentation has no gaps between them."""
    periods: list[_Period] = []
    end_ms = 0
    for epoch in epochs:
        parts = [part for rendition in renditions if (part := _part(rendition, epoch.number)) is not None]
        if not parts:
            continue
        first = min(_on_clock(part.segments[0].start, part) for part in parts)
        last = max(_on_clock(part.segments[-1].start + part.segments[-1].duration, part) for part in parts)
        offset = first if is_ended else epoch.start
        start_ms = end_ms if is_ended else max(end_ms, epoch.wall_ms - epochs[0].wall_ms)
        length_ms = (last - offset) * 1000 // CLOCK_HZ
        periods.append(_Period(epoch, parts, start_ms, offset, length_ms))
        end_ms = start_ms + length_ms
    return periods


def _part(rendition: Listed, epoch: int) -> _Part | None:
    info = rendition.infos.get(epoch)
    own = [s for s in rendition.segments if s.epoch == epoch and s.is_done]
    after = next((at + 1 for at in range(len(own) - 1, -1, -1) if own[at].is_gap), 0)
    return _Part(info, rendition.peak_bps, own[after:]) if info is not None and own[after:] else None


def _on_clock(ticks: int, part: _Part) -> int:
    return round(ticks * CLOCK_HZ / part.info.timescale)


def _period(period: _Period, root: str, *, is_last: bool, is_ended: bool) -> str:
    families: dict[str, list[_Part]] = {}
    for part in period.parts:
        families.setdefault(part.info.codec_family, []).append(part)
    sets = [_set(number, parts, period, root) for number, parts in enumerate(families.values(), 1)]
    length = "" if is_last and not is_ended else f' duration="{_seconds(period.length_ms)}"'
    return (
        f'  <Period id="{period.epoch.number}" start="{_seconds(period.start_ms)}"{length}>\n'
        + "".join(sets)
        + "  </Period>\n"
    )


def _set(number: int, parts: Sequence[_Part], period: _Period, root: str) -> str:
    """Representations that a player may switch between: of one codec."""
    kind = parts[0].info.kind
    language = ' lang="und"' if kind == "audio" else ""
    return (
        f'    <AdaptationSet id="{number}" contentType="{kind}" mimeType="{kind}/mp4"{language}'
        ' segmentAlignment="true" startWithSAP="1">\n'
        '      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>\n'
        + "".join(_representation(part, period, root) for part in parts)
        + "    </AdaptationSet>\n"
    )


def _representation(part: _Part, period: _Period, root: str) -> str:
    info = part.info
    if info.kind == "video":
        shape = f' width="{info.width}" height="{info.height}" sar="1:1"'
        inner = ""
    else:
        shape = f' audioSamplingRate="{info.sample_rate_hz or info.timescale}"'
        inner = f'        <AudioChannelConfiguration schemeIdUri="{_CHANNELS}" value="{info.channels or 2}"/>\n'
    offset = round(period.offset * info.timescale / CLOCK_HZ)
    folder = f"{root}/{info.name}"
    return (
        f'      <Representation id="{info.name}" codecs="{info.codec}"{shape} bandwidth="{max(1, part.peak_bps)}">\n'
        f"{inner}"
        f'        <SegmentTemplate timescale="{info.timescale}" presentationTimeOffset="{offset}"'
        f' startNumber="{part.segments[0].number}"'
        f' initialization="{folder}/init-{period.epoch.number}.mp4" media="{folder}/$Number$.m4s">\n'
        f"          <SegmentTimeline>{_timeline(part.segments)}</SegmentTimeline>\n"
        "        </SegmentTemplate>\n      </Representation>\n"
    )


def _timeline(segments: Sequence[Segment]) -> str:
    """Runs of equal durations as one `S`; a time is said where it does not follow from the one before."""
    runs: list[list[int | None]] = []
    expected: int | None = None
    for segment in segments:
        if runs and segment.start == expected and runs[-1][1] == segment.duration:
            runs[-1][2] = (runs[-1][2] or 0) + 1
        else:
            runs.append([segment.start if segment.start != expected else None, segment.duration, 0])
        expected = segment.start + segment.duration
    return "".join(
        "<S" + (f' t="{start}"' if start is not None else "") + f' d="{duration}"' + (f' r="{r}"' if r else "") + "/>"
        for start, duration, r in runs
    )


def _seconds(ms: int) -> str:
    return f"PT{ms / 1000:.3f}S"


def _instant(ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(ms // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
