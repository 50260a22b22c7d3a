"""Spare the page faults that large temporary arrays cost on Linux."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEEP = 1 << 30
"""Freed blocks up to this size are kept for the next array, in bytes."""


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks instead of giving them back and faulting them in again.

    Elsewhere than on Linux with glibc nothing is done.

    Source: mallopt(3).
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_MMAP_THRESHOLD, KEEP)
    mallopt(M_TRIM_THRESHOLD, KEEP)
