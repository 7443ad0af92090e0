"""Sources for the benchmarks: real footage of exact lengths, repeated by stream copy."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
from tests import footage

BASE_S = 48
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def lasting(duration_s: int, *, height: int = 720) -> Path:
    """A film trailer in 16:9, H.264 with 2 s GOPs and AAC, repeated to `duration_s` without encoding again."""
    folder = footage.cache_dir() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / f"base-{height}.mp4"
    if not base.exists():
        _run(
            "-i",
            str(footage.trailer()),
            "-t",
            str(BASE_S),
            "-vf",
            f"scale=-2:{height},crop=w='min(iw,ih*16/9)':h=ih,setsar=1",
            "-r",
            "24",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-crf",
            "20",
            "-g",
            "48",
            "-keyint_min",
            "48",
            "-sc_threshold",
            "0",
            "-x264-params",
            "open-gop=0",
            "-c:a",
            "aac",
            "-b:a",
            "128k",
            "-ar",
            "48000",
            "-ac",
            "2",
            out=base,
        )
    out = folder / f"{duration_s}s-{height}.mp4"
    if not out.exists():
        _run(
            "-stream_loop",
            "-1",
            "-i",
            str(base),
            "-t",
            str(duration_s),
            "-c",
            "copy",
            "-movflags",
            "+faststart",
            out=out,
        )
    return out


def copyable(repetitions: int) -> Path:
    """The same picture and sound as `lasting`, BASE_S a repetition, so exact that both can be served as they are.

    There the sound of each repetition, which is a little longer than the picture, moves the next one off the grid, and
    the end cuts a group of pictures.
    """
    duration_s = BASE_S * repetitions
    looped = lasting(duration_s)
    out = looped.with_name(f"{duration_s}s-720-copyable.mp4")
    silent = looped.with_name("base-720-silent.mp4")
    if not silent.exists():
        _run("-i", str(looped.with_name("base-720.mp4")), "-map", "0:v", "-c", "copy", out=silent)
    if not out.exists():
        picture = (
            "-stream_loop",
            str(repetitions - 1),
            "-i",
            str(silent),
            "-i",
            str(looped),
            "-map",
            "0:v",
            "-map",
            "1:a",
        )
        sound = (
            "-af",
            "aresample=async=1:first_pts=0",
            "-c:a",
            "aac",
            "-b:a",
            "128k",
            "-t",
            str(duration_s),
            "-movflags",
            "+faststart",
        )
        _run(*picture, "-c:v", "copy", *sound, out=out)
    return out


def _run(*args: str, out: Path) -> None:
    partial = out.with_suffix(".part.mp4")
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", "-y", *args, str(partial)], check=True)
    partial.rename(out)
