"""One static DASH manifest (ISO/IEC 23009-1) over the same CMAF segments that HLS lists: pure text.

Invariants: segment numbers are the indices of the plan, from 0; times are on the plan's own grids (video ticks, audio
samples), so they equal the `tfdt` of encoded segments exactly; every URL is relative.
"""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from xml.sax.saxutils import quoteattr

from fastpix_server.engine.plan import AAC_FRAME_SAMPLES, VideoRendition
from fastpix_server.playback.hls import named, named_texts
from fastpix_server.playback.model import Sound, Target, Text
from fastpix_server.playback.rates import durations_s, rates

_CENC = ' xmlns:cenc="urn:mpeg:cenc:2013"'
# Ids of the sets: the picture is 1.
_FIRST_SOUND = 2
# What dense dialogue needs; the attribute is a must, and nobody adapts by it.
_TEXT_BPS = 1000
_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"


def manifest(target: Target, videos: Sequence[VideoRendition], *, root: str, protection: str = "") -> str:
    """`videos` in the order to list; `root` is the folder of the renditions' URIs, relative to the manifest.

    `protection` are the elements of an encrypted id (locks.py), for each AdaptationSet.
    """
    sounds = target.sounds
    lengths_s = [durations_s(target.plan, video) for video in videos]
    lengths_s += [durations_s(sound.target.plan, sound.rendition) for sound in sounds]
    ends_s = [sum(each, Fraction(0)) for each in lengths_s]
    longest_s = max(length for each in lengths_s for length in each)
    sets = [_video_set(target, videos, root, protection)] if videos else []
    sets += [
        _audio_set(sound, name, root, number, protection)
        for number, (sound, name) in enumerate(named(sounds), _FIRST_SOUND)
    ]
    sets += [
        _text_set(text, name, root, number)
        for number, (text, name) in enumerate(named_texts(target.extras.texts), _FIRST_SOUND + len(sounds))
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"{_CENC if protection else ""} type="static"'
        ' profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"'
        f' mediaPresentationDuration="{_period(max(ends_s))}" maxSegmentDuration="{_period(longest_s)}"'
        # A player that has this much of a representation at its `bandwidth` never runs dry (5.3.5.4).
        f' minBufferTime="{_period(longest_s)}">\n'
        '  <Period id="0" start="PT0S">\n' + "".join(sets) + "  </Period>\n</MPD>\n"
    )


def _video_set(target: Target, videos: Sequence[VideoRendition], root: str, protection: str) -> str:
    timeline = target.plan.timeline
    ticks = [(b - a) * timeline.frame_ticks for a, b in itertools.pairwise(timeline.cuts)]
    fps = timeline.fps
    rate = f"{fps.numerator}/{fps.denominator}" if fps.denominator > 1 else f"{fps.numerator}"
    body = "".join(
        f'      <Representation id="{v.name}" codecs="{v.codec}" width="{v.width}" height="{v.height}" sar="1:1"'
        f' frameRate="{rate}" bandwidth="{rates(target.plan, v, target.measured).peak_bps}">\n'
        + _template(root, v.name, timeline.timescale, ticks)
        + "      </Representation>\n"
        for v in videos
    )
    return (
        '    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1"'
        f' maxWidth="{max(v.width for v in videos)}" maxHeight="{max(v.height for v in videos)}">\n'
        f"{protection}{_role('main')}{body}    </AdaptationSet>\n"
    )


def _audio_set(sound: Sound, name: str, root: str, number: int, protection: str) -> str:
    plan, audio = sound.target.plan, sound.rendition
    samples = [(b - a) * AAC_FRAME_SAMPLES for a, b in itertools.pairwise(plan.timeline.audio_cuts)]
    is_main = number == _FIRST_SOUND
    peak_bps = rates(plan, audio, sound.target.measured).peak_bps
    return (
        f'    <AdaptationSet id="{number}" contentType="audio" mimeType="audio/mp4" lang={quoteattr(audio.language)}'
        ' segmentAlignment="true" startWithSAP="1">\n'
        f"{protection}{_role('main' if is_main else 'alternate')}      <Label>{_text(name)}</Label>\n"
        f'      <Representation id="{audio.name}" codecs="{audio.codec}"'
        f' audioSamplingRate="{audio.sample_rate_hz}" bandwidth="{peak_bps}">\n'
        f'        <AudioChannelConfiguration schemeIdUri="{_CHANNELS}" value="{audio.channels}"/>\n'
        f"{_template(root, audio.name, plan.timeline.audio_rate_hz, samples)}"
        "      </Representation>\n    </AdaptationSet>\n"
    )


def _text_set(text: Text, name: str, root: str, number: int) -> str:
    """One file for the whole, as players load it at once; it is not encrypted, whatever the id (locks.py)."""
    language = quoteattr(text.label.language)
    return (
        f'    <AdaptationSet id="{number}" contentType="text" mimeType="text/vtt" lang={language}>\n'
        f"{_role('subtitle')}      <Label>{_text(name)}</Label>\n"
        f'      <Representation id="{text.name}" bandwidth="{_TEXT_BPS}">\n'
        f"        <BaseURL>{root}/{text.name}/whole.vtt</BaseURL>\n"
        "      </Representation>\n    </AdaptationSet>\n"
    )


def _template(root: str, name: str, timescale: int, durations: Sequence[int]) -> str:
    return (
        f'        <SegmentTemplate timescale="{timescale}" startNumber="0"'
        f' initialization="{root}/{name}/init.mp4" media="{root}/{name}/$Number$.m4s">\n'
        f"          <SegmentTimeline>{_timeline(durations)}</SegmentTimeline>\n"
        "        </SegmentTemplate>\n"
    )


def _timeline(durations: Sequence[int]) -> str:
    """Runs of equal durations as one `S`; the first one carries the time 0."""
    runs: list[tuple[int, int]] = []
    for duration in durations:
        if runs and runs[-1][0] == duration:
            runs[-1] = (duration, runs[-1][1] + 1)
        else:
            runs.append((duration, 1))
    return "".join(
        f'<S{" t=" + chr(34) + "0" + chr(34) if k == 0 else ""} d="{duration}"'
        + (f' r="{count - 1}"' if count > 1 else "")
        + "/>"
        for k, (duration, count) in enumerate(runs)
    )


def _role(value: str) -> str:
    return f'      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="{value}"/>\n'


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _period(seconds: Fraction) -> str:
    return f"PT{float(seconds):.6f}S"
