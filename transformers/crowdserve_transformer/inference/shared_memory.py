"""Photos for a Triton on the same machine, in memory that both see: Triton reads a body from a socket 16 kB at a time.

transformer ─► a file in /dev/shm, mapped ─► its name, once, over a private Unix socket ─► Triton maps it
            ─► a photo into a free place  ─► the place, in a request over HTTP           ─► Triton reads it there

Triton is told of the memory through its gRPC endpoint, which listens on a Unix socket and has nothing but that: who may
open the socket may open the memory as well. Over HTTP the interface stays closed. The file loses its name as soon as
Triton has it, and the name that requests use is random, so nobody else can refer to the memory. Where any of that
fails, and for photos that are too large or find no free place, the photo goes through the socket as before.
"""

import errno
import logging
import mmap
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from crowdserve.triton.memory import Place

log = logging.getLogger(__name__)

FOLDER = Path("/dev/shm")
PLACE_BYTES = 1920 * 1088 * 3
"""The largest photo that has a place. A network takes so long for a larger one that its way does not matter."""

LEAST_BYTES = 64 * 2**10
"""Smaller ones go as fast through a socket; the scene classifier's input, of 150 kB, does not."""

_LEFT_BYTES = 48 * 2**20
"""What must be left of /dev/shm: Triton's python backend takes its memory there."""

_RETRY_SECONDS = 10.0
_CALL_SECONDS = 2.0
_SERVICE = "/inference.GRPCInferenceService"


class SharedMemory:
    """Memory shared with one Triton; use it within one event loop and close it.

    Sharing begins with taking away what others shared: one transformer to a Triton, or each would send most photos.

    Args:
        socket: Path of the Unix socket of Triton's gRPC endpoint.
        places: Photos that fit at once.
        folder: Where memory has files.
    """

    def __init__(self, socket: str, places: int, folder: Path = FOLDER) -> None:
        self._socket = socket
        self._places = places
        self._folder = folder
        self._region: _Region | None = None
        self._is_opening = False
        self._due = 0.0
        self._has_warned = False

    async def open(self) -> None:
        """Share memory, unless that is so, is under way, or failed a moment ago."""
        if self._region is not None or self._is_opening or time.monotonic() < self._due:
            return
        self._is_opening = True
        try:
            self._region = await self._shared()
            self._has_warned = False
            log.info("photos go to Triton in shared memory, %d at once", self._places)
        except (OSError, grpc.RpcError) as err:
            reason = err.details() if isinstance(err, grpc.aio.AioRpcError) else getattr(err, "strerror", err)
            level = logging.DEBUG if self._has_warned else logging.WARNING
            log.log(level, "photos go to Triton through its socket, memory cannot be shared: %s", reason)
            self._has_warned = True
            self._due = time.monotonic() + _RETRY_SECONDS
        finally:
            self._is_opening = False

    @contextmanager
    def placed(self, tensor: npt.NDArray[Any]) -> Iterator[Place | None]:
        """Place a copy of a tensor for as long as the block runs; None if it does not fit now, or is small.

        Triton may read the place later, for a request that was given up: it then finds another photo there, and answers
        to a connection that is closed. So nothing may give up a request and use its answer.
        """
        region = self._region
        if region is None or not region.free or not LEAST_BYTES <= tensor.nbytes <= PLACE_BYTES:
            yield None
            return
        number = region.free.pop()
        try:
            yield region.put(number, tensor)
        finally:
            region.free.append(number)

    def forget(self, region: str) -> None:
        """Share memory anew: this Triton does not know that of this name, so it is another one."""
        if self._region is not None and self._region.name == region:  # or it was shared anew since
            self._region = None

    async def close(self) -> None:
        """Let Triton give the memory back; it keeps what requests that were given up may still read."""
        region, self._region = self._region, None
        if region is not None:
            with suppress(grpc.RpcError):
                await self._call("SystemSharedMemoryUnregister", _text(1, region.name))

    async def _shared(self) -> "_Region":
        region = _Region(self._folder, self._places)
        try:
            await self._call("SystemSharedMemoryUnregister", b"")  # all: those of a transformer that was killed
            described = _text(1, region.name) + _text(2, f"/{region.name}") + _number(4, region.size_bytes)
            await self._call("SystemSharedMemoryRegister", described)
        finally:
            region.unlink()
        return region

    async def _call(self, method: str, message: bytes) -> None:
        async with grpc.aio.insecure_channel(f"unix:{self._socket}") as channel:
            await channel.unary_unary(f"{_SERVICE}/{method}")(message, timeout=_CALL_SECONDS)


class _Region:
    """Places in a mapped file.

    Raises:
        OSError: If there is not enough memory for it.
    """

    def __init__(self, folder: Path, places: int) -> None:
        self.name = f"crowdserve-{secrets.token_hex(16)}"
        self.size_bytes = places * PLACE_BYTES
        self.free = list(range(places))
        self._file = folder / self.name
        volume, needed_bytes = os.statvfs(folder), self.size_bytes + _LEFT_BYTES
        free_bytes = volume.f_bavail * volume.f_frsize
        if free_bytes < needed_bytes:
            raise OSError(errno.ENOSPC, f"{folder} needs {needed_bytes >> 20} MiB and has {free_bytes >> 20}")
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self.size_bytes)  # or a full /dev/shm would end the process as it writes
            self._memory = mmap.mmap(descriptor, self.size_bytes)
        except BaseException:
            self.unlink()
            raise
        finally:
            os.close(descriptor)

    def put(self, number: int, tensor: npt.NDArray[Any]) -> Place:
        """Copy a tensor to a place."""
        start = number * PLACE_BYTES
        np.frombuffer(self._memory, tensor.dtype, tensor.size, start).reshape(tensor.shape)[...] = tensor
        return Place(self.name, start, tensor.nbytes)

    def unlink(self) -> None:
        """Take its name away; who has mapped it keeps it."""
        self._file.unlink(missing_ok=True)


def _text(field: int, value: str) -> bytes:
    """A field of text, at most 127 bytes, in protobuf's form."""
    return bytes([field << 3 | 2, len(value)]) + value.encode()


def _number(field: int, value: int) -> bytes:
    """A field with a whole number in protobuf's form: seven bits a byte, the lowest first."""
    found = [field << 3]
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
