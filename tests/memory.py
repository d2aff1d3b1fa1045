"""The most memory that this process had, from a moment on.

What getrusage says only grows: whatever took more before, or in the process that started this one, hides what is to be
seen. Linux' own peak can be set back.
"""

from __future__ import annotations

from pathlib import Path


def peak() -> int:
    """Most resident memory since `reset_peak`, or since the process began, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def reset_peak() -> int:
    """Let what is resident now be the peak; it, bytes. See clear_refs in Linux' Documentation/filesystems/proc.rst."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()
