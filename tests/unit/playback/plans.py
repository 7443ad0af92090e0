"""Plans by hand, for tests that need no source file."""

from fractions import Fraction

from fastpix_server.engine.plan import AudioRendition, Plan, Timeline, VideoRendition
from fastpix_server.engine.source import VideoFacts
from fastpix_server.playback.model import Measured, Target

MEDIA = "11111111-1111-4111-8111-111111111111"
WORKSPACE = "22222222-2222-4222-8222-222222222222"


def rung(name: str, width: int, height: int, cap_bps: int, kind: str = "encode") -> VideoRendition:
    return VideoRendition(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        width=width,
        height=height,
        max_bitrate_bps=cap_bps,
        average_bitrate_bps=cap_bps // 2,
        crf=23.0,
        preset="faster",
        codec="avc1.64001f",
    )


def sound(name: str = "a0", *, title: str = "default", language: str = "und", channels: int = 2) -> AudioRendition:
    return AudioRendition(
        name=name,
        kind="encode",
        stream_index=1,
        channels=channels,
        sample_rate_hz=48000,
        bitrate_bps=128_000,
        language=language,
        title=title,
        codec="mp4a.40.2",
    )


LADDER = (
    rung("1080p", 1920, 1080, 5_000_000),
    rung("720p", 1280, 720, 2_800_000),
    rung("480p", 854, 480, 1_400_000),
    rung("360p", 640, 360, 800_000),
)


def timeline(frames: int = 295, per_segment: int = 60, fps: Fraction = Fraction(30000, 1001)) -> Timeline:
    """Segments of `per_segment` frames; a rest shorter than half goes to the last one, as real plans do it."""
    cuts = list(range(0, frames - per_segment // 2 + 1, per_segment))
    cuts = [*cuts, frames] if frames - cuts[-1] >= per_segment // 2 else [*cuts[:-1], frames]
    ticks = fps.denominator
    audio = [round(Fraction(c * ticks, fps.numerator) * 48000 / 1024) for c in cuts]
    return Timeline(
        fps=fps,
        timescale=fps.numerator,
        frame_ticks=ticks,
        cuts=tuple(cuts),
        audio_rate_hz=48000,
        audio_cuts=tuple(audio),
    )


def facts(width: int = 1920, height: int = 1080) -> VideoFacts:
    return VideoFacts(
        stream_index=0,
        codec="h264",
        width=width,
        height=height,
        display_width=width,
        display_height=height,
        rotation_deg=0,
        fps=Fraction(30000, 1001),
        is_vfr=False,
        frames=295,
        pix_fmt="yuv420p",
        bit_depth=8,
        transfer="",
        is_interlaced=False,
        bitrate_bps=5_000_000,
        keyframes_s=None,
    )


def plan(
    videos: tuple[VideoRendition, ...] = LADDER,
    audios: tuple[AudioRendition, ...] | None = None,
    times: Timeline | None = None,
) -> Plan:
    times = times or timeline()
    return Plan(
        revision="a1b2c3d4e5f6",
        container="mp4",
        start_s=0.0,
        duration_s=times.duration_s,
        timeline=times,
        video=facts() if videos else None,
        seeks_s=(None,) * times.segment_count,
        videos=videos,
        audios=(sound(),) if audios is None else audios,
    )


def target(of: Plan | None = None, measured: dict[str, Measured] | None = None) -> Target:
    of = of or plan()
    return Target(
        id=MEDIA,
        workspace_id=WORKSPACE,
        place=f"media/{MEDIA}/{of.revision}",
        source_key=f"sources/{MEDIA}/original",
        plan=of,
        measured=measured or {},
    )
