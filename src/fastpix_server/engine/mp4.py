"""Sample tables of MP4 and MOV files, read from the moov box alone: where each sample lies and when it is shown.

Invariants: only box headers and the moov are read, never the media data; every count is checked against the box that
claims it and against `MAX_SAMPLES` before memory is taken; whatever is wrong with the bytes ends in `SourceFault`
with a stable code. A file whose tables do not tell the whole truth (fragments, several edits, compressed headers)
yields None: it must be remuxed first.
Source of the rules: ISO/IEC 14496-12, and Apple's QuickTime File Format for what MOV does differently.
"""

import dataclasses
import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine.boxes import Box, BoxError, find, walk

MAX_MOOV_BYTES = 256 << 20  # 12 h at 60 frames a second needs about 50 MB
MAX_SAMPLES = 20_000_000  # over all tracks together: 12 h at 240 frames a second with audio is 12.5 million
MAX_TRACKS = 64  # twice what probe accepts, so that probe's own sentence about streams comes first
MAX_TOP_BOXES = 10_000  # a plain file has about five; a fragmented one shows its moov first

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TABLED_SOUND = (b"mp4a",)  # the only sound whose samples we copy; uncompressed sound counts every PCM sample


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """One entry per sample, in decode order. Times are ticks of the track's timescale, before any edit."""

    dts: Ints
    pts: Ints
    duration: Ints
    size: Ints
    offset: Ints
    is_key: Bools

    def __len__(self) -> int:
        return len(self.size)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Track:
    """`samples` is None for tracks whose tables we do not expand (uncompressed sound, data)."""

    track_id: int
    kind: str  # "vide", "soun", or another handler type
    codec: str  # sample entry: "avc1", "mp4a" ...
    timescale: int
    language: str
    stsd: bytes  # the whole stsd box
    stsd_entries: int
    width: int
    height: int
    is_upright: bool  # identity display matrix
    pixel_aspect: tuple[int, int]
    media_time: int  # ticks of the first edit: what is shown at time 0 (after the empty edit)
    empty_s: float  # length of the leading empty edit
    edit_s: float  # length of the edit, 0 when it says nothing
    samples: Samples | None

    def times_s(self) -> NDArray[np.float64]:
        """Presentation seconds of each sample in the file's own clock, as ffmpeg sees them."""
        assert self.samples is not None
        return (self.samples.pts - self.media_time) / self.timescale + self.empty_s

    def end_s(self) -> float:
        """When the last shown sample ends, in the same clock; an edit that stops earlier wins."""
        assert self.samples is not None
        times = self.times_s()
        last = int(np.argmax(times))
        end = float(times[last]) + int(self.samples.duration[last]) / self.timescale
        return min(end, self.empty_s + self.edit_s) if self.edit_s else end


@dataclasses.dataclass(frozen=True, slots=True)
class Index:
    tracks: tuple[Track, ...]


class _Untold(Exception):
    """The tables are sound but do not describe the presentation; the file needs a remux."""


def read_index(path: Path) -> Index | None:
    """The sample tables, or None when the file must be remuxed to have usable ones.

    Raises SourceFault: moov_missing, truncated, index_too_large, broken_index.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        moov = _read_moov(file, size_bytes)
    try:
        return _parse(moov, size_bytes)
    except _Untold:
        return None
    except (BoxError, struct.error, ValueError, IndexError, OverflowError) as broken:
        raise SourceFault("broken_index", "The file's index is damaged, so the video cannot be read.") from broken


def _read_moov(file: BinaryIO, size_bytes: int) -> bytes:
    at = 0
    for _ in range(MAX_TOP_BOXES):
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            break
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            size = struct.unpack_from(">Q", header, 8)[0]
        elif size == 0:
            size = size_bytes - at
        if size < 8:
            break
        if kind == b"moov":
            return _read_whole(file, at, size, size_bytes)
        at += size
    raise SourceFault(
        "moov_missing",
        "The file has no index (its moov box is missing). The recording or the upload was probably cut short.",
    )


def _read_whole(file: BinaryIO, at: int, size: int, size_bytes: int) -> bytes:
    if size > MAX_MOOV_BYTES:
        raise SourceFault("index_too_large", f"The file's index is larger than {MAX_MOOV_BYTES >> 20} MiB.")
    if at + size > size_bytes:
        raise SourceFault("truncated", "The file ends in the middle of its index: its end is missing.")
    file.seek(at)
    return file.read(size)


def _parse(moov: bytes, size_bytes: int) -> Index | None:
    top = find(moov, (b"moov",))
    movie = find(moov, (b"moov", b"mvhd"))
    if top is None or movie is None or find(moov, (b"moov", b"mvex")):
        raise _Untold
    movie_timescale = _timescale(moov, movie)
    tracks: list[Track] = []
    total = 0
    for box in walk(moov, top.body, top.end):
        if box.kind != b"trak":
            continue
        if len(tracks) == MAX_TRACKS:
            raise SourceFault("too_many_streams", f"The file has more than {MAX_TRACKS} tracks.")
        track = _TrackReader(moov, box, size_bytes, MAX_SAMPLES - total).read(movie_timescale)
        total += len(track.samples) if track.samples else 0
        tracks.append(track)
    if not any(t.kind in ("vide", "soun") for t in tracks):
        raise _Untold
    return Index(tuple(tracks))


def _timescale(data: bytes, box: Box) -> int:
    """Of mvhd or mdhd, which agree up to this field."""
    timescale: int = struct.unpack_from(">I", data, box.body + (20 if data[box.body] == 1 else 12))[0]
    if timescale == 0:
        raise BoxError("a timescale is zero")
    return timescale


class _TrackReader:
    """Reads one trak box. Every table goes through `_rows`, which checks its count against its box."""

    def __init__(self, moov: bytes, trak: Box, size_bytes: int, samples_left: int) -> None:
        self._moov = moov
        self._trak = trak
        self._size_bytes = size_bytes
        self._samples_left = samples_left

    def read(self, movie_timescale: int) -> Track:
        header = self._need(b"tkhd")
        handler = self._need(b"mdia", b"hdlr")
        media = self._need(b"mdia", b"mdhd")
        kind = self._moov[handler.body + 8 : handler.body + 12].decode("latin-1")
        stsd, entries, codec = self._sample_entry() if kind in ("vide", "soun") else (b"", 0, b"")
        media_time, empty_s, edit_s = self._edits(movie_timescale)
        width, height, aspect = _picture_size(stsd) if kind == "vide" else (0, 0, (1, 1))
        if kind == "soun":
            self._check_chunks()
        return Track(
            track_id=self._u32(header.body + (20 if self._moov[header.body] == 1 else 12)),
            kind=kind,
            codec=codec.decode("latin-1"),
            timescale=_timescale(self._moov, media),
            language=_language(self._moov, media),
            stsd=stsd,
            stsd_entries=entries,
            width=width,
            height=height,
            is_upright=self._is_upright(header),
            pixel_aspect=aspect,
            media_time=media_time,
            empty_s=empty_s,
            edit_s=edit_s,
            samples=self._samples() if kind == "vide" or codec in _TABLED_SOUND else None,
        )

    def _find(self, *path: bytes) -> Box | None:
        return find(self._moov, path, self._trak.body, self._trak.end)

    def _need(self, *path: bytes) -> Box:
        box = self._find(*path)
        if box is None or box.size < 12:
            raise BoxError(f"a track has no {path[-1]!r}")
        return box

    def _table(self, kind: bytes) -> Box | None:
        return self._find(b"mdia", b"minf", b"stbl", kind)

    def _u32(self, at: int) -> int:
        value: int = struct.unpack_from(">I", self._moov, at)[0]
        return value

    def _rows(self, box: Box, form: str, columns: int, header: int = 4) -> Ints:
        """A table of `columns` numbers of numpy type `form`, whose count is the u32 at `header` in the box."""
        count = self._u32(box.body + header)
        first = box.body + header + 4
        if first + count * columns * np.dtype(form).itemsize > box.end:
            raise BoxError(f"{box.kind!r} claims {count} rows, which do not fit")
        flat = np.frombuffer(self._moov, form, count * columns, first)
        return flat.astype(np.int64).reshape(count, columns)

    def _sample_entry(self) -> tuple[bytes, int, bytes]:
        box = self._table(b"stsd")
        if box is None or box.size < 24:
            raise BoxError("a track has no sample description")
        return self._moov[box.start : box.end], self._u32(box.body + 4), self._moov[box.body + 12 : box.body + 16]

    def _is_upright(self, header: Box) -> bool:
        at = header.body + (52 if self._moov[header.body] == 1 else 40)
        a, b, _, c, d = struct.unpack_from(">5i", self._moov, at)
        return (a, b, c, d) == (0x10000, 0, 0, 0x10000)

    def _edits(self, movie_timescale: int) -> tuple[int, float, float]:
        """media_time, leading empty seconds, seconds of the edit. Several real edits need a remux."""
        box = self._find(b"edts", b"elst")
        if box is None:
            return 0, 0.0, 0.0
        count = self._u32(box.body + 4)
        form = ">Qqi" if self._moov[box.body] == 1 else ">Iii"
        step = struct.calcsize(form)
        if box.body + 8 + count * step > box.end:
            raise BoxError("an edit list claims more edits than it holds")
        if count > 2:
            raise _Untold
        edits = [struct.unpack_from(form, self._moov, box.body + 8 + i * step) for i in range(count)]
        empty = sum(length for length, start, _ in edits if start < 0)
        real = [e for e in edits if e[1] >= 0]
        if len(real) > 1 or (real and edits[-1] != real[0]) or any(rate != 0x10000 for *_, rate in real):
            raise _Untold
        media_time, length = (real[0][1], real[0][0]) if real else (0, 0)
        return media_time, empty / movie_timescale, length / movie_timescale

    def _sizes(self) -> tuple[Ints | int, int]:
        """Sample sizes (one number when they are all alike) and how many samples there are."""
        box = self._table(b"stsz")
        if box is None or box.size < 20:
            raise _Untold  # stz2: rare, and a remux turns it into stsz
        fixed, count = struct.unpack_from(">II", self._moov, box.body + 4)
        if fixed:
            return fixed, count
        return self._rows(box, ">u4", 1, header=8)[:, 0], count

    def _chunks(self) -> Ints:
        box = self._table(b"stco")
        if box is not None:
            return self._rows(box, ">u4", 1)[:, 0]
        box = self._table(b"co64")
        if box is None:
            raise BoxError("a track has no chunk offsets")
        offsets = self._rows(box, ">u8", 1)[:, 0]
        if len(offsets) and int(offsets.min()) < 0:
            raise BoxError("a chunk offset is beyond any file")
        return offsets

    def _check_chunks(self) -> None:
        """Chunks begin inside the file: all that can be said about tracks which stay unexpanded."""
        chunks = self._chunks()
        if len(chunks) and int(chunks.max()) >= self._size_bytes:
            raise _truncated()

    def _samples(self) -> Samples:
        sizes, count = self._sizes()
        if count == 0:
            raise _Untold  # an empty track: fragments without mvex, or a recorder that never finished
        if count > self._samples_left:
            raise SourceFault("index_too_large", f"The file has more than {MAX_SAMPLES} samples.")
        if isinstance(sizes, int):
            if sizes * count > self._size_bytes:
                raise _truncated()
            sizes = np.full(count, sizes, np.int64)
        duration, shift = self._durations(count), self._shifts(count)
        dts = np.cumsum(duration) - duration
        offset = self._offsets(sizes, count)
        if int((offset + sizes).max()) > self._size_bytes:
            raise _truncated()
        return Samples(dts, dts + shift, duration, sizes, offset, self._keys(count))

    def _durations(self, count: int) -> Ints:
        box = self._table(b"stts")
        if box is None:
            raise BoxError("a track has no time table")
        return self._spread(self._rows(box, ">u4", 2), count)

    def _shifts(self, count: int) -> Ints:
        box = self._table(b"ctts")
        if box is None:
            return np.zeros(count, np.int64)
        rows = self._rows(box, ">u4", 2)
        rows[:, 1] = rows[:, 1].astype(np.int32)  # signed in version 1, and in version 0 by common practice
        return self._spread(rows, count)

    def _spread(self, rows: Ints, count: int) -> Ints:
        """Run lengths to one value per sample; a table that covers fewer samples is broken, a longer one is cut."""
        lengths = np.minimum(rows[:, 0], count)
        ends = np.cumsum(lengths)
        enough = int(np.searchsorted(ends, count))
        if enough == len(ends):
            raise BoxError("a time table covers fewer samples than the file has")
        lengths[enough] -= ends[enough] - count
        return np.repeat(rows[: enough + 1, 1], lengths[: enough + 1])

    def _keys(self, count: int) -> Bools:
        box = self._table(b"stss")
        if box is None:
            return np.ones(count, np.bool_)
        keys = np.zeros(count, np.bool_)
        numbers = self._rows(box, ">u4", 1)[:, 0]
        if len(numbers) and (int(numbers.min()) < 1 or int(numbers.max()) > count):
            raise BoxError("a key frame number is outside the track")
        keys[numbers - 1] = True
        return keys

    def _offsets(self, sizes: Ints, count: int) -> Ints:
        """Where each sample lies: chunks in order, samples back to back inside a chunk."""
        chunks = self._chunks()
        box = self._table(b"stsc")
        rows = self._rows(box, ">u4", 3) if box else np.zeros((0, 3), np.int64)
        if not len(rows) or not len(chunks) or int(rows[0, 0]) != 1:
            raise BoxError("a track has no samples in chunks")
        spans = np.diff(np.append(rows[:, 0], len(chunks) + 1))
        if int(spans.min()) < 0 or int(spans.sum()) != len(chunks):
            raise BoxError("the chunk table is out of order")
        per_chunk = np.minimum(np.repeat(rows[:, 1], spans), count)
        ends = np.cumsum(per_chunk)
        used = int(np.searchsorted(ends, count)) + 1
        if used > len(chunks):
            raise BoxError("the chunks hold fewer samples than the file has")
        per_chunk = per_chunk[:used]
        per_chunk[-1] -= ends[used - 1] - count
        starts = np.cumsum(sizes) - sizes
        first = np.minimum(np.cumsum(per_chunk) - per_chunk, count - 1)
        chunk = np.repeat(np.arange(used), per_chunk)
        offsets: Ints = chunks[chunk] + starts - starts[first[chunk]]
        return offsets


def _truncated() -> SourceFault:
    return SourceFault(
        "truncated", "The file is incomplete: its index speaks of media data beyond the end of the file."
    )


def _language(moov: bytes, media: Box) -> str:
    at = media.body + (32 if moov[media.body] == 1 else 20)
    packed = struct.unpack_from(">H", moov, at)[0]
    letters = [(packed >> shift & 0x1F) + 0x60 for shift in (10, 5, 0)]
    return "".join(map(chr, letters)) if all(0x61 <= letter <= 0x7A for letter in letters) else "und"


def _picture_size(stsd: bytes) -> tuple[int, int, tuple[int, int]]:
    """Coded width and height, and the pixel aspect of the first sample entry."""
    width, height = struct.unpack_from(">HH", stsd, 48)
    entry_end = 16 + struct.unpack_from(">I", stsd, 16)[0]
    try:
        pasp = find(stsd, (b"pasp",), 102, entry_end)
    except BoxError:  # QuickTime ends some entries with four zero bytes, and may append anything
        pasp = None
    if pasp is None or pasp.size < 16:
        return width, height, (1, 1)
    across, down = struct.unpack_from(">II", stsd, pasp.body)
    common = math.gcd(across, down) or 1
    return width, height, (across // common, down // common) if across and down else (1, 1)
