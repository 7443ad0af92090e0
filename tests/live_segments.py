"""Finished segments of a live session, made by ffmpeg from footage whose frames carry their numbers.

As the packager makes them: CMAF segments of about two seconds that begin at a key frame, `tfdt` on the session's clock,
a header per rendition and epoch.
"""

import dataclasses
import functools
import tempfile
import uuid
from pathlib import Path

from tests import footage

from fastpix_server.engine import boxes
from fastpix_server.live.model import FinishedSegment, RenditionInfo, SessionSpec

FPS = 30
VIDEO_HZ, AUDIO_HZ = 90_000, 48_000
STARTED_MS = 1_760_000_000_000
# Between two connections of the publisher; the session's clock does not count it.
AWAY_MS = 7_000

SOURCE = RenditionInfo("source", "video", "h264", "avc1.64001e", VIDEO_HZ, 640, 360, 30.0, 900_000, 0, 0)
LOW = RenditionInfo("180p", "video", "h264", "avc1.64000d", VIDEO_HZ, 320, 180, 30.0, 300_000, 0, 0)
SOUND = RenditionInfo("a0", "audio", "aac", "mp4a.40.2", AUDIO_HZ, 0, 0, 0.0, 128_000, 2, AUDIO_HZ)

_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-sc_threshold", "0", "-pix_fmt", "yuv420p")
_VIDEO = ("-an", *_X264, "-force_key_frames", "expr:gte(t,n_forced*2)", "-g", "1000")
_MOV = ("-f", "mp4", "-movflags", "frag_keyframe+default_base_moof+delay_moov+negative_cts_offsets")


def spec(**changes: object) -> SessionSpec:
    session_id = str(uuid.uuid4())
    made = SessionSpec(
        session_id=session_id,
        stream_id=uuid.uuid4().hex,
        workspace_id=str(uuid.uuid4()),
        revision=session_id.replace("-", "")[:12],
        place=f"live/{session_id}",
        max_lines=1080,
        is_dvr=False,
        is_recorded=True,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def session(*, epochs: int = 1, kind: str = "plain", has_sound: bool = True) -> list[FinishedSegment]:
    """In the order in which a packager finishes them. `plain` is 8 s: four numbers per epoch."""
    return list(_session(epochs, kind, has_sound))


@functools.cache
def _session(epochs: int, kind: str, has_sound: bool) -> tuple[FinishedSegment, ...]:
    source = footage.make(kind)
    renditions = [
        (SOURCE, _cut(source, (*_VIDEO, "-video_track_timescale", str(VIDEO_HZ)))),
        (LOW, _cut(source, (*_VIDEO, "-vf", "scale=320:180", "-video_track_timescale", str(VIDEO_HZ)))),
    ]
    if has_sound:
        sound = ("-vn", "-c:a", "aac", "-b:a", "128k", "-ar", str(AUDIO_HZ), "-use_editlist", "0")
        renditions.append((SOUND, _cut(source, (*sound, "-frag_duration", "2000000"))))
    made: list[FinishedSegment] = []
    first, clock_s, wall_ms = 0, 0.0, STARTED_MS
    for epoch in range(epochs):
        count = min(len(segments) for _, (_, segments) in renditions)
        longest_s = 0.0
        for info, (init, segments) in renditions:
            ticks = round(clock_s * info.timescale)
            for k, (moof, mdat) in enumerate(segments[:count]):
                duration = boxes.fragment_totals(moof).duration_ticks
                made.append(
                    FinishedSegment(
                        rendition=info,
                        number=first + k,
                        epoch=epoch,
                        start_ticks=ticks,
                        duration_ticks=duration,
                        pdt_ms=wall_ms + round((ticks / info.timescale - clock_s) * 1000),
                        is_discontinuity=epoch > 0 and k == 0,
                        init=init,
                        data=boxes.patch_fragment(moof, sequence=first + k + 1, decode_time=ticks) + mdat,
                    )
                )
                ticks += duration
            longest_s = max(longest_s, ticks / info.timescale - clock_s)
        first += count
        clock_s += longest_s
        wall_ms += round(longest_s * 1000) + AWAY_MS
    return tuple(sorted(made, key=lambda s: s.number))


def _cut(source: Path, options: tuple[str, ...]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Header, and pairs of moof and mdat."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mp4"
        footage.ffmpeg("-i", str(source), *options, *_MOV, str(out))
        return _read(out.read_bytes())


def _read(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    init, segments, moof = b"", [], b""
    for box in boxes.walk(data):
        whole = data[box.start : box.end]
        if box.kind in (b"ftyp", b"moov"):
            init += whole
        elif box.kind == b"moof":
            moof = whole
        elif box.kind == b"mdat":
            segments.append((moof, whole))
    return init, segments
