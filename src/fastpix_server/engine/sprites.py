"""Sheets of small pictures, for previews above a player's timeline: where each tile lies, and the sheet itself.

Invariants: tile i shows a frame of its own time [i, i + 1) * interval and of no other; the number of tiles and the
pixels of a sheet are bounded for every media; a hole in the source is a black tile, never a shifted sheet.
The layout is a pure function of the plan: the edge describes a sheet that a worker makes, and both agree.
"""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import command
from fastpix_server.engine.edit import Piece
from fastpix_server.engine.framing import composed, fitted, mark_inputs, plan_marks
from fastpix_server.engine.pictures import COLOURS, ENCODERS
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.run import run
from fastpix_server.engine.sandbox import MIB, Limits
from fastpix_server.engine.source import VideoFacts

Format = Literal["jpg", "png"]

# Contract section 5. A preview of 256 pixels is wide enough to recognise a scene.
TILE_WIDTH = 256
TILES = 50
TILES_LONG = 100
LONG_S = 15 * 60
# A tall picture is made narrower than TILE_WIDTH instead of filling the page.
TILE_HEIGHT_MAX = 512
# What older phones still decode as one image.
SHEET_PIXELS_MAX = 16_000_000
TILES_MAX = 400  # of an advanced sheet: 6 minutes in steps of a second, above that the steps grow
COLUMNS, COLUMNS_MANY = 10, 20
MIN_STEP_FRAMES = 2  # otherwise rounding to frames could put two tiles on one frame

# Opening, seeking and closing cost about as much as decoding this much video (0.13 s against 15x real time).
SEEK_COST_S = 2
# Inputs of one process. Each holds a few decoded pictures, so there are fewer of larger ones.
BATCH_MAX = 8
BATCH_PIXELS = 16_000_000
_TILE_S = 60  # CPU for one tile, as for one picture
_ENCODING = Limits(cpu_s=60, wall_s=60.0, memory_bytes=2048 * MIB)
_RGB = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """`step` is the time of a tile in frames of the plan's grid; tiles run along rows."""

    step: Fraction
    fps: Fraction
    count: int
    columns: int
    tile_width: int
    tile_height: int

    @property
    def rows(self) -> int:
        return -(-self.count // self.columns)

    @property
    def interval_s(self) -> float:
        return float(self.step / self.fps)

    def start_s(self, i: int) -> float:
        return float(i * self.step / self.fps)

    def place(self, i: int) -> tuple[int, int]:
        """Left and top of tile i in the sheet."""
        return i % self.columns * self.tile_width, i // self.columns * self.tile_height

    def middle(self, i: int) -> int:
        """The frame of tile i; past the end of the media for a last tile that is less than half there."""
        return math.ceil((i + Fraction(1, 2)) * self.step)


def layout(plan: Plan, interval_s: int = 0) -> Layout:
    """`interval_s` 0: a fixed number of tiles over the whole media. Raises SourceFault for audio-only media."""
    if plan.video is None:
        raise SourceFault("no_video", "The media has no picture.")
    timeline = plan.timeline
    width, height = _tile_size(plan.video.display_width, plan.video.display_height)
    most = min(TILES_MAX, SHEET_PIXELS_MAX // (width * height))
    if interval_s:
        step = max(interval_s * timeline.fps, Fraction(timeline.frames, most))
    else:
        wanted = TILES if timeline.duration_s <= LONG_S else TILES_LONG
        step = Fraction(timeline.frames, min(wanted, most))
    step = max(step, Fraction(MIN_STEP_FRAMES))
    count = int((timeline.frames - 1) / step) + 1
    columns = COLUMNS if count <= TILES_LONG else COLUMNS_MANY
    return Layout(step, timeline.fps, count, min(columns, count), width, height)


async def sheet(plan: Plan, source: Path, shown: Layout, format: Format, *, others: Sequence[Path] = ()) -> bytes:
    """The encoded sheet. Raises SourceFault when the whole media has no picture, ServiceFault for our limits.

    `others` are the plan's files from 1 on.
    """
    files = [source, *others]
    if is_one_pass(plan, shown):
        tiles = await _decoded(pass_command(plan, files, shown), _pass_limits(plan), shown, shown.count)
    else:
        tiles = await _sought(plan, files, shown)
    size = shown.tile_width * shown.tile_height * _RGB
    if not any(tiles):
        raise SourceFault("picture_unreadable", "There is no picture in this media.")
    raw = b"".join(tile or bytes(size) for tile in tiles)
    finished = await run(
        sheet_command(shown, format), limits=_ENCODING, stdin=raw, max_output_bytes=_RGB * SHEET_PIXELS_MAX + MIB
    )
    if not finished.is_ok or not finished.stdout:
        raise ServiceFault("sheet_failed", "The sheet of pictures could not be made.")
    return finished.stdout


def is_one_pass(plan: Plan, shown: Layout) -> bool:
    """Is decoding everything once cheaper than going to each tile? Of joined pieces there is no one file to decode.

    Key frames alone are often cheaper than either (key_pictures.py), where a long media has one for each tile.
    """
    if plan.edit is not None and plan.edit.pieces:
        return False
    seeking_s = sum(SEEK_COST_S + place.offset_s for place in places(plan, shown))
    return plan.timeline.duration_s <= seeking_s


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a tile is found: the piece of the plan, where to seek in its file, and how far behind that the frame is."""

    piece: Piece
    seek_s: Fraction
    offset_s: Fraction


def places(plan: Plan, shown: Layout) -> list[Place]:
    """For each tile the key frame of the tile's own time that is nearest to its middle, otherwise the exact middle."""
    timeline = plan.timeline
    frame_s = Fraction(timeline.frame_ticks, timeline.timescale)
    keys = {piece.first: command.key_times(plan, piece) for piece in plan.pieces}
    found = []
    for i in range(shown.count):
        middle = min(shown.middle(i), timeline.frames - 1)
        spot = command.spot(plan, middle)
        begin, end = math.ceil(i * shown.step) - middle, math.ceil((i + 1) * shown.step) - middle
        own = [k for k in keys[spot.piece.first] if begin <= round((k - spot.file_s) / frame_s) < end]
        if own:
            found.append(Place(spot.piece, min(own, key=lambda k: abs(k - spot.file_s)), Fraction(0)))
        else:
            seek_s = command.seek_before(plan, spot.k)
            found.append(Place(spot.piece, seek_s, spot.file_s - seek_s))
    return found


def pass_command(plan: Plan, files: Sequence[Path], shown: Layout) -> list[str]:
    """All tiles from one decode: of the grid's frames those at the tiles' middles."""
    video = plan.video
    assert video is not None
    seek_s = command.seek_before(plan, 0)
    grid = command.grid_filters(video, plan.timeline.fps, -seek_s, shown.middle(shown.count - 1) + 1)
    p, q = shown.step.numerator, shown.step.denominator
    # Frame n is the first at or after the middle of some tile, (i + 1/2) p/q.
    tile_of = f"floor((2*{q}*{{}}-{p})/(2*{p}))"
    wanted = f"gte(2*{q}*n,{p})*gt({tile_of.format('n')},{tile_of.format('(n-1)')})"
    graph = f"[0:{video.stream_index}]{grid},select='{wanted}',{_tile_filters(plan, video, shown, first_mark=1)}[o]"
    inputs = [*_input(video, files[0], seek_s, None), *mark_inputs(plan_marks(plan, files))]
    return [*command.preamble(), *inputs, *_raw_output(graph)]


def batch_command(plan: Plan, files: Sequence[Path], shown: Layout, at: Sequence[Place]) -> list[str]:
    """The tiles at these places, one input each: a process costs more to start than a file to open again."""
    inputs: list[str] = []
    graph = ""
    for i, place in enumerate(at):
        video = place.piece.video
        assert video is not None
        # The end keeps an input from decoding on while the others are read.
        inputs += _input(video, files[place.piece.file], place.seek_s, place.offset_s + 1)
        grid = command.grid_filters(video, plan.timeline.fps, place.offset_s, 1)
        tile = _tile_filters(plan, video, shown, first_mark=len(at), label=f"{i}m")
        graph += f"[{i}:{video.stream_index}]{grid},{tile}[t{i}];"
    graph += "".join(f"[t{i}]" for i in range(len(at))) + f"concat=n={len(at)}[o]"
    inputs += mark_inputs(plan_marks(plan, files))
    return [*command.preamble(), *inputs, *_raw_output(graph)]


def sheet_command(shown: Layout, format: Format) -> list[str]:
    """From the raw tiles on standard input to the encoded sheet."""
    size = f"{shown.tile_width}x{shown.tile_height}"
    return [
        *command.preamble(),
        *("-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", "pipe:0"),
        *("-vf", f"tile={shown.columns}x{shown.rows},{COLOURS[format]}", "-frames:v", "1"),
        *(*ENCODERS[format], "pipe:1"),
    ]


async def _sought(plan: Plan, files: Sequence[Path], shown: Layout) -> list[bytes]:
    at = places(plan, shown)
    tiles = await _from_keys(plan, files, shown, at)
    left = [i for i, tile in enumerate(tiles) if not tile]
    for i, tile in zip(left, await _one_by_one(plan, files, shown, [at[i] for i in left]), strict=True):
        tiles[i] = tile
    return tiles


async def _from_keys(plan: Plan, files: Sequence[Path], shown: Layout, at: Sequence[Place]) -> list[bytes]:
    """The tiles of key frames that need no seeking; the others are empty."""
    tiles = [b""] * len(at)
    # The edge describes sheets and makes none: it does without sample tables, and so without numpy.
    from fastpix_server.engine.key_pictures import Wanted, clips

    wanted = [Wanted(i, place.seek_s) for i, place in enumerate(at) if place.offset_s == 0 and place.piece.file == 0]
    if plan.video is None or not wanted:
        return tiles
    for clip in await clips(files[0], plan.video, plan.start_s, wanted):
        made = await _decoded(keys_command(plan, files, shown), _limits(1), shown, len(clip.at), stdin=clip.data)
        if all(made):  # otherwise nobody knows which one is missing
            for i, tile in zip(clip.at, made, strict=True):
                tiles[i] = tile
    return tiles


def keys_command(plan: Plan, files: Sequence[Path], shown: Layout) -> list[str]:
    """The tiles of a clip of key frames on standard input, one for each."""
    assert plan.video is not None
    return [
        *command.preamble(),
        *command.input_guard(),
        *("-threads", "1", "-max_error_rate", "1", "-reinit_filter", "0"),
        *command.assumed_colours(plan.video),
        *("-f", "mov", "-i", "pipe:0", *mark_inputs(plan_marks(plan, files))),
        *_raw_output(f"[0:v:0]setpts=N,{_tile_filters(plan, plan.video, shown, first_mark=1)}[o]"),
    ]


async def _one_by_one(plan: Plan, files: Sequence[Path], shown: Layout, at: Sequence[Place]) -> list[bytes]:
    """The file is opened for each tile, and what is before it decoded."""
    pixels = max(piece.video.width * piece.video.height for piece in plan.pieces if piece.video is not None)
    size = max(1, min(BATCH_MAX, BATCH_PIXELS // pixels))
    tiles: list[bytes] = []
    for begin in range(0, len(at), size):
        batch = at[begin : begin + size]
        made = await _decoded(batch_command(plan, files, shown, batch), _limits(len(batch)), shown, len(batch))
        if not all(made):
            # Some place has no picture, and the others have moved up: one by one tells which.
            made = [
                (await _decoded(batch_command(plan, files, shown, [place]), _limits(1), shown, 1))[0] for place in batch
            ]
        tiles += made
    return tiles


async def _decoded(
    argv: list[str], limits: Limits, shown: Layout, count: int, *, stdin: bytes | None = None
) -> list[bytes]:
    """`count` raw tiles, in order; empty where nothing came."""
    size = shown.tile_width * shown.tile_height * _RGB
    finished = await run(argv, limits=limits, stdin=stdin, max_output_bytes=count * size + 1)
    if finished.ended != "exit" or finished.returncode < 0:
        raise ServiceFault("sheet_timeout", "Making the sheet of pictures took too long.")
    parts = (finished.stdout[i * size : (i + 1) * size] for i in range(count))
    return [part if len(part) == size else b"" for part in parts]


def _input(video: VideoFacts, source: Path, seek_s: Fraction, length_s: Fraction | None) -> list[str]:
    return [
        *command.input_guard(),
        *("-threads", "1", "-max_error_rate", "1", "-reinit_filter", "0"),
        *command.assumed_colours(video),
        *("-noaccurate_seek", "-ss", command.seconds(seek_s)),
        *(() if length_s is None else ("-t", command.seconds(length_s))),
        *command.input_file(source),
    ]


def _tile_filters(plan: Plan, video: VideoFacts, shown: Layout, *, first_mark: int, label: str = "") -> str:
    size = (shown.tile_width, shown.tile_height)
    mapped = f"{command.tone_map(video, fitted(plan, video, size) or size)}," if video.is_hdr else ""
    framed = composed(plan, video, size, first_mark=first_mark, label=label)
    return mapped + (framed or f"scale={size[0]}:{size[1]}:flags=bicubic,setsar=1,") + "format=rgb24"


def _raw_output(graph: str) -> list[str]:
    return [
        *("-filter_complex_threads", "1", "-filter_complex", graph, "-map", "[o]", "-fps_mode", "passthrough"),
        *("-map_metadata", "-1", "-f", "rawvideo", "pipe:1"),
    ]


def _limits(tiles: int) -> Limits:
    return Limits(cpu_s=_TILE_S * tiles, wall_s=float(_TILE_S * tiles), memory_bytes=4096 * MIB)


def _pass_limits(plan: Plan) -> Limits:
    return command.video_limits(plan, (), 0, plan.timeline.segment_count)


def _tile_size(width: int, height: int) -> tuple[int, int]:
    shrink = min(Fraction(TILE_WIDTH, width), Fraction(TILE_HEIGHT_MAX, height))
    # Even sides: subsampled colours of one tile must not reach into the next.
    return _even(width * shrink), _even(height * shrink)


def _even(pixels: Fraction) -> int:
    return max(2, round(pixels / 2) * 2)
