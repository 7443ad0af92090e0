"""What is made of a publisher's tracks: which are copied, which rungs are encoded, and the command that encodes them.

Invariants: no rung is larger than the source or than the stream allows; a source above the allowed lines is not copied;
somebody who plays H.264 and AAC only can always play; a rendition that players were shown goes on in every later epoch,
whatever the publisher sends then. Pure: facts in, data and text out.
"""

import dataclasses
from collections.abc import Collection
from fractions import Fraction

from fastpix_server.engine import binaries
from fastpix_server.engine.ladder import TIERS, max_bitrate_bps
from fastpix_server.ingest.model import Track
from fastpix_server.live.model import SEGMENT_TARGET_S, SOURCE_RENDITION

STEPS = (1080, 720, 480)  # the values that a stream's maxResolution may have
# A rung is worth making when the one above it has a quarter more lines.
_FAR_ENOUGH = 1.25
_ASSUMED_FPS = Fraction(30)  # the real rate is known only after some seconds; it only sets the cap of the bit rate
SOUND_RATE_HZ, SOUND_BPS = 48_000, 128_000
# How far decoder and encoder threads may run ahead of each other: each decoding thread delays by one frame.
_DECODER_THREADS = 2
# The fragments' clock. Times are matched to those of the source by the millisecond: FLV, which we feed, has no finer.
PIPE_HZ = 90_000


@dataclasses.dataclass(frozen=True, slots=True)
class Rung:
    name: str
    width: int
    height: int
    bitrate_bps: int


@dataclasses.dataclass(frozen=True, slots=True)
class Scheme:
    """`copies`: the renditions that get the source's pictures as they are, the leading one first. `forces_keys`: the
    encoder sets key frames itself, each segment target; else where the source has them."""

    copies: tuple[str, ...]
    rungs: tuple[Rung, ...]
    encodes_sound: bool
    forces_keys: bool

    @property
    def is_copied(self) -> bool:
        return bool(self.copies)

    @property
    def needs_encoder(self) -> bool:
        return bool(self.rungs) or self.encodes_sound


def scheme(
    video: Track | None,
    audio: Track | None,
    *,
    max_lines: int,
    must_encode: bool = False,
    can_encode: bool = True,
    shown: Collection[str] = (),
) -> Scheme | None:
    """None when nothing can be played without an encoder and there is none.

    `must_encode`: the source's own pictures cannot be cut into segments (its key frames are too far apart).
    `shown`: the renditions of pictures that earlier epochs had. Players ask for the list of renditions once: whoever
    watches one of these must find it go on.
    """
    encodes_sound = audio is not None and audio.codec != "aac"
    if video is None:
        return Scheme((), (), encodes_sound, False) if can_encode or not encodes_sound else None
    is_allowed = _lines(video) <= max_lines
    if not can_encode:
        return Scheme((SOURCE_RENDITION,), (), False, False) if is_allowed and not encodes_sound else None
    is_copied = is_allowed and not must_encode
    top = min(max_lines, video.width, video.height)
    lines = [n for n in STEPS if n * _FAR_ENOUGH <= top]
    rungs = [_rung(f"{n}p", n, video) for n in lines]
    if not is_copied or (video.codec != "h264" and not lines):
        stands_in = not is_copied and SOURCE_RENDITION in shown
        rungs.insert(0, _rung(SOURCE_RENDITION if stands_in else f"{top}p", top, video))
    copies = [SOURCE_RENDITION] if is_copied else []
    for name in sorted(set(shown) - {rung.name for rung in rungs} - {SOURCE_RENDITION}):
        if is_copied and video.codec == "h264":
            copies.append(name)  # the source has become as small as this rung
        else:
            rungs.append(_rung(name, min(int(name.removesuffix("p")), top), video))
    return Scheme(tuple(copies), tuple(rungs), encodes_sound, not is_copied)


def _lines(video: Track) -> int:
    """The class whose 16:9 box (or its portrait twin) holds the picture."""
    short, long = sorted((video.width, video.height))
    return next((n for n in (480, 720, 1080, 1440, 2160) if short <= n and long <= -(-n * 16 // 9)), 4320)


def _rung(name: str, lines: int, video: Track) -> Rung:
    scale = lines / min(video.width, video.height)
    width, height = (max(16, round(side * scale / 2) * 2) for side in (video.width, video.height))
    cap = max_bitrate_bps(width, height, _ASSUMED_FPS, TIERS["standard"])
    return Rung(name, width, height, cap)


def command(scheme: Scheme, keys_from_s: float = 0.0) -> list[str]:
    """FLV on standard input, all rungs (and the sound) as fragmented MP4 on descriptor 3, in the scheme's order.

    `keys_from_s`: where the first forced key frame stands, when the scheme forces them.

    One muxer for all: separate outputs would shift separately. `-copyts` and no edit lists: times come out as they
    went in. No `-fflags nobuffer`: it loses the first key frame.
    """
    argv = [binaries.ffmpeg(), "-hide_banner", "-loglevel", "warning", "-nostats", "-copyts"]
    argv += ["-probesize", "200000", "-analyzeduration", "300000", "-fpsprobesize", "0"]
    argv += ["-threads", str(_DECODER_THREADS), "-f", "flv", "-i", "pipe:0"]
    if scheme.rungs:
        argv += _pictures(scheme, keys_from_s)
    if scheme.encodes_sound:
        argv += ["-map", "0:a:0", "-c:a", "aac", "-b:a", str(SOUND_BPS), "-ac", "2", "-ar", str(SOUND_RATE_HZ)]
    argv += ["-f", "mp4", "-movflags", "+empty_moov+default_base_moof+frag_discont", "-use_editlist", "0"]
    argv += ["-avoid_negative_ts", "disabled", "-video_track_timescale", str(PIPE_HZ)]
    argv += ["-frag_duration", "20000", "-flush_packets", "1", "-max_interleave_delta", "500000", "pipe:3"]
    return argv


def _pictures(scheme: Scheme, keys_from_s: float) -> list[str]:
    count = len(scheme.rungs)
    graph = f"[0:v:0]split={count}" + "".join(f"[s{k}]" for k in range(count))
    argv: list[str] = []
    rates: list[str] = []
    for k, rung in enumerate(scheme.rungs):
        graph += f";[s{k}]scale={rung.width}:{rung.height}:flags=bicubic,setsar=1,format=yuv420p[o{k}]"
        argv += ["-map", f"[o{k}]"]
        rate = str(rung.bitrate_bps)
        rates += [f"-b:v:{k}", rate, f"-maxrate:v:{k}", rate, f"-bufsize:v:{k}", rate]
    first_s = max(0.0, keys_from_s - 0.001)  # times are rounded to milliseconds
    keys = f"expr:gte(t,{first_s:.3f}+n_forced*{SEGMENT_TARGET_S:g})" if scheme.forces_keys else "source"
    argv = ["-filter_complex", graph, *argv, *rates, "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency"]
    # Key frames stand only where they are forced, one for one with the source's pictures.
    argv += ["-sc_threshold", "0", "-g", "100000", "-force_key_frames:v", keys]
    return [*argv, "-fps_mode:v", "passthrough", "-enc_time_base:v", f"1:{PIPE_HZ}"]
