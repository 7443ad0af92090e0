"""`python -m benchmarks.vod [part ...]`: runs the parts (all by default) and prints a table for each."""

import asyncio
import sys
from collections.abc import Callable

from benchmarks.running import platform
from benchmarks.table import Row, as_markdown
from benchmarks.vod import edited, files, first_frame, ladder, pictures, quality, ready, segments, startup, webhooks
from benchmarks.vod.footage import lasting
from fastpix_server.engine.plan import Plan, make_plan
from fastpix_server.engine.probe import probe
from fastpix_server.engine.run import run

NO_FILL = {"FASTPIX_BACKGROUND_FILL": "off"}


def _plan(duration_s: int, quality_tier: str) -> Plan:
    source = asyncio.run(probe(lasting(duration_s), run=run))
    return make_plan(source, max_resolution="1080p", quality=quality_tier, copy=None)


def _served() -> list[Row]:
    with platform(**NO_FILL) as idle:
        out = ready.rows(idle)
        with platform() as filling:
            out += segments.rows_while_filling(idle, filling)
    return out


def _cold() -> list[Row]:
    with platform(**NO_FILL) as idle:
        return segments.rows(idle)


def _edited() -> list[Row]:
    with platform(**NO_FILL) as idle:
        return edited.rows(idle)


def _first_frame() -> list[Row]:
    with platform() as filling:
        return first_frame.rows(filling)


def _files() -> list[Row]:
    with platform() as filling:
        return files.rows(filling)


def _pictures() -> list[Row]:
    with platform(**NO_FILL) as idle:
        return pictures.rows(idle)


def _webhooks() -> list[Row]:
    with platform() as idle:
        return webhooks.rows(idle)


PARTS: dict[str, Callable[[], list[Row]]] = {
    "startup": startup.rows,
    "served": _served,
    "cold": _cold,
    "edited": _edited,
    "first_frame": _first_frame,
    "files": _files,
    "pictures": _pictures,
    "webhooks": _webhooks,
    "ladder": lambda: ladder.rows(_plan(60, "standard"), lasting(60)),
    "quality": lambda: quality.rows({t: _plan(30, t) for t in ("standard", "pro", "premium")}, lasting(30)),
}


def main(names: list[str]) -> None:
    chosen = names or list(PARTS)
    for name in chosen:
        print(as_markdown(f"On-demand video: {name}", PARTS[name]()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
