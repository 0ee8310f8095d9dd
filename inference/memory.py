"""Memory that a process frees and needs again at once, scan after scan."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of glibc's malloc.h

LARGEST = 32 << 20
"""Bytes of an array that may stay with the process; glibc allows no more. A container scan of 700 x 1400 has 8 MB."""

KEPT = 128 << 20
"""Free bytes that may stay with the process."""


def keep_freed() -> bool:
    """Keep freed memory instead of giving it back to the system and taking it anew for every scan.

    Each page that comes anew must be cleared by the system first: some 1.5 ms of a processor for a container scan.
    For processes that screen one scan after the other; it holds for the whole process.

    Returns:
        Whether the C library takes it (glibc does); else all stays as it was.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, KEPT))
    except (OSError, AttributeError, TypeError):
        return False
