"""What was freed goes back to the system."""

from __future__ import annotations

import ctypes
import gc

import psutil
import pytest

from saccade.memory import give_back_free_pages


def test_pages_between_blocks_that_are_in_use_are_returned() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("the C library is not glibc; others return pages by themselves or not at all")
    blocks = [b"." * (64 << 10) for _ in range(800)]
    held = blocks[::20]  # the heap's end among them
    gc.collect()
    before = psutil.Process().memory_info().rss
    del blocks
    give_back_free_pages()
    assert before - psutil.Process().memory_info().rss > 40 << 20, "of 50 MB"
    assert len(held) == 40
