"""What a frame costs, counted instead of timed: the same on a busy machine as on an idle one, or within a bound.

Counted between two frames of a run (tests/pipeline/counted.py) by a library put before the C library's, and by strace.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import counted
import numpy as np
import pytest

from lengths import length
from small_networks import mean_network
from videos import jpeg, mjpeg_avi, picture

HERE = Path(__file__).parent
SIZE = (720, 1280)
TENSOR = 32 * 32 * 3 * 4
"""Bytes of the network's input, the least that there is of a frame."""
WATCHES = 7
"""Times that the statistics keep of a frame: five stages, its age, its end."""
READ_BUFFER = 32 << 10
"""FFmpeg reads files through it; at most so much of a packet is copied out of it."""

MEMORY = {"brk", "mmap", "munmap", "mprotect", "madvise"}
MARKS = {"newfstatat", "stat", "getrusage"}


def command(way: str, folder: Path, *counter: Path) -> list[str | Path]:
    """The program, on a video of which no camera reaches the end while is counted."""
    noise = np.random.default_rng(0).integers(0, 30, (*SIZE, 3), np.uint8)
    data = jpeg(picture(3, SIZE) + noise)
    video = mjpeg_avi(folder / "v.avi", [data] * (counted.LAST + 20), SIZE)
    return [sys.executable, HERE / "counted.py", way, video, mean_network(folder / "means.xml"), *counter]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0", **more}


@pytest.mark.parametrize("way", counted.WAYS)
def test_a_frame_allocates_copies_and_waits_no_more_than_it_must(way: str, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler, which builds the counters: apt-get install gcc")
    library = tmp_path / "counted.so"
    build = ["cc", "-shared", "-fPIC", "-O2", "-fno-builtin", HERE / "counted.c", "-o", library, "-ldl"]
    subprocess.run(build, check=True)
    # Without Python's own allocator each object is a block of the C library's.
    run = subprocess.run(
        command(way, tmp_path, library), env=environment(LD_PRELOAD=str(library), PYTHONMALLOC="malloc"),
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    by_frame = json.loads(run.stdout)
    assert by_frame["large allocations"] < 1.1, "the demuxer's packet, and nothing else"
    assert by_frame["copied bytes"] < READ_BUFFER + TENSOR / 2, "the rest of a read: no picture, no tensor"
    assert by_frame["blocks kept"] < WATCHES + 2, "the newest times, which are kept up to a number"
    assert by_frame["allocations"] < 450
    assert by_frame["lock waits"] < 8
    assert by_frame["voluntary switches"] < 40


@pytest.mark.parametrize("way", list(counted.WAYS)[: length(1, 2)])
def test_a_frame_makes_few_system_calls(way: str, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: apt-get install strace")
    trace = tmp_path / "trace"
    strace = ["strace", "--follow-forks", "--quiet=all", "--output", trace]
    done = subprocess.run([*strace, *command(way, tmp_path)], env=environment(), capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter()
    within = False
    for line in trace.read_text().splitlines():
        if "/mark/begin" in line or "/mark/end" in line:
            within = "begin" in line
        elif within and (call := re.match(r"\d+ +(\w+)\(", line)):  # a resumed one was counted
            counts[call[1]] += 1
    frames = counted.LAST - counted.FIRST
    by_frame = {name: count / frames for name, count in counts.items()}
    # The file is read, threads wait for each other, and OpenVINO pins them; nothing is opened, no memory asked for.
    known = {"read", "lseek", "futex", "sched_yield", "sched_setaffinity", *MEMORY, *MARKS}
    assert sum(count for name, count in by_frame.items() if name not in known) < 0.1, by_frame
    assert sum(by_frame.get(name, 0) for name in MEMORY) < 0.1
    assert by_frame["read"] + by_frame.get("lseek", 0) < 2.1
    assert by_frame.get("sched_setaffinity", 0) < 2.1
    assert by_frame["futex"] < 150
