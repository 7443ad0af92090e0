"""Plan and range -> the exact ffmpeg arguments for sound. Pure text.

Sound lives on a grid of 1024-sample AAC frames that begins at time 0. A range is encoded with LEAD_FRAMES before it,
which are thrown away: an AAC frame overlaps its predecessor and the encoder's state settles, so that ranges made
apart join without a click.
"""

from fractions import Fraction
from pathlib import Path

from fastpix_server.engine.command import input_file, input_guard, preamble
from fastpix_server.engine.launch import FIRST_OUTPUT_FD
from fastpix_server.engine.plan import AAC_FRAME_SAMPLES, AudioRendition, Plan
from fastpix_server.engine.sandbox import MIB, Limits

LEAD_FRAMES = 16  # measured: from 8 on the joins are as good as a whole-file encode; 16 doubles it
PRIMING_FRAMES = 1  # ffmpeg's AAC encoder begins with one frame that holds the 1024 samples before the first
TAIL_FRAMES = 4  # past the end, so that the encoder's delay never shortens the last segment
SEEK_MARGIN_S = Fraction(1)  # codecs with their own overlap (MP3's reservoir, Opus's pre-roll) settle in this time


def audio_command(plan: Plan, source: Path, rendition: AudioRendition, k0: int, k1: int) -> list[str]:
    """AAC frames (ADTS on descriptor 3) from grid index `first_frame(plan, k0)` to past segment k1-1.

    aresample fills gaps with silence and shifts to sample 0 of the grid; apad fills what the source lacks at its end.
    """
    rate_hz = plan.timeline.audio_rate_hz
    first_sample = (plan.timeline.audio_cuts[k0] - LEAD_FRAMES) * AAC_FRAME_SAMPLES
    samples = (plan.timeline.audio_cuts[k1] + TAIL_FRAMES) * AAC_FRAME_SAMPLES - first_sample
    seek_s = max(Fraction(0), Fraction(first_sample, rate_hz) - SEEK_MARGIN_S)
    offset = first_sample - round(seek_s * rate_hz)
    placed = on_grid(rendition, rate_hz, offset)
    graph = f"[0:{rendition.stream_index}]{placed},apad,atrim=end_sample={samples},asetpts=N[a]"
    seek = ["-ss", f"{float(seek_s):.6f}"] if seek_s else []
    return [
        *preamble(),
        *input_guard(),
        *("-max_error_rate", "1"),
        *seek,
        *input_file(source),
        *("-filter_complex", graph),
        *encoded(rendition, ["-f", "adts"]),
    ]


def silence_command(rendition: AudioRendition, rate_hz: int) -> list[str]:
    """A few frames of silence as fragmented MP4 with the same encoder settings: its header is the init segment."""
    graph = f"anullsrc=r={rate_hz}:cl={layout(rendition)},atrim=end_sample={8 * AAC_FRAME_SAMPLES}[a]"
    muxer = ["-movflags", "default_base_moof+empty_moov", "-use_editlist", "0", "-f", "mp4"]
    return [*preamble(), "-filter_complex", graph, *encoded(rendition, muxer)]


def audio_limits(plan: Plan, k0: int, k1: int) -> Limits:
    seconds = float(plan.timeline.start_s(k1) - plan.timeline.start_s(k0))
    budget_s = 60 + int(seconds)  # the encoder runs at 50-100 times real time
    return Limits(cpu_s=budget_s, wall_s=float(budget_s), memory_bytes=2048 * MIB)


def first_frame(plan: Plan, k0: int) -> int:
    """Grid index of the first AAC frame that `audio_command` prints."""
    return plan.timeline.audio_cuts[k0] - LEAD_FRAMES - PRIMING_FRAMES


def on_grid(rendition: AudioRendition, rate_hz: int, offset: int) -> str:
    """Sample 0 of what follows is exactly the wanted PCM sample, also when that lies before the start (silence)."""
    resampled = f"aresample={rate_hz}:async=1:min_hard_comp=0.02:first_pts=0"
    shape = f"aformat=channel_layouts={layout(rendition)}:sample_fmts=fltp"
    if offset < 0:
        return f"{resampled},{shape},adelay=delays={-offset}S:all=1,asetpts=N"
    return f"{resampled},{shape},atrim=start_pts={offset},asetpts=N"


def layout(rendition: AudioRendition) -> str:
    return "mono" if rendition.channels == 1 else "stereo"


def encoded(rendition: AudioRendition, muxer: list[str]) -> list[str]:
    return [
        *("-map", "[a]", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"),
        *("-c:a", "aac", "-b:a", str(rendition.bitrate_bps), *muxer, f"pipe:{FIRST_OUTPUT_FD}"),
    ]
