"""A stream of crops through one function process: nothing lost, nothing twice, memory flat.

SACCADE_LOAD_CROPS sets how many; 1,000 take about 15 s on two quiet cores.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from conditions import PATIENCE, wait_for
from lengths import length
from saccade.deploy.local import LocalAws

from .conftest import crop, face, points, put, rows

CROPS = length(80, 1000, "SACCADE_LOAD_CROPS")
WARM = 40
PICTURE = crop(face({"HAPPY": 70.0, "CALM": 30.0}))


def feed(aws: LocalAws, first: int, count: int) -> None:
    """Put crops, some twice, no faster than they are taken."""
    (poller,) = aws.pollers
    start, sent = poller.delivered, 0
    for number in range(first, first + count):
        for _ in range(2 if number % 10 == 0 else 1):
            put(aws, f"faces/{number}.jpg", PICTURE)
            sent += 1
        wait_for(lambda: sent - (poller.delivered - start) <= 40)  # noqa: B023 - called at once
    aws.drain(PATIENCE)


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_a_long_stream_of_crops(aws: LocalAws) -> None:
    process = aws.function("RekognizeEmotionsName")
    feed(aws, 0, WARM)
    assert process.pid is not None
    before, starts = resident_kb(process.pid), process.starts
    began = time.perf_counter()
    feed(aws, WARM, CROPS)
    rate = CROPS / (time.perf_counter() - began)
    after = resident_kb(process.pid)
    assert process.starts == starts == 1
    assert Counter(row["s3key"]["S"] for row in rows(aws)) == Counter(f"faces/{n}.jpg" for n in range(WARM + CROPS))
    assert points(aws) == Counter({("HAPPY", 70.0): WARM + CROPS, ("CALM", 30.0): WARM + CROPS})
    assert aws.waiting("DeadFacesQueueUrl") == 0
    print(f"{rate:.1f} crops/s, {before} to {after} kB")
    assert after < before * 1.10
