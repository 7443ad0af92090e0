"""What only this machine's disk has: modes, locks of dead processes, bytes past the last sync."""

import asyncio
import os
import stat
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastpix_server.storage.local import LocalObjects
from fastpix_server.storage.port import StorageMisconfigured
from fastpix_server.storage.staging import StagingBusy
from fastpix_server.storage.staging_local import LocalStaging


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_folders_and_files_are_private_to_the_user(tmp_path: Path) -> None:
    objects, staging = LocalObjects(tmp_path / "deep" / "root"), LocalStaging(tmp_path / "deep" / "root")
    await objects.put("media/a/1.m4s", b"x")
    await staging.append("u1", 0, _one(b"x"), max_size_bytes=9)
    for path in (tmp_path / "deep").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


async def test_a_finished_file_was_renamed_not_copied(tmp_path: Path) -> None:
    objects, staging = LocalObjects(tmp_path), LocalStaging(tmp_path)
    await staging.append("u1", 0, _one(b"bytes"), max_size_bytes=9)
    inode = staging.local_path("u1").stat().st_ino
    await staging.finish("u1", "sources/u1/original")
    assert objects.local_path("sources/u1/original").stat().st_ino == inode


async def test_bytes_past_the_last_sync_are_cut_off(tmp_path: Path) -> None:
    staging = LocalStaging(tmp_path)
    await staging.append("u1", 0, _one(b"durable"), max_size_bytes=99)
    with staging.local_path("u1").open("ab") as tail:
        tail.write(b"\0\0\0 what a power cut left")
    assert await staging.size("u1") == 7
    await staging.append("u1", 7, _one(b"+more"), max_size_bytes=99)
    assert staging.local_path("u1").read_bytes() == b"durable+more"


async def test_a_lost_or_garbled_mark_means_no_durable_bytes(tmp_path: Path) -> None:
    staging = LocalStaging(tmp_path)
    await staging.append("u1", 0, _one(b"durable"), max_size_bytes=99)
    staging.local_path("u1").with_suffix(".mark").write_text("\0\0\0")
    assert await staging.size("u1") == 0
    await staging.append("u1", 0, _one(b"again"), max_size_bytes=99)
    assert staging.local_path("u1").read_bytes() == b"again"


_WRITER = """
import asyncio, sys
from pathlib import Path
from fastpix_server.storage.staging_local import LocalStaging

async def chunks():
    yield b"x" * (17 * 1024 * 1024)
    print("stored", flush=True)
    await asyncio.sleep(3600)

asyncio.run(LocalStaging(Path(sys.argv[1])).append("u1", 0, chunks(), max_size_bytes=10**9))
"""


async def test_a_killed_writer_keeps_its_synced_bytes_and_leaves_no_lock(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", textwrap.dedent(_WRITER), str(tmp_path)]
    writer = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    staging = LocalStaging(tmp_path)
    try:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"stored\n"
        while await staging.size("u1") == 0:  # noqa: ASYNC110 another process writes
            await asyncio.sleep(0.02)
        with pytest.raises(StagingBusy):
            await staging.append("u1", 0, _one(b"rival"), max_size_bytes=10**9)
        with pytest.raises(StagingBusy):
            await staging.finish("u1", "o")
    finally:
        writer.kill()
        await writer.wait()
    durable = await staging.size("u1")
    assert durable == 17 * 1024 * 1024
    assert await staging.append("u1", durable, _one(b"!"), max_size_bytes=10**9) == durable + 1


async def test_a_crash_between_rename_and_cleaning_is_repaired_by_finishing_again(tmp_path: Path) -> None:
    objects, staging = LocalObjects(tmp_path), LocalStaging(tmp_path)
    await staging.append("u1", 0, _one(b"bytes"), max_size_bytes=9)
    objects.local_path("sources/u1/original").parent.mkdir(parents=True)
    staging.local_path("u1").rename(objects.local_path("sources/u1/original"))
    assert await staging.finish("u1", "sources/u1/original") == 5
    assert list((tmp_path / ".staging").iterdir()) == []


async def test_the_sweep_removes_old_leftovers_and_keeps_young_ones(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    old, young = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    await objects.self_test()
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_folder_is_explained_in_plain_words(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    (tmp_path / ".tmp").chmod(0o500)
    with pytest.raises(StorageMisconfigured, match="read and write rights"):
        await objects.self_test()
