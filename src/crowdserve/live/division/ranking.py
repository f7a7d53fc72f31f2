"""Rendezvous hashing: every watcher finds by itself which camera is whose.

Each pair of camera and watcher has a number, and the highest of a camera's decides. A watcher that comes takes its
share from all others, one that goes leaves it to all others, and no other camera moves.
Source: D. G. Thaler, C. V. Ravishankar, Using Name-Based Mappings to Increase Hit Rates, 1998.
"""

import functools
import hashlib


def winner(camera: str, watchers: tuple[str, ...]) -> str:
    """The watcher of a camera."""
    return max(watchers, key=lambda watcher: (_number(camera, watcher), watcher))


@functools.lru_cache(maxsize=64)
def share(watcher: str, watchers: tuple[str, ...], cameras: tuple[str, ...]) -> tuple[str, ...]:
    """The cameras of a watcher."""
    return tuple(camera for camera in cameras if winner(camera, watchers) == watcher)


@functools.lru_cache(maxsize=100_000)
def _number(camera: str, watcher: str) -> bytes:
    return hashlib.blake2b(f"{watcher}\0{camera}".encode(), digest_size=8).digest()
