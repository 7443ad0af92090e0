"""Many key frames of one MP4 in one process: a small MP4 of them alone, written from the source's sample tables.

Opening a long file costs as much as decoding seconds of it, and a sheet of an hour would open it for each tile.

Invariants: only frames of H.264 that reset the decoder (IDR) are taken, so each is decoded without the others and they
come out in the order they went in; what is in memory at once is bounded; whoever is in doubt gets None, and seeks.
"""

import asyncio
import dataclasses
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import copybox, copyrung, mp4
from fastpix_server.engine.boxes import BoxError
from fastpix_server.engine.source import VideoFacts

# Key frames held at once: a hundred of 720p, ten of the heaviest 4K.
MAX_BYTES = 32 << 20
_TICKS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """`data` is a whole MP4 of one track; picture i of it is that of the place `at[i]`."""

    data: bytes
    at: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A key frame: the place that it is for, and its time after the file's start, as far as it is known."""

    place: int
    file_s: Fraction


async def clips(source: Path, video: VideoFacts, start_s: float, wanted: Sequence[Wanted]) -> list[Clip]:
    """In as many clips as they need; those that cannot be taken are in none. `start_s` is the file's own zero."""
    return await asyncio.to_thread(_clips, source, video, start_s, wanted)


def _clips(source: Path, video: VideoFacts, start_s: float, wanted: Sequence[Wanted]) -> list[Clip]:
    try:
        index = mp4.read_index(source)
        track = None if index is None else copyrung.track_of(index, video.stream_index, "vide")
        if track is None or track.samples is None or track.codec != "avc1" or not _is_plain(track, video):
            return []
        config = copybox.avc_config(track.stsd)
        if config is None:
            return []
        found = [
            (place, sample)
            for place, sample in _samples_at(track, start_s, wanted, video.fps)
            if copyrung.is_idr(source, track.samples, sample, config.nal_length_bytes)
        ]
        return [
            Clip(_written(source, track, [sample for _, sample in part]), tuple(place for place, _ in part))
            for part in _parts(track.samples, found)
        ]
    except (BoxError, SourceFault, OSError, struct.error, ValueError, IndexError):
        return []


def _is_plain(track: mp4.Track, video: VideoFacts) -> bool:
    """A header of ours says nothing of rotation, and a woven picture needs its neighbours."""
    return track.stsd_entries == 1 and track.is_upright and not video.rotation_deg and not video.is_interlaced


def _samples_at(track: mp4.Track, start_s: float, wanted: Sequence[Wanted], fps: Fraction) -> list[tuple[int, int]]:
    """(place, sample) where a key sample is shown within half a frame of the time."""
    assert track.samples is not None
    keys = np.flatnonzero(track.samples.is_key)
    times = track.times_s()[keys] - start_s
    found = []
    for one in wanted:
        near = int(np.argmin(np.abs(times - float(one.file_s))))
        if abs(times[near] - float(one.file_s)) < 0.5 / float(fps):
            found.append((one.place, int(keys[near])))
    return found


def _parts(samples: mp4.Samples, found: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    parts: list[list[tuple[int, int]]] = []
    room = 0
    for place, sample in found:
        size = int(samples.size[sample])
        if not parts or size > room:
            parts.append([])
            room = MAX_BYTES
        parts[-1].append((place, sample))
        room -= size
    return parts


def _written(source: Path, track: mp4.Track, chosen: Sequence[int]) -> bytes:
    """One picture a second, in this order."""
    assert track.samples is not None
    picked = np.array(chosen, dtype=np.int64)
    times = np.arange(len(picked), dtype=np.int64) * _TICKS
    samples = mp4.Samples(
        dts=times,
        pts=times,
        duration=np.full(len(picked), _TICKS, dtype=np.int64),
        size=track.samples.size[picked],
        offset=track.samples.offset[picked],
        is_key=np.ones(len(picked), dtype=np.bool_),
    )
    data = copyrung.read_runs(source, list(zip(samples.offset.tolist(), samples.size.tolist(), strict=True)))
    own = dataclasses.replace(track, timescale=_TICKS, samples=samples)
    return copybox.init_segment(own, 0) + copybox.fragment(samples, 0, len(picked), 1, 0, data, every_is_sync=True)
