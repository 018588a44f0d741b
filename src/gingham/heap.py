"""Memory that a program frees and needs again a moment later."""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Of `mallopt` (glibc's malloc.h)."""


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees, instead of giving it back to the system.

    A step of training frees what the next one needs again. glibc gives blocks of more than 32 MB back at once, and the
    system then clears every page anew when it is first touched. The most that is held stays about the same, but it is
    held to the end: so this is for programs, not for libraries that are guests in another's process.

    Returns:
        Whether it could be done: with glibc only.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, -1)) and bool(mallopt(_MMAP_MAX, 0))
