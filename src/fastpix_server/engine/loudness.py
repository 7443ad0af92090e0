"""How loud a sound is, and what makes it as loud as all others: measured once, then one gain for all of it (EBU R128).

Why not a filter that adapts as it goes: it missed its target in our trials, and segments that are made apart would not
agree. The limiter behind the gain (command_mix.py) holds peaks; it acts seldom at this target.
"""

import asyncio
import math
import re
from collections.abc import Sequence
from pathlib import Path

from fastpix_server.base.errors import ServiceFault
from fastpix_server.engine import command_mix
from fastpix_server.engine.command_audio import audio_limits
from fastpix_server.engine.plan import AudioRendition, Plan
from fastpix_server.engine.run import run
from fastpix_server.engine.timeline import Timeline

TARGET_LUFS = -23.0  # EBU R 128
# The gate of BS.1770: what measures less is silence, and no gain makes it anything else.
SILENCE_LUFS = -69.9
# More would turn the noise of a near silent file into its sound.
MAX_GAIN_DB = 30.0
MAX_REPORT_BYTES = 64 << 20  # 12 hours in steps of 100 ms, 80 bytes each, are 35 MB

# Sounds up to this length are measured whole. Of longer ones, stretches that lie unevenly (a golden ratio apart), so
# that nothing that returns regularly is missed: Ready must not wait for hours of decoding, which official SDKs ask for
# on every upload.
WHOLE_S = 120
SAMPLES = 8
SAMPLE_S = 15
_GOLDEN = 0.618034

# ITU-R BS.1770: blocks of 400 ms, one every 100 ms. Those below the absolute gate do not count, and of the others not
# those that are 10 LU below their mean.
_OFFSET_LU = -0.691
_RELATIVE_GATE_LU = -10.0
_MOMENTARY = re.compile(rb"lavfi\.r128\.M=(-?\d+(?:\.\d+)?)")


async def gains_db(plan: Plan, files: Sequence[Path]) -> tuple[float, ...]:
    """For each sound of the plan, which has no gains yet. Raises ServiceFault when a sound cannot be measured."""
    return tuple([gain_db(await measure_lufs(plan, files, audio)) for audio in plan.audios])


def gain_db(measured_lufs: float) -> float:
    if measured_lufs <= SILENCE_LUFS:
        return 0.0
    return round(max(-MAX_GAIN_DB, min(TARGET_LUFS - measured_lufs, MAX_GAIN_DB)), 2)


async def measure_lufs(plan: Plan, files: Sequence[Path], audio: AudioRendition) -> float:
    """The integrated loudness; SILENCE_LUFS or less when nothing is to be heard. An estimate beyond WHOLE_S."""
    found = await asyncio.gather(*(_blocks(plan, files, audio, k0, k1) for k0, k1 in measured_ranges(plan.timeline)))
    return integrated_lufs([block for blocks in found for block in blocks])


def measured_ranges(timeline: Timeline) -> list[tuple[int, int]]:
    """Ranges of segments, none twice, whose sound stands for all of it."""
    if timeline.duration_s <= WHOLE_S:
        return [(0, timeline.segment_count)]
    ranges: list[tuple[int, int]] = []
    for part in sorted((0.5 + k * _GOLDEN) % 1 for k in range(SAMPLES)):
        begin_s = (timeline.duration_s - SAMPLE_S) * part
        first = max(timeline.segment_at(begin_s), ranges[-1][1] if ranges else 0)
        end = timeline.segment_at(begin_s + SAMPLE_S) + 1
        if first < end:
            ranges.append((first, end))
    return ranges


async def _blocks(plan: Plan, files: Sequence[Path], audio: AudioRendition, first: int, end: int) -> list[float]:
    blocks: list[float] = []
    k0 = first
    while k0 < end:
        k1 = min(command_mix.last_of_run(plan, k0), end)
        argv = command_mix.measuring_command(plan, files, audio, k0, k1)
        finished = await run(argv, limits=audio_limits(plan, k0, k1), max_output_bytes=MAX_REPORT_BYTES)
        if not finished.is_ok:
            raise ServiceFault("loudness_failed", "The loudness of the sound could not be measured.")
        blocks += [float(value) for value in _MOMENTARY.findall(finished.stdout)]
        k0 = k1
    return blocks


def integrated_lufs(blocks: Sequence[float]) -> float:
    """The loudness of a whole from that of its blocks, gated twice."""
    heard = [block for block in blocks if block > SILENCE_LUFS]
    if not heard:
        return SILENCE_LUFS
    gate = _mean(heard) + _RELATIVE_GATE_LU
    return _mean([block for block in heard if block > gate])


def _mean(blocks: Sequence[float]) -> float:
    """Of energies, as loudness."""
    return 10 * math.log10(sum(10 ** ((b - _OFFSET_LU) / 10) for b in blocks) / len(blocks)) + _OFFSET_LU
