"""Downloads that drip: a server may be slow, but not for ever."""

import time
from collections.abc import Iterator

from crowdserve.errors import BundleError

PACE_SECONDS, _PACE_BYTES = 60.0, 64 << 10
"""Time in which so many bytes must come, or the rest: bundles of 300 MB take four days at that pace."""


def paced(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The chunks of an answer, as they arrive.

    Args:
        chunks: They; each is waited for by a time limit of its own.
        name: What an error calls the answer.

    Raises:
        BundleError: If they come too slowly.
    """
    begun, arrived_bytes = time.monotonic(), 0
    for chunk in chunks:
        arrived_bytes += len(chunk)
        yield chunk
        if arrived_bytes >= _PACE_BYTES:
            begun, arrived_bytes = time.monotonic(), 0
        elif time.monotonic() - begun > PACE_SECONDS:
            raise BundleError(
                f"{name}: {arrived_bytes:,} bytes came in {PACE_SECONDS:g} s; try again when the line is faster"
            )
