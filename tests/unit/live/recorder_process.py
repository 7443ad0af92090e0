"""A recorder in a process of its own that kills itself at a named moment of number 1."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests import live_segments

from fastpix_server.db.pool import Database
from fastpix_server.live import journal
from fastpix_server.live.model import SessionSpec
from fastpix_server.live.recorder import Recorder
from fastpix_server.storage.open import open_store


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, folder: Path, killed_at: str, spec: SessionSpec) -> None:
    db = await Database.open(url, size=2)
    objects = open_store(f"file://{folder}/objects", {}, folder / "work").objects
    put, insert = objects.put, journal.insert

    async def putting(key: str, data: bytes, **options: bool) -> None:
        if killed_at == "before_object" and key.endswith("/1.m4s"):
            die()
        await put(key, data, **options)

    async def inserting(*args: object) -> None:
        rows = args[3]
        if killed_at == "between_object_and_row" and rows[0].number == 1:  # type: ignore[index]
            die()
        await insert(*args)  # type: ignore[arg-type]

    objects.put = putting  # type: ignore[method-assign]
    journal.insert = inserting  # type: ignore[assignment]
    recorder = Recorder(db, objects, spec)
    for segment in live_segments.session():
        if segment.number <= 1:
            recorder.on_segment(segment)
    await recorder.close()
    die()


if __name__ == "__main__":
    values: dict[str, object] = dict(field.split("=", 1) for field in sys.argv[4:])
    values |= {name: values[name] == "True" for name in ("is_dvr", "is_recorded")}
    values["max_lines"] = int(str(values["max_lines"]))
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], SessionSpec(**values)))  # type: ignore[arg-type]
