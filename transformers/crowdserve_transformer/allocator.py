"""Allocator options that keep memory between requests instead of returning it to the kernel.

Every image needs a few buffers of megabytes. By default glibc unmaps each one when it is freed, and the kernel clears
a thousand pages for the next image, which costs as much processor time as decoding the JPEG.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT_BYTES = 32 * 2**20
_LARGEST_KEPT_BLOCK_BYTES = 32 * 2**20  # the most that glibc accepts
_ARENAS = 2


def keep_freed_memory(kept_bytes: int = _KEPT_BYTES, arenas: int = _ARENAS) -> bool:
    """Tell glibc to keep freed memory in each of a few arenas; call before any thread starts.

    Args:
        kept_bytes: Most memory that each keeps.
        arenas: How many there are at most.

    Returns:
        Whether glibc accepted: other C libraries have no such option and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = {
        _M_MMAP_THRESHOLD: _LARGEST_KEPT_BLOCK_BYTES,
        _M_TRIM_THRESHOLD: kept_bytes,
        _M_ARENA_MAX: arenas,
    }
    return all(mallopt(option, value) == 1 for option, value in options.items())
