"""What the C library keeps of memory that was given back."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
THRESHOLD = 4 << 20
"""Blocks of this size or more, bytes, go back to the system when they are freed. Above a frame of 1080p, which comes
and goes too often for that; below the index of a video of some hours."""


def give_back_large_blocks() -> None:
    """From here on, for this whole process.

    Left alone, glibc takes ever larger blocks from its heap once some have been freed (mallopt(3)), and there the index
    of one long video lies beside what is left of the one before. Other C libraries have no such habit.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, THRESHOLD)
        # The threads here work in turns: a heap each would only leave more holes.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back_free_pages() -> None:
    """Return what this process has freed, wherever it lies; some ms, in which other threads may wait for memory.

    glibc returns only what is free at the end of a heap (malloc_trim(3)), and each thread frees into one of its own.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
