"""Reads fragmented MP4 back into tracks and samples: what an encoder's pipe gives, and our own init segments.

Invariants: nothing is read outside the bytes given; whatever is wrong with them raises BoxError (structure) or BadTrack
(a sample description that is not taken). Samples carry what the fragment says, on the track's own timescale.
"""

import dataclasses
import struct
from collections.abc import Iterator

from fastpix_server.engine.boxes import Box, BoxError, find, walk
from fastpix_server.ingest.model import Codec, Track
from fastpix_server.live.packager.codecs import BadTrack, sound_of

_ENTRIES: dict[bytes, tuple[Codec, bytes]] = {
    b"avc1": ("h264", b"avcC"),
    b"hvc1": ("hevc", b"hvcC"),
    b"av01": ("av1", b"av1C"),
    b"mp4a": ("aac", b"esds"),
    b"Opus": ("opus", b"dOps"),
}
_PICTURE_ENTRY_BYTES, _SOUND_ENTRY_BYTES = 86, 36  # fixed part of a sample entry, its header included
_NOT_SYNC_BIT = 0x10000
_MAX_SAMPLES = 10_000  # of one fragment


@dataclasses.dataclass(frozen=True, slots=True)
class ReadTrack:
    """`defaults`: duration, size and flags of samples that do not say their own (trex)."""

    track_id: int
    track: Track
    timescale: int
    defaults: tuple[int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class ReadSample:
    track_id: int
    time: int
    duration: int
    cts: int
    is_key: bool
    data: bytes


def read_tracks(moov: bytes) -> list[ReadTrack]:
    """The tracks of a moov box (or of a whole init segment), in their order."""
    try:
        outer = find(moov, (b"moov",))
        if outer is None:
            raise BoxError("no moov")
        defaults = _defaults(moov, outer)
        return [_track(moov, box, defaults) for box in walk(moov, outer.body, outer.end) if box.kind == b"trak"]
    except struct.error as short:
        raise BoxError("a box is cut off") from short


def _defaults(moov: bytes, outer: Box) -> dict[int, tuple[int, int, int]]:
    mvex = find(moov, (b"mvex",), outer.body, outer.end)
    found: dict[int, tuple[int, int, int]] = {}
    for box in walk(moov, mvex.body, mvex.end) if mvex else ():
        if box.kind == b"trex":
            track_id, _, *values = struct.unpack_from(">5I", moov, box.body + 4)
            found[track_id] = (values[0], values[1], values[2])
    return found


def _track(moov: bytes, trak: Box, defaults: dict[int, tuple[int, int, int]]) -> ReadTrack:
    tkhd = _inside(moov, trak, b"tkhd")
    mdhd = _inside(moov, trak, b"mdia", b"mdhd")
    stsd = _inside(moov, trak, b"mdia", b"minf", b"stbl", b"stsd")
    (track_id,) = struct.unpack_from(">I", moov, tkhd.body + (20 if moov[tkhd.body] else 12))
    (timescale,) = struct.unpack_from(">I", moov, mdhd.body + (20 if moov[mdhd.body] else 12))
    if not timescale:
        raise BoxError("a timescale of zero")
    entry = next(walk(moov, stsd.body + 8, stsd.end), None)
    if entry is None or entry.kind not in _ENTRIES:
        raise BadTrack("a sample entry that is not taken")
    codec, record = _ENTRIES[entry.kind]
    is_sound = codec in ("aac", "opus")
    fixed = _SOUND_ENTRY_BYTES if is_sound else _PICTURE_ENTRY_BYTES
    box = find(moov, (record,), entry.start + fixed, entry.end)
    if box is None:
        raise BadTrack("a sample entry without its configuration")
    config = moov[box.body : box.end]
    if is_sound:
        track = Track(codec, _audio_config(config[4:]) if codec == "aac" else config)
        sound = sound_of(track)
        track = dataclasses.replace(track, sample_rate_hz=sound.rate_hz, channels=sound.channels)
    else:
        width, height = struct.unpack_from(">HH", moov, entry.start + 32)
        track = Track(codec, config, width=width, height=height)
    return ReadTrack(track_id, track, timescale, defaults.get(track_id, (0, 0, 0)))


def _inside(data: bytes, parent: Box, *path: bytes) -> Box:
    box = find(data, path, parent.body, parent.end)
    if box is None:
        raise BoxError(f"no {path[-1]!r}")
    return box


def _audio_config(descriptors: bytes) -> bytes:
    """AudioSpecificConfig: descriptor 5 inside 4 inside 3 (ISO/IEC 14496-1, 7.2.6)."""
    for tag, header in ((3, 3), (4, 13), (5, 0)):
        if not descriptors or descriptors[0] != tag:
            raise BadTrack("an esds without its descriptors")
        length, at = 0, 1
        while at < min(5, len(descriptors)):
            byte = descriptors[at]
            length, at = length << 7 | byte & 0x7F, at + 1
            if not byte & 0x80:
                break
        descriptors = descriptors[at : at + length][header:]
    return descriptors


def read_samples(moof: bytes, mdat: bytes, tracks: dict[int, ReadTrack]) -> Iterator[ReadSample]:
    """Every sample of one fragment whose offsets count from its moof; tracks that are not named are passed over."""
    outer = find(moof, (b"moof",))
    if outer is None:
        raise BoxError("no moof")
    try:
        for traf in walk(moof, outer.body, outer.end):
            if traf.kind == b"traf":
                yield from _samples_of_track(moof, traf, mdat, tracks)
    except struct.error as short:
        raise BoxError("a fragment header is cut off") from short


def _samples_of_track(moof: bytes, traf: Box, mdat: bytes, tracks: dict[int, ReadTrack]) -> Iterator[ReadSample]:
    tfhd = _inside(moof, traf, b"tfhd")
    tfdt = _inside(moof, traf, b"tfdt")
    flags, track_id = struct.unpack_from(">II", moof, tfhd.body)
    if track_id not in tracks:
        return
    values = list(tracks[track_id].defaults)
    at = tfhd.body + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    for k, bit in enumerate((0x8, 0x10, 0x20)):
        if flags & bit:
            (values[k],) = struct.unpack_from(">I", moof, at)
            at += 4
    # Signed against the letter: ffmpeg writes what an encoder primes with before time 0.
    (time,) = struct.unpack_from(">q" if moof[tfdt.body] else ">I", moof, tfdt.body + 4)
    for trun in walk(moof, traf.body, traf.end):
        if trun.kind == b"trun":
            for sample in _samples_of_run(moof, trun, mdat, (track_id, time, *values)):
                yield sample
                time = sample.time + sample.duration


def _samples_of_run(moof: bytes, trun: Box, mdat: bytes, start: tuple[int, ...]) -> Iterator[ReadSample]:
    track_id, time, default_duration, default_size, default_flags = start
    word, count = struct.unpack_from(">II", moof, trun.body)
    if count > _MAX_SAMPLES:
        raise BoxError(f"a fragment of {count} samples")
    at, place, first_flags = trun.body + 8, 0, None
    if word & 0x1:
        place = struct.unpack_from(">i", moof, at)[0] - len(moof)
        at += 4
    if word & 0x4:
        (first_flags,) = struct.unpack_from(">I", moof, at)
        at += 4
    for k in range(count):
        duration, size, flags, cts = default_duration, default_size, default_flags, 0
        if k == 0 and first_flags is not None:
            flags = first_flags
        if word & 0x100:
            (duration,), at = struct.unpack_from(">I", moof, at), at + 4
        if word & 0x200:
            (size,), at = struct.unpack_from(">I", moof, at), at + 4
        if word & 0x400:
            (flags,), at = struct.unpack_from(">I", moof, at), at + 4
        if word & 0x800:
            (cts,), at = struct.unpack_from(">i", moof, at), at + 4
        if place < 0 or place + size > len(mdat):
            raise BoxError("a sample lies outside of its fragment")
        yield ReadSample(track_id, time, duration, cts, not flags & _NOT_SYNC_BIT, mdat[place : place + size])
        place, time = place + size, time + duration
