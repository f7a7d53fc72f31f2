"""Downloads that drip: a server may be slow, but not for ever."""

import time
from collections.abc import Iterator

from crowdserve.errors import BundleError

PACE_SECONDS, _PACE_BYTES = 60.0, 64 << 10
"""Time in which so many bytes must come, or the rest: bundles of 300 MB take three days at that pace."""


def paced(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The chunks of an answer, as they arrive.

    Args:
        chunks: They; each is waited for by a time limit of its own. What is done with them takes any time.
        name: What an error calls the answer.

    Raises:
        BundleError: If they come too slowly.
    """
    waited_seconds, arrived_bytes = 0.0, 0
    while True:
        begun = time.monotonic()
        if (chunk := next(chunks, None)) is None:
            return
        waited_seconds, arrived_bytes = waited_seconds + time.monotonic() - begun, arrived_bytes + len(chunk)
        yield chunk
        if arrived_bytes >= _PACE_BYTES:
            waited_seconds, arrived_bytes = 0.0, 0
        elif waited_seconds > PACE_SECONDS:
            raise BundleError(
                f"{name}: {arrived_bytes:,} bytes came in {PACE_SECONDS:g} s; try again when the line is faster"
            )
