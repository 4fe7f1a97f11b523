"""Memory that training frees is kept for its next step."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import lru_cache

# Of mallopt(3); the values are those of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Tell the C library, where it is glibc, to keep what is freed until the process ends.

    By default large blocks go back to the system when they are freed, and come again page by page, each cleared:
    32,000 page faults a step of `final`.  With one pool for all threads the peak stays what it was.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1)):
            mallopt(option, value)
