"""A source without a usable index becomes an MP4 by copying its packets: no quality is lost, and seeks become exact.

A stream that MP4 cannot hold, or whose packets cannot be copied, is encoded once at high quality instead; the log
says so. Invariants: only the streams in the facts are taken; the size and the time of the copy are bounded by those
of the source; on any failure nothing is left at `out`.
"""

import asyncio
from pathlib import Path

from fastpix_server.base import log
from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine.command import input_file, input_guard, preamble
from fastpix_server.engine.run import Finished, run
from fastpix_server.engine.sandbox import MIB, Limits
from fastpix_server.engine.source import AudioFacts, Source, VideoFacts

_log = log.get(__name__)

# What ffmpeg's MP4 muxer takes as it is.
VIDEO_CODECS = frozenset(["h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "vc1"])
AUDIO_CODECS = frozenset(
    ["aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "vorbis", "dts", "pcm_s16le", "pcm_s24le"]
)

# Containers that stamp packets in whole milliseconds (regrid.py says what that does to sound).
COARSE_CONTAINERS = frozenset(("mkv", "webm", "flv", "asf", "wmv"))
# Samples that packets of a codec are a multiple of (Opus: 2.5 ms, its smallest frame).
PACKET_SAMPLES = {"aac": 1024, "mp3": 1152, "mp2": 1152, "ac3": 1536, "opus": 120}

SLOWEST_COPY_BYTES_PER_S = 2 * MIB  # a hundredth of what a laptop does
SLOWEST_ENCODE = 4  # times real time, on a busy core
MIN_BUDGET_S = 120
ENCODED_BITRATE_BPS = 40_000_000  # far above what CRF 14 makes of 1080p


async def remux(source: Path, out: Path, facts: Source) -> None:
    """Write `out` (MP4, same timeline). Raises SourceFault when the file cannot be read through, ServiceFault else."""
    encoded = _streams_to_encode(facts)
    finished = await _attempt(source, out, facts, encoded)
    if not _is_whole(finished, out) and not encoded and finished.ended == "exit":
        encoded = frozenset(_all_streams(facts))  # packets that cannot be copied may still be decoded
        finished = await _attempt(source, out, facts, encoded)
    if encoded:
        _log.warning("remux_encoded", streams=sorted(encoded), container=facts.container)
    if not _is_whole(finished, out):
        out.unlink(missing_ok=True)
        raise _failure(finished)
    from fastpix_server.engine.regrid import put_sound_on_grid  # numpy: loaded by the first media

    packets = [_packet_samples(audio, facts, encoded) for audio in facts.audios]
    await asyncio.to_thread(put_sound_on_grid, out, packets)


def remux_command(source: Path, out: Path, facts: Source, encoded: frozenset[int]) -> list[str]:
    """`encoded` holds the stream indices that are not copied."""
    argv = [
        *preamble(),
        # AVI and PS leave presentation times out; a damaged packet is left out, not carried over.
        *("-fflags", "+genpts+discardcorrupt"),
        *input_guard(),
        *input_file(source),
        *("-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"),
    ]
    if facts.video:
        argv += ["-map", f"0:{facts.video.stream_index}", *_video_codec(facts.video, facts.container, encoded)]
    for i, audio in enumerate(facts.audios):
        argv += ["-map", f"0:{audio.stream_index}", f"-c:a:{i}", "flac" if audio.stream_index in encoded else "copy"]
        argv += [f"-metadata:s:a:{i}", f"language={_safe(audio.language)}"]
    return [*argv, "-max_muxing_queue_size", "4096", "-f", "mp4", "-y", f"file:{out.resolve()}"]


def remux_limits(facts: Source, encoded: frozenset[int]) -> Limits:
    budget_s = MIN_BUDGET_S + facts.size_bytes // SLOWEST_COPY_BYTES_PER_S
    file_bytes = facts.size_bytes + facts.size_bytes // 4 + 64 * MIB
    if encoded:
        budget_s += int(facts.duration_s * SLOWEST_ENCODE)
        file_bytes += int(facts.duration_s * ENCODED_BITRATE_BPS / 8)
    return Limits(cpu_s=budget_s, wall_s=float(budget_s), memory_bytes=4096 * MIB, file_bytes=file_bytes)


async def _attempt(source: Path, out: Path, facts: Source, encoded: frozenset[int]) -> Finished:
    out.unlink(missing_ok=True)
    argv = remux_command(source, out, facts, encoded)
    return await run(argv, limits=remux_limits(facts, encoded), max_output_bytes=1 * MIB)


def _streams_to_encode(facts: Source) -> frozenset[int]:
    odd = {a.stream_index for a in facts.audios if a.codec not in AUDIO_CODECS}
    if facts.video and facts.video.codec not in VIDEO_CODECS:
        odd.add(facts.video.stream_index)
    return frozenset(odd)


def _all_streams(facts: Source) -> list[int]:
    video = [facts.video.stream_index] if facts.video else []
    return [*video, *(a.stream_index for a in facts.audios)]


def _video_codec(video: VideoFacts, container: str, encoded: frozenset[int]) -> list[str]:
    if video.stream_index in encoded:
        # Short groups for exact seeks; the rungs are made from this, so it may lose nothing that can be seen.
        high = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "14", "-g", "60", "-pix_fmt", "yuv420p"]
        return [*high, "-fps_mode", "passthrough"]
    packed = video.codec == "mpeg4" and container == "avi"  # DivX packs two pictures into one packet
    return ["-c:v", "copy", *(["-bsf:v", "mpeg4_unpack_bframes"] if packed else [])]


def _packet_samples(audio: AudioFacts, facts: Source, encoded: frozenset[int]) -> int:
    """The grid that a copied sound is put back on, 0 when it needs none or has none."""
    is_plain = audio.codec != "aac" or audio.profile in ("LC", "")  # HE-AAC packets hold twice as much
    is_coarse = facts.container in COARSE_CONTAINERS and audio.stream_index not in encoded
    if not is_coarse or not is_plain or audio.sample_rate_hz < 32000:  # below, MP3 packets hold half as much
        return 0
    return PACKET_SAMPLES.get(audio.codec, 0)


def _is_whole(finished: Finished, out: Path) -> bool:
    return finished.is_ok and out.exists() and out.stat().st_size > 0


def _failure(finished: Finished) -> ServiceFault | SourceFault:
    said = finished.stderr.decode(errors="replace")
    if finished.ended == "wall" or finished.returncode < 0:
        return ServiceFault("remux_timeout", "Reading the file through took too long.")
    if "No space left" in said:
        return ServiceFault("no_space", "There is no space left to prepare the file.")
    return SourceFault("source_unreadable", "The file is damaged or not a video that can be read.")


def _safe(language: str) -> str:
    return "".join(c for c in language if c.isalnum() or c == "-")[:16] or "und"
