"""A decoding process: `python -m crowdserve_transformer.decoding.worker CHANNEL MEMORY`, two descriptors' numbers.

Limits are set for each job and kept by the kernel, which no decoder written in C can put off: SIGPROF ends a process
that has used up its processor time, and memory over what the header promised is refused to it.
"""

import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedRWPair
from pathlib import Path

import orjson
from PIL import Image

from crowdserve.errors import CrowdServeError, ImageTooLarge
from crowdserve.images import FittedImage, decode_fitted, decoding_bytes, load_decoders, opened, opening_bytes
from crowdserve_transformer.allocator import keep_freed_memory
from crowdserve_transformer.decoding.messages import Decoded, Failed, Header, Job, encoded

HEADER_CPU_SECONDS, HEADER_CPU_SECONDS_PER_BYTE = 0.5, 1e-8
"""Processor time for reading a header: a file of millions of tiny blocks takes Pillow longer than its pixels would."""

SLACK_BYTES = 64 * 2**20
"""Memory over what the header promises, for fragments and for reading the header."""

_KEPT_BYTES = 48 * 2**20

_SIZES_BYTES = 256


def main() -> None:
    """Decode files until the server closes the channel."""
    _be_modest()
    channel = socket.socket(fileno=int(sys.argv[1]))
    memory = mmap.mmap(int(sys.argv[2]), 0)
    with channel.makefile("rwb") as stream:
        while line := stream.readline():
            job = Job(**orjson.loads(line))
            data = stream.read(job.file_bytes)
            if answer := _answer(stream, memory, job, data):
                _say(stream, answer)
            del data


def _be_modest() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides
    keep_freed_memory(_KEPT_BYTES, arenas=1)  # an arena for each thread of a decoder would look like memory
    load_decoders()  # or the first file pays for it from its own processor time
    Image.MAX_IMAGE_PIXELS = None  # the operator's limits are kept instead
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # if memory runs out all the same, the kernel shall take this process
        Path("/proc/self/oom_score_adj").write_text("1000")


def _answer(stream: BufferedRWPair, memory: mmap.mmap, job: Job, data: bytes) -> Decoded | Failed | None:
    """What to say about a file; None if the server leaves it."""
    try:
        header_seconds = HEADER_CPU_SECONDS + HEADER_CPU_SECONDS_PER_BYTE * len(data)
        with _cpu_limit(header_seconds), _memory_limit(SLACK_BYTES + 2 * len(data) + opening_bytes(data)):
            return _decode(stream, memory, job, data)
    except CrowdServeError as err:
        return Failed(type(err).__name__, str(err))
    except MemoryError:
        text = "decoding the image takes more memory than its header says; save it anew as a baseline JPEG"
        return Failed(ImageTooLarge.__name__, text)


def _decode(stream: BufferedRWPair, memory: mmap.mmap, job: Job, data: bytes) -> Decoded | None:
    with opened(data, max_pixels=job.max_pixels, max_whole_pixels=job.max_whole_pixels) as image:
        needed_bytes = decoding_bytes(image, max_side_px=job.max_side_px)
        pixels = image.file.width * image.file.height
        header = Header(pixels, needed_bytes, image.scans, image.is_held_whole)
        _say(stream, header)
        seconds = job.cpu_seconds if job.allows(header) else orjson.loads(stream.readline()).get("cpu_seconds")
        if seconds is None:
            return None
        with _cpu_limit(seconds), _memory_limit(needed_bytes + SLACK_BYTES):
            fitted = decode_fitted(image, max_side_px=job.max_side_px, with_scene=job.with_scene)
    _write(memory, fitted)
    height, width = fitted.image.shape[:2]
    return Decoded((width, height), fitted.sent_size, fitted.scene is not None)


def _write(memory: mmap.mmap, fitted: FittedImage) -> None:
    memory.seek(0)
    memory.write(fitted.image.data)
    if fitted.scene is not None:
        memory.write(fitted.scene.data)


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """End this process if the block takes more processor time; what is left of an outer limit is given up."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextmanager
def _memory_limit(more_bytes: int) -> Iterator[None]:
    """Refuse memory to the block beyond what the process has now and `more_bytes`; on Linux only."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if (now_bytes := _address_space_bytes()) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (now_bytes + more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _address_space_bytes() -> int | None:
    """What this process has now; None where the system does not say."""
    sizes = _sizes_file()
    return int(os.pread(sizes, _SIZES_BYTES, 0).split()[0]) * resource.getpagesize() if sizes is not None else None


@cache
def _sizes_file() -> int | None:
    """The descriptor of the kernel's file with this process's sizes, open for good: it is read twice for each photo."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _say(stream: BufferedRWPair, message: Header | Decoded | Failed) -> None:
    stream.write(encoded(message))
    stream.flush()


if __name__ == "__main__":
    main()
