"""What becomes of a decoded picture before it is scaled to renditions: fitted into the base's frame, and watermarked.

Pure text for filter graphs; empty where a plan has no edit. Sizes and places are even, so that the subsampled colours
of a watermark or of a border never reach into their neighbours.
"""

from collections.abc import Sequence
from pathlib import Path

from fastpix_server.engine.edit import Watermark
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.source import VideoFacts

SHAPE_TOLERANCE = 0.01  # shapes that differ less are stretched: the border would be a line of a few pixels
# Watermarks are stored as one picture in a container of ours (watermark.py); nothing else may be opened here.
MARK_FORMAT = "mov"
FIRST_MARK_INPUT = 1


def mark_inputs(marks: Sequence[Path]) -> list[str]:
    """Further inputs of a command, in the order of the plan's watermarks."""
    arguments: list[str] = []
    for path in marks:
        arguments += ["-protocol_whitelist", "file", "-format_whitelist", MARK_FORMAT, "-f", MARK_FORMAT]
        arguments += ["-threads", "1", "-i", f"file:{path.resolve()}"]
    return arguments


def plan_marks(plan: Plan, files: Sequence[Path]) -> list[Path]:
    """The files of the plan's watermarks, in their order."""
    return [files[mark.file] for mark in plan.edit.watermarks] if plan.edit else []


def fitted(plan: Plan, video: VideoFacts, size: tuple[int, int]) -> tuple[int, int] | None:
    """The size of the picture inside a frame of `size`, or None when it fills the frame."""
    if plan.video is None or plan.edit is None:
        return None
    own = video.display_width / video.display_height
    frame = plan.video.display_width / plan.video.display_height
    if abs(own / frame - 1) <= SHAPE_TOLERANCE:
        return None
    across, down = size
    if own > frame:
        return across, min(_even(across / own), down)
    return min(_even(down * own), across), down


def composed(
    plan: Plan, video: VideoFacts, size: tuple[int, int], *, first_mark: int = FIRST_MARK_INPUT, label: str = ""
) -> str:
    """Filters, with a comma after them, that make the frame of the timeline out of a picture of one file.

    `first_mark` is the input of the first watermark; `label` tells chains of one graph apart.
    """
    if plan.edit is None:
        return ""
    inner = fitted(plan, video, size)
    filters = ""
    if inner is not None:
        across, down = _even((size[0] - inner[0]) / 2, 0), _even((size[1] - inner[1]) / 2, 0)
        filters = (
            f"scale={inner[0]}:{inner[1]}:flags=bicubic:out_color_matrix=bt709:out_range=tv,setsar=1,format=yuv420p,"
            f"pad={size[0]}:{size[1]}:{across}:{down}:black,"
        )
    if plan.edit.watermarks:
        if inner is None:
            filters += f"scale={size[0]}:{size[1]}:flags=bicubic:out_color_matrix=bt709:out_range=tv,setsar=1,"
        filters += "format=yuv420p"
        for i, mark in enumerate(plan.edit.watermarks):
            filters += _marked(first_mark + i, f"{label}{i}", mark, size)
        filters += ","
    return filters


def _marked(k: int, name: str, mark: Watermark, size: tuple[int, int]) -> str:
    """The single frame of the watermark's input is repeated for as long as the video lasts."""
    width, height = _even(mark.width * size[0]), _even(mark.height * size[1])
    left, top = _even(mark.left * size[0], 0), _even(mark.top * size[1], 0)
    return (
        f"[p{name}];[{k}:0]format=rgba,scale={width}:{height}:flags=bicubic,"
        f"colorchannelmixer=aa={mark.opacity:.4f},scale=out_color_matrix=bt709:out_range=tv,format=yuva420p[m{name}];"
        f"[p{name}][m{name}]overlay={left}:{top}:format=yuv420:eof_action=repeat"
    )


def _even(pixels: float, least: int = 2) -> int:
    return max(least, round(pixels / 2) * 2)
