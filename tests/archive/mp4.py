"""MP4s for tests, and what lies where in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

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


def packets(path: Path, *, obeyed: bool) -> list[tuple[Any, ...]]:
    """All that a decoder gets to see, with the edit list obeyed or its begin taken as a shift of times."""
    with av.open(str(path), options={"advanced_editlist": str(int(obeyed))}) as container:
        stream = container.streams.video[0]
        found = [(p.pts, p.dts, p.pos, p.size, p.is_keyframe, p.is_discard) for p in container.demux(stream)]
        return [(stream.start_time, stream.time_base), *found]
