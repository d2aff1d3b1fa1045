"""MP4s for tests, what lies where in them, damage, and the frames of a video that are looked at."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from saccade.archive.frames import VideoFile
from videos import picture

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")


def film(path: Path, count: int = 60, *, first: int = 0, frames_between: str = "2", **options: str) -> Path:
    """H.264 of 10 frames a second, a key frame each second. first : time stamp of the first frame, frames.

    frames_between : B-frames. options : of the container.
    """
    with av.open(str(path), "w", options=options) as container:
        settings = {"g": "10", "bf": frames_between, "sc_threshold": "0", "x264-params": "b-adapt=0"}
        stream: Any = container.add_stream("libx264", rate=10, options=settings)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 10)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, (48, 64)), format="bgr24")
            frame.pts = index + first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def boxes(data: bytes, begin: int = 0, end: int | None = None) -> dict[bytes, int]:
    """Where the content of each box begins, by name; of several of a name the last."""
    found: dict[bytes, int] = {}
    at, end = begin, len(data) if end is None else end
    while at < end:
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        found[name] = at + 8
        if name in CONTAINERS:
            found |= boxes(data, at + 8, at + size)
        at += size
    return found


def damaged(content: bytes, names: Sequence[bytes], chance: random.Random) -> bytes:
    """A file with one or two bytes of boxes of these names changed, sometimes cut short. content : of the whole one."""
    data, where = bytearray(content), boxes(content)
    moov = where[b"moov"]
    for _ in range(chance.randint(1, 2)):
        at = where[chance.choice([name for name in names if name in where])] + chance.randrange(60)
        at = min(at if chance.random() < 0.9 else chance.randrange(moov - 8, len(data)), len(data) - 1)
        data[at] = chance.choice([0, 1, 255, data[at] ^ (1 << chance.randrange(8)), chance.randrange(256)])
    return bytes(data[: chance.randrange(moov, len(data))] if chance.random() < 0.1 else data)


def frames_of(video: VideoFile) -> list[tuple[float, bytes]]:
    """Time and luma of the frames of an open video that are looked at; it is closed then."""
    found = []
    while (frame := video.read()) is not None:
        content = bytes(frame.jpeg) if frame.jpeg is not None else np.ascontiguousarray(frame.planes[0]).tobytes()
        found.append((round(frame.time, 6), content))
    assert not video.damaged
    video.close()
    return found


def packets(path: Path, *, obeyed: bool) -> list[tuple[Any, ...]]:
    """All that a decoder gets to see, with the edit list obeyed or its begin taken as a shift of times."""
    with av.open(str(path), options={"advanced_editlist": str(int(obeyed))}) as container:
        stream = container.streams.video[0]
        found = [(p.pts, p.dts, p.pos, p.size, p.is_keyframe, p.is_discard) for p in container.demux(stream)]
        return [(stream.start_time, stream.time_base), *found]
