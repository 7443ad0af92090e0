"""The sandbox, seen from inside a real child: what it may and may not do."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fastpix_server.engine import sandbox
from fastpix_server.engine.run import run
from fastpix_server.engine.sandbox import MIB, Limits

ROOMY = Limits(cpu_s=20, wall_s=20.0, memory_bytes=1024 * MIB, file_bytes=MIB)


async def inside(code: str, limits: Limits = ROOMY, nice: int = 0):
    return await run([sys.executable, "-I", "-c", textwrap.dedent(code)], limits=limits, nice=nice)


async def report(code: str, limits: Limits = ROOMY, nice: int = 0) -> dict:
    finished = await inside("import json, os, resource, socket\n" + textwrap.dedent(code), limits, nice)
    assert finished.is_ok, finished.stderr
    return json.loads(finished.stdout)


async def test_a_child_sees_an_empty_folder_and_a_minimal_environment(monkeypatch):
    monkeypatch.setenv("FASTPIX_MASTER_KEY", "do-not-tell")
    seen = await report("print(json.dumps({'env': dict(os.environ), 'files': os.listdir('.')}))")
    assert seen["files"] == []
    assert set(seen["env"]) <= {"PATH", "LC_ALL", "LC_CTYPE"}


async def test_a_child_cannot_leave_files_in_its_folder():
    finished = await inside("open('dropped', 'w')")
    assert b"FileNotFoundError" in finished.stderr


async def test_a_child_has_its_own_session_and_no_core_dumps():
    seen = await report("print(json.dumps([os.getsid(0) == os.getpid(), resource.getrlimit(resource.RLIMIT_CORE)]))")
    assert seen == [True, [0, 0]]


async def test_nice_and_open_file_limit_reach_the_child():
    seen = await report("print(json.dumps([os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))", nice=7)
    assert seen == [os.nice(0) + 7, sandbox.OPEN_FILES]


async def test_a_child_that_burns_cpu_is_ended_by_its_limit():
    finished = await inside("while True: pass", Limits(cpu_s=1, wall_s=20.0))
    assert finished.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


async def test_a_child_that_wants_too_much_memory_gets_none():
    small = Limits(cpu_s=5, wall_s=20.0, memory_bytes=200 * MIB)
    assert b"MemoryError" in (await inside("bytearray(300 << 20)", small)).stderr
    assert (await inside("bytearray(20 << 20)", small)).is_ok


async def test_a_child_may_write_a_file_up_to_its_limit(tmp_path: Path):
    write = f"with open({str(tmp_path / 'out')!r}, 'wb', 0) as f: assert f.write(bytes(%d)) == %d"
    assert (await inside(write % (MIB, MIB))).is_ok
    assert not (await inside(write % (MIB + 1, MIB + 1))).is_ok


def can_make_namespaces() -> bool:
    return subprocess.run(["unshare", "-Un", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_make_namespaces(), reason="this kernel or container gives no user namespaces")
async def test_a_child_has_no_network_but_its_parent_does():
    code = """
    with socket.socketpair()[0]: pass
    s = socket.socket()
    s.settimeout(2)
    try:
        s.connect(('127.0.0.1', %d)); print('"connected"')
    except OSError as e:
        print(json.dumps(e.errno))
    """
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)  # the passing twin
    writer.close()
    assert await report(code % port) != "connected"
    server.close()


def test_the_missing_namespace_note_is_not_taken_for_the_childs_words():
    assert sandbox.without_launch_notes(b"launch: no network namespace: x\nreal words") == b"real words"
    assert sandbox.without_launch_notes(b"real words") == b"real words"


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_kill_minus_nine_of_the_parent_kills_the_child(tmp_path: Path):
    program = textwrap.dedent("""
        import asyncio, sys
        from fastpix_server.engine.run import started
        from fastpix_server.engine.sandbox import Limits
        async def main():
            async with started(["/bin/sleep", "600"], limits=Limits(cpu_s=9, wall_s=600.0), outputs=0) as p:
                print(p.pid, flush=True)
                await p.finish()
        asyncio.run(main())
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 60
    while not Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"/bin/sleep"):
        assert time.monotonic() < deadline  # past the launcher the death signal is armed
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(child)
