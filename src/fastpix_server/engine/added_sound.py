"""The plan of a sound that is added to media which plays already: its own file, on the cuts of the media.

Invariants: segment k of the sound covers the same time as segment k of the picture, to the nearest AAC frame; the plan
of the media stays as it is, and with it every URL that players hold.
"""

import dataclasses
from fractions import Fraction

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import cuts, ladder
from fastpix_server.engine.plan import AUDIO_CODEC, AUDIO_RATE_HZ, AudioRendition, Plan
from fastpix_server.engine.plan_json import revision_of
from fastpix_server.engine.source import Source


def plan_added_sound(shown: Plan, source: Source, *, name: str, language: str, title: str, quality: str) -> Plan:
    """`shown` is the plan of the media, `source` the facts of the file with the sound, of which the first is taken.

    Sound past the end of the media is left out, missing sound is silence. It is always encoded: a copy would have to
    lie on the media's grid by chance. Raises SourceFault for a file without sound.
    """
    if not source.audios:
        raise SourceFault("no_audio", "The file has no sound that can be added.")
    if source.duration_s <= 0:
        raise SourceFault("unknown_duration", "The file has no length: nothing in it can be played.")
    facts, grid = source.audios[0], shown.timeline
    starts_s = [grid.start_s(k) for k in range(grid.segment_count + 1)]
    timeline = dataclasses.replace(
        grid, audio_rate_hz=AUDIO_RATE_HZ, audio_cuts=cuts.audio_cuts(starts_s[:-1], starts_s[-1], AUDIO_RATE_HZ)
    )
    channels = 1 if facts.channels == 1 else 2
    stereo_bps = ladder.TIERS[quality].audio_bitrate_bps
    sound = AudioRendition(
        name=name,
        kind="encode",
        stream_index=facts.stream_index,
        channels=channels,
        sample_rate_hz=AUDIO_RATE_HZ,
        bitrate_bps=stereo_bps if channels == 2 else stereo_bps * 5 // 8,
        language=language,
        title=title,
        codec=AUDIO_CODEC,
    )
    plan = Plan(
        revision="",
        container=source.container,
        start_s=source.start_s,
        duration_s=float(Fraction(starts_s[-1])),
        timeline=timeline,
        video=None,
        seeks_s=(None,) * grid.segment_count,
        videos=(),
        audios=(sound,),
    )
    return dataclasses.replace(plan, revision=revision_of(plan))
