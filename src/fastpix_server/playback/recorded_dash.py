"""One static DASH manifest of a recording or clip: a Period per stretch, as pure text.

Invariants: times are those of the segments (`tfdt`), shifted to the Period's start by presentationTimeOffset; segment
numbers are those that they are stored under. A rendition with gaps in a Period is left out of it: with $Number$ every
listed segment must exist.
"""

import itertools
from collections.abc import Sequence
from fractions import Fraction

from fastpix_server.playback.recording import Facts, Recording, Stretch, Track

_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"


def manifest(recording: Recording, videos: Sequence[Facts], *, root: str) -> str:
    """`videos` in the order to list; `root` is the folder of the renditions' URIs, relative to the manifest."""
    names = [facts.name for facts in videos]
    longest_s = max(t.longest_s for s in recording.stretches for t in s.tracks)
    begins_s = Fraction(0)
    periods = []
    for number, stretch in enumerate(recording.stretches):
        periods.append(_period(recording, stretch, names, root, number, begins_s))
        begins_s += stretch.duration_s
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"'
        f' mediaPresentationDuration="{_seconds(begins_s)}" maxSegmentDuration="{_seconds(longest_s)}"'
        f' minBufferTime="{_seconds(longest_s)}">\n' + "".join(periods) + "</MPD>\n"
    )


def _period(
    recording: Recording, stretch: Stretch, names: Sequence[str], root: str, number: int, begins_s: Fraction
) -> str:
    whole = [t for t in stretch.tracks if not t.has_gaps]
    videos = sorted((t for t in whole if t.facts.name in names), key=lambda t: names.index(t.facts.name))
    audios = [t for t in whole if t.facts.media == "audio"]
    body = _video_set(recording, stretch, videos, root) if videos else ""
    body += "".join(_audio_set(recording, stretch, t, root, k) for k, t in enumerate(audios))
    return (
        f'  <Period id="{number}" start="{_seconds(begins_s)}" duration="{_seconds(stretch.duration_s)}">\n'
        f"{body}  </Period>\n"
    )


def _video_set(recording: Recording, stretch: Stretch, videos: Sequence[Track], root: str) -> str:
    body = ""
    for track in videos:
        facts = track.facts
        rate = f' frameRate="{_frame_rate(facts.fps)}"' if facts.fps > 0 else ""
        body += (
            f'      <Representation id="{facts.name}" codecs="{facts.codec}" width="{facts.width}"'
            f' height="{facts.height}" sar="1:1"{rate} bandwidth="{recording.measured[facts.name].peak_bps}">\n'
            f"{_template(stretch, track, root)}      </Representation>\n"
        )
    return (
        '    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1"'
        f' maxWidth="{max(t.facts.width for t in videos)}" maxHeight="{max(t.facts.height for t in videos)}">\n'
        f"{_role('main')}{body}    </AdaptationSet>\n"
    )


def _audio_set(recording: Recording, stretch: Stretch, track: Track, root: str, k: int) -> str:
    facts = track.facts
    return (
        f'    <AdaptationSet id="{k + 2}" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true"'
        f' startWithSAP="1">\n{_role("main" if k == 0 else "alternate")}'
        f'      <Representation id="{facts.name}" codecs="{facts.codec}" audioSamplingRate="{facts.sample_rate_hz}"'
        f' bandwidth="{recording.measured[facts.name].peak_bps}">\n'
        f'        <AudioChannelConfiguration schemeIdUri="{_CHANNELS}" value="{facts.channels}"/>\n'
        f"{_template(stretch, track, root)}      </Representation>\n    </AdaptationSet>\n"
    )


def _template(stretch: Stretch, track: Track, root: str) -> str:
    folder = f"{root}/{track.facts.name}"
    return (
        f'        <SegmentTemplate timescale="{track.facts.timescale}" startNumber="{stretch.first}"'
        f' presentationTimeOffset="{track.start_ticks}"'
        f' initialization="{folder}/init-{stretch.epoch}.mp4" media="{folder}/$Number$.m4s">\n'
        f"          <SegmentTimeline>{_timeline(track)}</SegmentTimeline>\n"
        "        </SegmentTemplate>\n"
    )


def _timeline(track: Track) -> str:
    """Runs of equal durations as one `S`; the first one carries the time."""
    body, at = "", f' t="{track.start_ticks}"'
    for duration, run in itertools.groupby(track.durations):
        count = len(list(run))
        body += f'<S{at} d="{duration}"' + (f' r="{count - 1}"' if count > 1 else "") + "/>"
        at = ""
    return body


def _frame_rate(fps: float) -> str:
    rate = Fraction(fps).limit_denominator(1001)
    return f"{rate.numerator}/{rate.denominator}" if rate.denominator > 1 else f"{rate.numerator}"


def _role(value: str) -> str:
    return f'      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="{value}"/>\n'


def _seconds(seconds: Fraction) -> str:
    return f"PT{float(seconds):.6f}S"
