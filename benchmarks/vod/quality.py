"""VMAF and bits of each tier: the segments as made, joined, against the source."""

import asyncio
import json
import subprocess
import tempfile
from pathlib import Path

from benchmarks.table import Row
from benchmarks.vod.footage import FFMPEG
from fastpix_server.engine.encode import encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import Plan, VideoRendition


async def _join(plan: Plan, source: Path, rung: VideoRendition, out: Path) -> int:
    parts: dict[int, bytes] = {}

    async def keep(_name: str, k: int, data: bytes) -> None:
        parts[k] = data

    await encode_video(plan, source, [rung], 0, plan.timeline.segment_count, keep)
    data = await make_init(plan, rung) + b"".join(parts[k] for k in sorted(parts))
    out.write_bytes(data)
    return len(data)


def vmaf(made: Path, source: Path, width: int, height: int) -> float:
    """Mean VMAF at the source's size, as a viewer with a full screen sees it."""
    with tempfile.NamedTemporaryFile(suffix=".json") as log:
        graph = (
            f"[0:v]scale={width}:{height}:flags=bicubic,format=yuv420p,settb=AVTB,setpts=N[a];"
            f"[1:v]format=yuv420p,settb=AVTB,setpts=N[b];[a][b]libvmaf=n_threads=2:n_subsample=4:log_fmt=json:log_path={log.name}"
        )
        subprocess.run(
            [FFMPEG, "-nostdin", "-v", "error", "-i", str(made), "-i", str(source), "-lavfi", graph, "-f", "null", "-"],
            check=True,
        )
        return float(json.load(open(log.name))["pooled_metrics"]["vmaf"]["mean"])


def rows(plans: dict[str, Plan], source: Path) -> list[Row]:
    out: list[Row] = []
    for tier, plan in plans.items():
        assert plan.video is not None
        for rung in (r for r in plan.videos if r.kind == "encode"):
            with tempfile.TemporaryDirectory() as folder:
                made = Path(folder) / "made.mp4"
                size_bytes = asyncio.run(_join(plan, source, rung, made))
                score = vmaf(made, source, plan.video.width, plan.video.height)
            bitrate_kbps = size_bytes * 8 / plan.timeline.duration_s / 1000
            out.append(
                Row(
                    f"{tier} {rung.name}",
                    f"VMAF {score:.1f} at {bitrate_kbps:.0f} kb/s",
                    f"cap {rung.max_bitrate_bps / 1000:.0f} kb/s",
                    bitrate_kbps * 1000 / rung.max_bitrate_bps,
                )
            )
    return out
