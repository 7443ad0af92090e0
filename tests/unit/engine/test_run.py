"""Running children: bounds on time and output, pausing, killing, and leaving nothing behind."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.playing import until

from fastpix_server.engine.run import STDERR_BYTES, Control, run, started
from fastpix_server.engine.sandbox import Limits

LIMITS = Limits(cpu_s=20, wall_s=20.0)
PYTHON = [sys.executable, "-I", "-S", "-c"]
FOREVER = "import os, time\nos.write(3, b'up')\nwhile True: os.write(3, b'.'); time.sleep(0.01)"


async def test_output_error_and_exit_code_come_back():
    finished = await run([*PYTHON, "import sys; print('out'); sys.stderr.write('err'); sys.exit(3)"], limits=LIMITS)
    assert (finished.returncode, finished.stdout, finished.stderr) == (3, b"out\n", b"err")
    assert not finished.is_ok


async def test_what_is_fed_to_stdin_is_read_by_the_child():
    finished = await run(["/bin/cat"], limits=LIMITS, stdin=b"x" * 300_000)
    assert finished.stdout == b"x" * 300_000


async def test_a_child_that_ignores_a_large_stdin_is_no_error():
    assert (await run(["/bin/true"], limits=LIMITS, stdin=b"x" * 1_000_000)).is_ok


async def test_a_missing_program_is_a_failure_that_names_it():
    finished = await run(["/nowhere/ffmpeg"], limits=LIMITS)
    assert finished.returncode == 127
    assert b"/nowhere/ffmpeg" in finished.stderr


async def test_the_wall_limit_kills_the_whole_group():
    begun = time.monotonic()
    sleepy = "import subprocess; subprocess.run(['/bin/sleep', '30'])"
    finished = await run([*PYTHON, sleepy], limits=Limits(cpu_s=9, wall_s=0.5))
    assert finished.ended == "wall"
    assert finished.returncode == -signal.SIGKILL
    assert time.monotonic() - begun < 25


async def test_output_beyond_its_maximum_ends_the_child():
    endless = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    finished = await run([*PYTHON, endless], limits=LIMITS, max_output_bytes=100_000)
    assert finished.ended == "output"
    assert len(finished.stdout) == 100_000
    exact = await run([*PYTHON, "print('x' * 99999)"], limits=LIMITS, max_output_bytes=100_000)
    assert exact.is_ok


async def test_only_the_first_part_of_a_flood_of_errors_is_kept():
    flood = "import sys\nfor i in range(20000): sys.stderr.write(f'{i:020d}')"
    finished = await run([*PYTHON, flood], limits=LIMITS)
    assert finished.is_ok
    assert len(finished.stderr) == STDERR_BYTES
    assert finished.stderr.startswith(b"0" * 20)


async def test_outputs_arrive_as_descriptors_three_and_up():
    code = "import os; os.write(3, b'first'); os.write(4, b'second')"
    async with started([*PYTHON, code], limits=LIMITS, outputs=2) as process:
        read = await asyncio.gather(*(reader.read() for reader in process.outputs))
        assert (await process.finish()).is_ok
    assert read == [b"first", b"second"]


async def test_a_paused_child_stands_still_and_goes_on_when_resumed():
    control = Control()
    async with started([*PYTHON, FOREVER], limits=LIMITS, outputs=1, control=control) as process:
        reader = process.outputs[0]
        await reader.readexactly(20)
        control.pause()
        await asyncio.sleep(0.1)
        await drained(reader)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.3)
        control.resume()
        await asyncio.wait_for(reader.readexactly(5), 60)


async def drained(reader: asyncio.StreamReader) -> None:
    while True:
        try:
            await asyncio.wait_for(reader.read(4096), 0.1)
        except TimeoutError:
            return


async def test_time_spent_paused_is_not_counted_against_the_wall_limit():
    control = Control()
    async with started([*PYTHON, FOREVER], limits=Limits(cpu_s=9, wall_s=1.0), outputs=1, control=control) as process:
        control.pause()
        await asyncio.sleep(1.5)
        assert process.is_running
        control.resume()
        finished = await process.finish()
    assert finished.ended == "wall"


async def test_a_control_that_was_killed_first_kills_what_starts_later():
    control = Control()
    control.kill()
    async with started(["/bin/sleep", "20"], limits=LIMITS, outputs=0, control=control) as process:
        finished = await process.finish()
    assert finished.ended == "killed"


async def test_a_control_is_harmless_before_the_start_and_after_the_end():
    control = Control()
    control.pause()
    control.resume()
    async with started(["/bin/true"], limits=LIMITS, outputs=0, control=control) as process:
        await process.finish()
    control.pause()
    control.resume()
    control.kill()


async def test_a_paused_child_can_still_be_killed():
    control = Control()
    async with started([*PYTHON, FOREVER], limits=LIMITS, outputs=1, control=control) as process:
        control.pause()
        control.kill()
        assert (await asyncio.wait_for(process.finish(), 60)).ended == "killed"


async def test_cancelling_the_caller_leaves_no_process_and_no_descriptor():
    pids: list[int] = []

    async def use() -> None:
        async with started([*PYTHON, FOREVER], limits=LIMITS, outputs=1) as process:
            await process.outputs[0].read(2)
            pids.append(process.pid)
            await asyncio.sleep(3600)

    before = len(os.listdir("/proc/self/fd"))
    task = asyncio.create_task(use())
    await until(lambda: pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not Path(f"/proc/{pids[0]}").exists())
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the loop's own child watcher may stay


async def test_starting_in_the_sandbox_costs_little():
    await run(["/bin/true"], limits=LIMITS)
    begun = _cpu_s()
    for _ in range(10):
        await run(["/bin/true"], limits=LIMITS)
    assert (_cpu_s() - begun) / 10 < 0.1  # of a processor, whatever else it does: 12 ms


def _cpu_s() -> float:
    """What this process has used, and its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
