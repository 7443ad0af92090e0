"""A small real film, made here: a test picture that moves and a tone. No network, no file in the package."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SECONDS = 3
# A few hundredths of a second of work on an idle machine.
_TIMEOUT_S = 120.0
_ERROR_CHARS = 1000


def make(path: Path, *, seconds: float = SECONDS, width: int = 320, height: int = 180) -> Path:
    """H.264 and AAC in an MP4 at `path`, 25 pictures a second. The ffmpeg is the one that the server brings, or
    FASTPIX_FFMPEG."""
    picture = f"testsrc2=size={width}x{height}:rate=25:duration={seconds:g}"
    made = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds:g}"]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50"]
    sound = ["-c:a", "aac", "-b:a", "64k", "-ar", "48000", "-movflags", "+faststart"]
    done = subprocess.run(
        [_ffmpeg(), "-nostdin", "-v", "error", "-y", *made, *video, *sound, str(path)],
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"ffmpeg made no film: {done.stderr.decode(errors='replace')[-_ERROR_CHARS:]}")
    return path


def _ffmpeg() -> str:
    given = os.environ.get("FASTPIX_FFMPEG")
    if given:
        return given
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError:
        raise RuntimeError("There is no ffmpeg: pip install 'fastpix[server]', or set FASTPIX_FFMPEG") from None
    return str(imageio_ffmpeg.get_ffmpeg_exe())
