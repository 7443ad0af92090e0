"""The only place that starts a process: one-shot runs, and processes that stream through pipes.

Invariants: a child never outlives us (PR_SET_PDEATHSIG) nor its wall limit; what it prints is bounded; leaving
`Process` by any path (return, exception, cancellation) kills its whole group and reaps it.
Start children from a thread that lives as long as the process (the event loop's main thread): the kernel's death
signal follows the thread that started them.
"""

import asyncio
import dataclasses
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Literal, Protocol

from fastpix_server.engine.sandbox import ENVIRONMENT, Limits, without_launch_notes, wrap

__all__ = ["Control", "Finished", "Killed", "Limits", "Process", "Runner", "run", "started"]

STDERR_BYTES = 64 * 1024  # the first of it is kept: the cause comes first, what follows repeats
PIPE_BUFFER_BYTES = 256 * 1024  # asyncio stops reading a pipe at twice this, and then the child waits

Ending = Literal["exit", "wall", "output", "killed"]


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended. `returncode` is negative for a signal; `ended` says who decided."""

    returncode: int
    stdout: bytes
    stderr: bytes
    ended: Ending = "exit"

    @property
    def is_ok(self) -> bool:
        return self.returncode == 0 and self.ended == "exit"


class Runner(Protocol):
    """The shape of `run`, for code that is handed one."""

    def __call__(
        self,
        argv: list[str],
        *,
        limits: Limits,
        nice: int = 0,
        stdin: bytes | None = None,
        max_output_bytes: int = ...,
    ) -> Awaitable[Finished]: ...


class Killed(Exception):
    """The child was ended through its `Control`, on purpose: nobody is at fault and nothing was finished."""


class _Clock:
    """Ends the child after `wall_s` seconds in which it could have worked."""

    def __init__(self, wall_s: float, expire: "Process") -> None:
        self._left_s = wall_s
        self._process = expire
        self._holds = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._start()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        self._timer = loop.call_later(max(self._left_s, 0.0), self._process.end, "wall")

    def hold(self) -> None:
        self._holds += 1
        if self._holds == 1 and self._timer:
            self._timer.cancel()
            self._left_s -= asyncio.get_running_loop().time() - self._since

    def release(self) -> None:
        self._holds -= 1
        if self._holds == 0 and self._timer:
            self._start()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None


class Process:
    """A running child whose outputs are read while it works. Made by `started`."""

    def __init__(self, child: asyncio.subprocess.Process, outputs: list[asyncio.StreamReader], wall_s: float) -> None:
        self.outputs = outputs  # the child's descriptors 3, 4, 5 ...
        self.ended: Ending = "exit"
        self._child = child
        self._paused = False
        self._clock = _Clock(wall_s, self)
        assert child.stderr is not None
        self._stderr = asyncio.create_task(_keep_first(child.stderr, STDERR_BYTES))

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.returncode is None

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """What it reads, when it was started with `feed`. Whoever writes without waiting bounds what is buffered."""
        assert self._child.stdin is not None
        return self._child.stdin

    def pause(self) -> None:
        """Stop the whole group where it is; its wall clock stops too. Nothing happens when it is paused or over."""
        if not self._paused and self.is_running:
            self._paused = True
            self._clock.hold()
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._paused and self.is_running:
            self._paused = False
            self._signal(signal.SIGCONT)
            self._clock.release()

    def kill(self) -> None:
        self.end("killed")

    def end(self, why: Ending) -> None:
        if self.is_running:
            if self.ended == "exit":
                self.ended = why
            self._signal(signal.SIGKILL)

    @contextmanager
    def unread(self) -> Iterator[None]:
        """While inside, the child may be blocked on a full pipe by our choice: that is not its time."""
        self._clock.hold()
        try:
            yield
        finally:
            self._clock.release()

    async def finish(self) -> Finished:
        """Wait until it ends (its outputs must have been read, or are dropped)."""
        returncode = await self._child.wait()
        stderr = without_launch_notes(await self._stderr)
        return Finished(returncode, b"", stderr, self.ended)

    async def close(self) -> None:
        self._clock.stop()
        if self.is_running:
            self._signal(signal.SIGKILL)
            await self._child.wait()
        self._stderr.cancel()
        with suppress(asyncio.CancelledError):
            await self._stderr

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


@asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    limits: Limits,
    outputs: int,
    nice: int = 0,
    control: "Control | None" = None,
    feed: bool = False,
) -> AsyncIterator[Process]:
    """Start `argv` with `outputs` pipes as its descriptors 3, 4 ...; on leaving it is dead and reaped.

    With `feed` its standard input is a pipe, too: `Process.stdin`.
    """
    pipes = [os.pipe() for _ in range(outputs)]
    reading = [r for r, _ in pipes]
    transports: list[asyncio.ReadTransport] = []
    process: Process | None = None
    try:
        try:
            child = await _spawn(argv, limits, nice, [w for _, w in pipes], stdin=feed)
        finally:
            for _, w in pipes:
                os.close(w)
        process = Process(child, [], limits.wall_s)
        while reading:
            reader, transport = await _connect(reading.pop(0))
            process.outputs.append(reader)
            transports.append(transport)
        if control:
            control.attach(process)
        yield process
    finally:
        if control:
            control.detach()
        for transport in transports:
            transport.close()
        for fd in reading:
            os.close(fd)
        if process:
            await asyncio.shield(process.close())


async def run(
    argv: list[str],
    *,
    limits: Limits,
    nice: int = 0,
    stdin: bytes | None = None,
    max_output_bytes: int = 16 << 20,
    inherited: Sequence[int] = (),
) -> Finished:
    """Run to the end and return what it said. More than `max_output_bytes` of stdout ends it (`ended == "output"`).

    `inherited` are descriptors of ours which the child finds as 3, 4, 5 ...; they stay the caller's to close.
    """
    child = await _spawn(argv, limits, nice, inherited, stdin=stdin is not None, stdout=True)
    process = Process(child, [], limits.wall_s)
    try:
        feeding = asyncio.create_task(_feed(child, stdin or b""))
        assert child.stdout is not None
        stdout = await _read_at_most(child.stdout, max_output_bytes, process)
        finished = await process.finish()
        await feeding
        return dataclasses.replace(finished, stdout=stdout)
    finally:
        await asyncio.shield(process.close())


class Control:
    """Pauses, resumes and kills the process of an encode from outside; safe before it starts and after it ended."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._is_paused = False
        self.is_killed = False

    def pause(self) -> None:
        self._is_paused = True
        if self._process:
            self._process.pause()

    def resume(self) -> None:
        self._is_paused = False
        if self._process:
            self._process.resume()

    def kill(self) -> None:
        """For good: whatever is attached later is killed as well."""
        self.is_killed = True
        if self._process:
            self._process.kill()

    def attach(self, process: Process) -> None:
        self._process = process
        if self.is_killed:
            process.kill()
        elif self._is_paused:
            process.pause()

    def detach(self) -> None:
        self._process = None


async def _spawn(
    argv: Sequence[str],
    limits: Limits,
    nice: int,
    outputs: Sequence[int],
    *,
    stdin: bool = False,
    stdout: bool = False,
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *wrap(argv, limits, nice=nice, outputs=outputs),
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        limit=PIPE_BUFFER_BYTES,
        env=ENVIRONMENT,
        pass_fds=outputs,
        start_new_session=True,
    )


async def _connect(fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=PIPE_BUFFER_BYTES)
    pipe = os.fdopen(fd, "rb", 0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


async def _keep_first(stream: asyncio.StreamReader, max_bytes: int) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(16 * 1024):
        kept += chunk[: max(0, max_bytes - len(kept))]
    return bytes(kept)


async def _read_at_most(stream: asyncio.StreamReader, max_bytes: int, process: Process) -> bytes:
    read = bytearray()
    while chunk := await stream.read(256 * 1024):
        read += chunk
        if len(read) > max_bytes:
            process.end("output")
            return bytes(read[:max_bytes])
    return bytes(read)


async def _feed(child: asyncio.subprocess.Process, data: bytes) -> None:
    if child.stdin is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):  # it may end without reading everything
        child.stdin.write(data)
        await child.stdin.drain()
        child.stdin.close()
