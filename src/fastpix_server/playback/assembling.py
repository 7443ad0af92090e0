"""Stored segments of one rendition as one local file: what files and new media are written from.

Invariants: a file holds every segment of the rendition in order, or an exception says why not; nothing is encoded.
"""

import asyncio
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import boxes, composition
from fastpix_server.engine.boxes import BoxError
from fastpix_server.playback.model import Target
from fastpix_server.playback.recording import Facts
from fastpix_server.playback.targets import RecordedTarget
from fastpix_server.storage.port import ObjectMissing, ObjectStore

_STSD = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


class Missing(ServiceFault):
    """A part is not stored."""

    def __init__(self) -> None:
        super().__init__("segment_missing", "A stored part of the media is missing.")


async def is_stored(objects: ObjectStore, target: Target, rendition: str) -> bool:
    """Can `planned` be written now?"""
    stored = await objects.list_sizes(f"{target.place}/{rendition}")
    return all(key in stored for key in _keys(target, rendition))


async def planned(objects: ObjectStore, target: Target, rendition: str, out: Path) -> None:
    """All segments of a target whose fill is done. Raises Missing, and ServiceFault when there is no room."""
    await _write(out, _read(objects, _keys(target, rendition)))


def _keys(target: Target, rendition: str) -> list[str]:
    count = target.plan.timeline.segment_count
    return [target.init_key(rendition), *(target.segment_key(rendition, k) for k in range(count))]


async def recorded(objects: ObjectStore, target: RecordedTarget, rendition: str, out: Path) -> None:
    """All segments of a recording; its stretches are moved together, as players show them, and no composition offset is
    negative any more: ffmpeg reads the file.

    Raises SourceFault where the stretches were encoded differently, or one has not this rendition; Missing.
    """
    stretches = target.recording.stretches
    tracks = [stretch.track(rendition) for stretch in stretches]
    if any(track is None for track in tracks):
        raise SourceFault("recording_changes", "The recording has not this rendition throughout.")
    inits = [await _get(objects, target.init_key(rendition, stretch.epoch)) for stretch in stretches]
    if len({_description(init) for init in inits}) > 1:
        raise SourceFault(
            "recording_changes", "The publisher changed the format between two connections of the recording."
        )
    signed = out.with_name(f"{out.name}.signed")
    try:
        await _write(signed, _joined(objects, target, rendition, inits[0]))
        await asyncio.to_thread(_finish, signed, out)
    finally:
        signed.unlink(missing_ok=True)


def _finish(signed: Path, out: Path) -> None:
    try:
        if not composition.without_negatives(signed, out):
            signed.replace(out)
    except BoxError as broken:
        raise _broken() from broken
    except OSError as error:
        raise _no_space() from error


def _broken() -> ServiceFault:
    return ServiceFault("segment_broken", "A stored part of the media is damaged.")


def _no_space() -> ServiceFault:
    return ServiceFault("no_space", "There is no space left to write the file.")


def is_throughout(target: RecordedTarget, facts: Facts) -> bool:
    return all(stretch.track(facts.name) is not None for stretch in target.recording.stretches)


async def _joined(objects: ObjectStore, target: RecordedTarget, name: str, init: bytes) -> AsyncIterator[bytes]:
    """Each stretch is moved to where players show it: by its lead, so that sound and picture move together."""
    yield init
    begin_s, sequence = Fraction(0), 0
    for stretch in target.recording.stretches:
        lead, track = stretch.tracks[0], stretch.track(name)
        assert track is not None, "checked by the caller"
        shift_s = begin_s - Fraction(lead.start_ticks, lead.facts.timescale)
        shift = round(shift_s * track.facts.timescale)
        for k, size in enumerate(track.sizes):
            if size:
                segment = await _get(objects, target.segment_key(name, stretch.first + k))
                sequence, moved = _moved(segment, shift, sequence)
                yield moved
        begin_s += stretch.duration_s


def _moved(segment: bytes, shift: int, sequence: int) -> tuple[int, bytes]:
    """The segment that many ticks later, its fragments numbered on from `sequence`."""
    pieces: list[bytes] = []
    try:
        for box in boxes.walk(segment):
            piece = segment[box.start : box.end]
            if box.kind == b"moof":
                sequence += 1
                at = max(boxes.decode_time(piece) + shift, 0)
                piece = boxes.patch_fragment(piece, sequence=sequence, decode_time=at)
            pieces.append(piece)
    except BoxError as broken:
        raise _broken() from broken
    return sequence, b"".join(pieces)


def _description(init: bytes) -> bytes:
    """What a decoder is set up with."""
    try:
        stsd = boxes.find(init, _STSD)
    except BoxError as broken:
        raise ServiceFault("segment_broken", "A stored header of the media is damaged.") from broken
    return b"" if stsd is None else init[stsd.start : stsd.end]


async def _read(objects: ObjectStore, keys: list[str]) -> AsyncIterator[bytes]:
    for key in keys:
        yield await _get(objects, key)


async def _get(objects: ObjectStore, key: str) -> bytes:
    try:
        return await objects.get(key)
    except ObjectMissing as missing:
        raise Missing from missing


async def _write(out: Path, pieces: AsyncIterator[bytes]) -> None:
    try:
        with out.open("wb") as file:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
    except OSError as error:
        raise _no_space() from error
