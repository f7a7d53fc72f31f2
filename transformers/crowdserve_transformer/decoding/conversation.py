"""A running decoding process and the conversation with it: JSON lines over a socket, pixels in shared memory."""

import asyncio
import mmap
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

import numpy as np

from crowdserve.errors import CrowdServeError
from crowdserve.images import SCENE_SIDE_PX, FittedImage
from crowdserve_transformer.decoding.messages import (
    LONGEST_LINE_BYTES,
    Header,
    Job,
    Permit,
    decoded_of,
    encoded,
    header_of,
)

_MODULE = "crowdserve_transformer.decoding.worker"
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ")
"""Environment of a decoding process: nothing secret."""

_POLL_SECONDS = 0.005

_SCENE_SHAPE = (SCENE_SIDE_PX, SCENE_SIDE_PX, 3)


class _Owed(Enum):
    """What the process has to say next."""

    NOTHING = auto()
    HEADER = auto()
    PIXELS = auto()


class Conversation:
    """A running process; made by `start_worker`.

    Args:
        process: The process.
        memory: What it writes pixels into.
        reader: Its lines.
        writer: Jobs and files for it.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        memory: mmap.mmap,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self._memory = memory
        self._reader = reader
        self._writer = writer
        self._owed = _Owed.NOTHING
        self._job: Job | None = None

    @property
    def owes_nothing(self) -> bool:
        """Whether the process waits for a file."""
        return self._owed is _Owed.NOTHING

    async def ask(self, data: bytes, job: Job) -> Header:
        """Send a file; wait for what its header says.

        Raises:
            CrowdServeError: What is wrong with the file.
            ValueError: If the process says something else.
            EOFError, ConnectionError: If it has ended.
        """
        self._owed, self._job = _Owed.HEADER, job
        self._writer.writelines([encoded(job), data])
        await self._writer.drain()
        return await self._header(job)

    def permit(self, cpu_seconds: float | None) -> None:
        """Let it decode the file that it was asked about, if the job did not allow it; None: leave it."""
        if self._owed is _Owed.NOTHING:
            self._owed = _Owed.NOTHING if cpu_seconds is None else _Owed.PIXELS
            self._writer.write(encoded(Permit(cpu_seconds)))

    async def take(self, max_side_px: int) -> FittedImage:
        """Wait for the pixels, with the scene classifier's input if it was wanted.

        Raises:
            CrowdServeError, ValueError, EOFError, ConnectionError: As `ask`.
        """
        decoded = decoded_of(await self._next_line(), max_side_px)
        width, height = decoded.size
        image = np.frombuffer(self._memory, np.uint8, height * width * 3).reshape(height, width, 3)
        if not decoded.has_scene:
            return FittedImage(image.copy(), None, decoded.sent_size)
        scene = np.frombuffer(self._memory, np.uint8, SCENE_SIDE_PX**2 * 3, image.nbytes).reshape(_SCENE_SHAPE)
        return FittedImage(image.copy(), scene.copy(), decoded.sent_size)

    async def forget(self) -> None:
        """Wait until the process has said what it owes, and let it go no further.

        Raises:
            ValueError, EOFError, ConnectionError: As `ask`.
        """
        with suppress(CrowdServeError):
            if self._owed is _Owed.HEADER and self._job is not None:
                await self._header(self._job)
                self.permit(None)
            if self._owed is _Owed.PIXELS:
                await self._next_line()

    async def end(self) -> int:
        """Kill the process if it still runs; returns its exit code."""
        self._writer.transport.abort()
        self.process.kill()
        try:
            while self.process.poll() is None:
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            code = self.process.wait()
            self._memory.close()
        return code

    async def _header(self, job: Job) -> Header:
        """The header that it owes; the pixels are owed then if the job allows them."""
        header = header_of(await self._next_line())
        if job.allows(header):
            self._owed = _Owed.PIXELS
        return header

    async def _next_line(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        self._owed = _Owed.NOTHING
        return line


async def start_worker(max_side_px: int) -> Conversation:
    """Start a decoding process that answers with pixels of at most `max_side_px` in height and width."""
    ours, its = socket.socketpair()
    with its, _memory_file(max_side_px**2 * 3 + SCENE_SIDE_PX**2 * 3) as memory_fd:
        memory = mmap.mmap(memory_fd, 0)
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(its.fileno()), str(memory_fd)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=(its.fileno(), memory_fd),
        )
    try:
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE_BYTES)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Conversation(process, memory, reader, writer)


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**passed_on, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def _memory_file(size_bytes: int) -> Iterator[int]:
    """The descriptor of an empty file in memory; on disk where the system has no such files."""
    has_memory_files = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pixels"), "r+b") if has_memory_files else tempfile.TemporaryFile() as file:
        file.truncate(size_bytes)
        yield file.fileno()
