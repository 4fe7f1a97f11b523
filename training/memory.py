"""Memory that training frees is kept for its next step."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache

# Of mallopt(3); the values are those of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed; whether it can be told (glibc, that is Linux).

    By default large blocks go back to the system when they are freed, and come again page by page, each cleared:
    34,000 page faults a step of `final`.  One pool for all threads keeps the process as small as before.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all([mallopt(M_ARENA_MAX, 1), mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1)])
