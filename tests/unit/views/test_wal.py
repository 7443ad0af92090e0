"""What is acknowledged is on the disk, and comes out again whatever happened to the process."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastpix_server.base import errors
from fastpix_server.views import wal
from fastpix_server.views.wal import Wal, whole_lines


def closed_lines(log: Wal) -> list[bytes]:
    return [line for segment in log.segments() for line in whole_lines(segment.read_bytes())]


async def until_closed(log: Wal, count: int) -> None:
    async with asyncio.timeout(60):
        while len(closed_lines(log)) < count:  # noqa: ASYNC110 - files have no events
            await asyncio.sleep(0.05)


async def test_waiters_share_writes_and_each_line_is_there_once(tmp_path: Path) -> None:
    log = Wal(tmp_path)
    await asyncio.gather(*(log.append([f"R{n}".encode(), f"E{n}".encode()]) for n in range(200)))
    await until_closed(log, 400)
    assert sorted(closed_lines(log)) == sorted(f"{kind}{n}".encode() for kind in "RE" for n in range(200))
    assert len(log.segments()) < 20
    await log.close()
    log.release()


async def test_the_last_segment_is_closed_at_the_end_and_can_be_adopted_then(tmp_path: Path) -> None:
    log = Wal(tmp_path)
    await log.append([b"Rlast"])
    other = Wal(tmp_path)
    assert list(other.adoptable()) == []  # its owner lives
    await log.close()
    with pytest.raises(errors.Unavailable):
        await log.append([b"Rtoo late"])
    log.release()
    (adopted,) = other.adoptable()
    (segment,) = adopted.segments()
    assert whole_lines(segment.read_bytes()) == [b"Rlast"]
    segment.unlink()
    adopted.remove()
    assert not adopted.folder.exists()
    await other.close()
    other.release()
    assert list(tmp_path.iterdir()) == []


async def test_a_killed_process_leaves_what_it_acknowledged_to_the_next(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from fastpix_server.views.wal import Wal\n"
        "async def main():\n"
        "    log = Wal(Path(sys.argv[1]))\n"
        "    for n in range(1000000):\n"
        "        await log.append([b'R%d' % n]); print(n, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout is not None
    acknowledged = -1
    while acknowledged < 150:
        acknowledged = int(await process.stdout.readline())
    process.kill()
    for line in (await process.stdout.read()).split():
        acknowledged = int(line)
    await process.wait()
    log = Wal(tmp_path)
    (adopted,) = log.adoptable()
    found = [line for segment in adopted.segments() for line in whole_lines(segment.read_bytes())]
    assert found[: acknowledged + 1] == [b"R%d" % n for n in range(acknowledged + 1)]
    await log.close()
    log.release()


async def test_a_full_backlog_refuses_and_takes_again_when_it_was_flushed(tmp_path: Path) -> None:
    log = Wal(tmp_path, backlog_max_bytes=1000)
    await log.append([b"R" + b"x" * 600])
    with pytest.raises(errors.TooMany) as caught:
        await log.append([b"R" + b"x" * 600])
    assert caught.value.retry_after_s == wal.RETRY_AFTER_S
    await log.append([b"R" + b"x" * 300])
    await until_closed(log, 2)
    for segment in log.segments():
        log.flushed(segment, segment.stat().st_size)
    assert log.backlog_bytes == 0
    await log.append([b"R" + b"x" * 600])
    await log.close()
    log.release()


async def test_a_disk_that_fails_acknowledges_nothing_and_tears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Wal(tmp_path)
    await log.append([b"Rbefore"])
    true_write = os.write

    def half(fd: int, data: bytes) -> int:
        true_write(fd, bytes(data)[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(errors.Unavailable):
        await log.append([b"Rlost"])
    monkeypatch.undo()
    await log.append([b"Rafter"])
    await until_closed(log, 2)
    assert closed_lines(log) == [b"Rbefore", b"Rafter"]
    await log.close()
    log.release()


def test_a_torn_last_line_is_left_out() -> None:
    assert whole_lines(b"Ra\nRb\nRc") == [b"Ra", b"Rb"]
    assert whole_lines(b"Rtorn") == []
    assert whole_lines(b"") == []
