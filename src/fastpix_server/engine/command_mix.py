"""Plan and range -> the exact ffmpeg arguments for the sound of an edited media. Pure text.

The pieces of the range are put one after the other to the sample, the replaced or mixed-in sounds are laid over them,
a gain and a limiter come last, and the encoder hears one stream: joins of pieces lie inside what it encodes, so they
do not click. Invariant: a sample of the timeline is the same, whatever range it was made in; the limiter's state
settles in the lead that every range begins with (command_audio.py).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from fastpix_server.engine.command import input_file, input_guard, preamble
from fastpix_server.engine.command_audio import LEAD_FRAMES, SEEK_MARGIN_S, TAIL_FRAMES, encoded, layout, on_grid
from fastpix_server.engine.edit import SILENT, Edit, Overlay
from fastpix_server.engine.plan import AAC_FRAME_SAMPLES, AudioRendition, Plan

# Stretches of one process. Each is an open file with a decoder; more are made by several processes.
MAX_STRETCHES = 16
# 1 dB below full scale: what EBU R128 allows a true peak to reach, and room for what AAC adds.
CEILING = 0.891
# Short enough to settle inside the lead (341 ms at 48 kHz), long enough not to be heard as distortion.
_LIMITER = f"alimiter=limit={CEILING}:attack=5:release=60:level=0:latency=1"


@dataclasses.dataclass(frozen=True, slots=True)
class _Stretch:
    """Samples [begin, end) of the timeline are those of `file` from `file_s` on; SILENT streams are silence."""

    begin: int
    end: int
    file: int
    stream: int
    file_s: Fraction


def last_of_run(plan: Plan, k0: int) -> int:
    """How far one process may go from segment k0 on: to the end of the MAX_STRETCHES-th piece."""
    if plan.edit is None or plan.edit.swap is not None or len(plan.pieces) <= MAX_STRETCHES:
        return plan.timeline.segment_count
    starts = [piece.first for piece in plan.pieces if piece.first > k0]
    # The range reaches a little into the pieces before and behind it.
    return starts[MAX_STRETCHES - 3] if len(starts) >= MAX_STRETCHES - 2 else plan.timeline.segment_count


def mixed_audio_command(plan: Plan, files: Sequence[Path], rendition: AudioRendition, k0: int, k1: int) -> list[str]:
    """AAC frames (ADTS on descriptor 3), as command_audio.audio_command prints them."""
    first = (plan.timeline.audio_cuts[k0] - LEAD_FRAMES) * AAC_FRAME_SAMPLES
    end = (plan.timeline.audio_cuts[k1] + TAIL_FRAMES) * AAC_FRAME_SAMPLES
    inputs, graph = mixed(plan, files, rendition, first, end)
    return [
        *preamble(),
        *inputs,
        *("-filter_complex", f"{graph}[a]"),
        *encoded(rendition, ["-f", "adts"]),
    ]


def measuring_command(plan: Plan, files: Sequence[Path], rendition: AudioRendition, k0: int, k1: int) -> list[str]:
    """Reads the sound of segments k0..k1-1 and prints the loudness of the last 400 ms every 100 ms."""
    first, end = (plan.timeline.audio_cuts[k] * AAC_FRAME_SAMPLES for k in (k0, k1))
    inputs, graph = mixed(plan, files, rendition, first, end)
    keys = "ametadata=mode=print:key=lavfi.r128.M:file=-"
    return [
        *preamble(),
        *inputs,
        *("-filter_complex", f"{graph},ebur128=metadata=1,{keys}[a]"),
        *("-map", "[a]", "-f", "null", "-"),
    ]


def mixed(plan: Plan, files: Sequence[Path], rendition: AudioRendition, first: int, end: int) -> tuple[list[str], str]:
    """Input arguments, and a graph without its end label, for samples [first, end) of the timeline; first may be
    negative: silence."""
    edit, rate_hz = plan.edit or Edit(), plan.timeline.audio_rate_hz
    inputs: list[str] = []
    graph = ""
    labels = ""
    for i, stretch in enumerate(_stretches(plan, rendition, first, end)):
        if stretch.stream == SILENT:
            graph += f"anullsrc=r={rate_hz}:cl={layout(rendition)},aformat=sample_fmts=fltp,"
        else:
            source, placed = _opened(files[stretch.file], rendition, rate_hz, round(stretch.file_s * rate_hz))
            graph += f"[{inputs.count('-i')}:{stretch.stream}]{placed},apad,"
            inputs += source
        graph += f"atrim=end_sample={stretch.end - stretch.begin},asetpts=N[p{i}];"
        labels += f"[p{i}]"
    graph += f"{labels}concat=n={labels.count('[')}:v=0:a=1"
    overlays = [o for o in edit.overlays if o.start_s * rate_hz < end and o.end_s * rate_hz > first]
    if overlays:
        graph += "[base];"
        for i, overlay in enumerate(overlays):
            source, laid = _overlaid(files[overlay.file], overlay, rendition, rate_hz, first, end)
            graph += f"[{inputs.count('-i')}:{overlay.stream}]{laid}[o{i}];"
            inputs += source
        labels = "".join(f"[o{i}]" for i in range(len(overlays)))
        graph += f"[base]{labels}amix=inputs={len(overlays) + 1}:normalize=0:duration=first"
    gain_db = _gain_db(plan, rendition)
    if gain_db:
        graph += f",volume={gain_db:.3f}dB:precision=float"
    if edit.overlays or gain_db > 0:
        graph += f",{_LIMITER}"
    return inputs, f"{graph},aformat=channel_layouts={layout(rendition)}:sample_fmts=fltp,asetpts=N"


def _gain_db(plan: Plan, rendition: AudioRendition) -> float:
    gains = plan.edit.gains_db if plan.edit else ()
    return gains[plan.audios.index(rendition)] if gains else 0.0


def _stretches(plan: Plan, rendition: AudioRendition, first: int, end: int) -> Iterator[_Stretch]:
    """What is heard of files in samples [first, end), without a hole; at least one."""
    timeline, rate_hz = plan.timeline, plan.timeline.audio_rate_hz
    if first < 0:
        yield _Stretch(first, 0, 0, SILENT, Fraction(0))
    at = max(first, 0)
    if plan.edit is not None and plan.edit.swap is not None:
        yield _Stretch(at, end, plan.edit.swap.file, plan.edit.swap.stream, Fraction(at, rate_hz))
        return
    position = plan.audios.index(rendition)
    for piece in plan.pieces:
        begins = round(timeline.start_s(piece.first) * rate_hz)
        ends = round(timeline.start_s(plan.piece_end(piece)) * rate_hz)
        if begins < end and ends > at:
            begin = max(begins, at)
            file_s = piece.in_s + Fraction(begin - begins, rate_hz)
            yield _Stretch(begin, min(ends, end), piece.file, piece.streams[position], file_s)
    whole = round(timeline.start_s(timeline.segment_count) * rate_hz)
    if whole < end:  # of what was cut away behind the end nothing may be heard in the last frame
        yield _Stretch(max(whole, at), end, 0, SILENT, Fraction(0))


def _opened(path: Path, rendition: AudioRendition, rate_hz: int, sample: int) -> tuple[list[str], str]:
    """Input arguments, and filters after which the stream begins with `sample` of the file."""
    seek_s = max(Fraction(0), Fraction(sample, rate_hz) - SEEK_MARGIN_S)
    seek = ["-ss", f"{float(seek_s):.6f}"] if seek_s else []
    arguments = [*input_guard(), "-max_error_rate", "1", "-threads", "1", *seek, *input_file(path)]
    return arguments, on_grid(rendition, rate_hz, sample - round(seek_s * rate_hz))


def _overlaid(
    path: Path, overlay: Overlay, rendition: AudioRendition, rate_hz: int, first: int, end: int
) -> tuple[list[str], str]:
    """The part of a mixed-in sound that is heard in samples [first, end), delayed to where it begins.

    A fade is a filter that must see its own first sample: when the range begins inside a fade, decoding begins where
    the fade does, and what comes too early is dropped afterwards.
    """
    begins, ends = round(overlay.start_s * rate_hz), round(overlay.end_s * rate_hz)
    fade_in, fade_out = round(overlay.fade_in_s * rate_hz), round(overlay.fade_out_s * rate_hz)
    wanted = max(first - begins, 0)  # counted from the overlay's own beginning, as the rest below
    fading_out = ends - begins - fade_out
    from_sample = wanted if wanted >= fade_in else 0
    if fade_out and wanted > fading_out:
        from_sample = min(from_sample, fading_out)
    source, placed = _opened(path, rendition, rate_hz, from_sample)
    filters = f"{placed},apad,atrim=end_sample={min(ends, end) - begins - from_sample},asetpts=N"
    if fade_in and from_sample == 0:
        filters += f",afade=t=in:ss=0:ns={fade_in}"
    if fade_out:
        filters += f",afade=t=out:ss={fading_out - from_sample}:ns={fade_out}"
    if wanted > from_sample:
        filters += f",atrim=start_sample={wanted - from_sample},asetpts=N"
    if begins > first:
        filters += f",adelay=delays={begins - first}S:all=1"
    return source, filters
