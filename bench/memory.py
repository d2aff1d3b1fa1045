"""Memory of processes that benchmarks start."""

from __future__ import annotations

PEAK = """
def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:"))
"""
"""For a program of its own: the most memory that it had so far, bytes. What getrusage says begins with what the process
had that started it.
"""
